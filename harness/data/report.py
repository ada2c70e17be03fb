"""What a file of training rows is, on one page: Markdown, and one figure of its lengths."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.data.faults import Fault, answers_of, faults, in_language
from harness.data.forms import form_of
from harness.data.parts import value_of
from harness.data.rows import Broken, Found, Row
from harness.errors import EnvironmentProblem, UsageError

SHOWN = 12
"""Values of a column in its table; the others are added up."""
Size = Callable[[str], int]
"""The length of a text: characters, or a tokenizer's tokens."""


@dataclass
class Summary:
    """Counts over all rows; `lengths` counts good answers by their length, `turns` prompts by their turns."""

    rows: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    first: dict[str, Fault] = field(default_factory=dict)
    columns: dict[str, Counter[str]] = field(default_factory=dict)


def summary(found: Iterable[Found], by: tuple[str, ...] = (), size: Size = len) -> Summary:
    """Go through rows once. `by`: columns whose values are counted."""
    told = Summary(columns={name: Counter() for name in by})

    def counted() -> Iterable[Found]:
        for where, row in found:
            told.rows += 1
            if not isinstance(row, Broken):
                _count(told, row, size)
            yield where, row

    for fault in faults(counted()):
        told.faults[fault.kind] += 1
        told.first.setdefault(fault.kind, fault)
    return told


def _count(told: Summary, row: Row, size: Size) -> None:
    for name, counter in told.columns.items():
        counter[value_of(row, name)] += 1
    form = form_of(row)
    told.forms[form or "none"] += 1
    if form is None:
        return
    prompt = row["messages"][:-1] if form == "messages" else row["prompt"]
    told.turns[1 if isinstance(prompt, str) else len(prompt)] += 1
    try:
        answers = answers_of(row)
    except UsageError:  # no turns: `faults` tells it with its place
        return
    for text in answers:
        told.lengths[size(text)] += 1
        told.languages["en" if in_language(text, "en") else "zh" if in_language(text, "zh") else "mixed"] += 1


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest value that at least `share` of the counted values do not exceed. Raises ValueError for no values."""
    wanted, passed = share * sum(counts.values()), 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= wanted:
            return value
    raise ValueError("no values")


def markdown(told: Summary, name: str, unit: str, figure: str | None) -> str:
    """The page. `unit`: of the lengths; `figure`: the file of their histogram beside it."""
    lines = [f"# {_cell(name)}", "", f"{told.rows:,} rows.", ""]
    lines += _table("form", told.forms, told.rows) + _table("language of good answers", told.languages)
    lines += _table("turns of the prompt", Counter({str(key): told.turns[key] for key in sorted(told.turns)}))
    if told.lengths:
        each = {share: quantile(told.lengths, share) for share in (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)}
        lines += [
            f"## Length of good answers, {unit}",
            "",
            "| n | least | quarter | median | three quarters | 95 % | most |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            f"| {sum(told.lengths.values()):,} | " + " | ".join(f"{value:,}" for value in each.values()) + " |",
            "",
        ]
        lines += [f"![Length of good answers]({figure})", ""] if figure else []
    for column, counter in told.columns.items():
        lines += _table(column, counter, told.rows)
    if not told.faults:
        return "\n".join([*lines, "## Faults", "", "None.", ""])
    lines += ["## Faults", "", "| kind | n | first |", "| --- | --- | --- |"]
    for kind, count in told.faults.most_common():
        fault = told.first[kind]
        lines.append(f"| {kind} | {count:,} | {_cell(f'{fault.where}: {fault.told}')} |")
    return "\n".join([*lines, "", "`easyds data validate` lists every one.", ""])


def _table(title: str, counter: Counter[Any], of: int | None = None) -> list[str]:
    whole = of or sum(counter.values())
    ranked = counter.most_common() if title != "turns of the prompt" else list(counter.items())
    shown, rest = ranked[:SHOWN], ranked[SHOWN:]
    lines = [f"| {_cell(title)} | n | share |", "| --- | --- | --- |"]
    lines += [f"| {_cell(value)} | {count:,} | {count / whole:.1%} |" for value, count in shown]
    if rest:
        count = sum(count for _, count in rest)
        lines.append(f"| *{len(rest):,} others* | {count:,} | {count / whole:.1%} |")
    return [*lines, ""]


def _cell(text: Any) -> str:
    """A text of the data as plain text in a Markdown table: nothing in it becomes markup, image or link."""
    plain = " ".join(str(text).split())[:160]
    return "".join(f"\\{char}" if char in "\\`*_[]()!|#<>&~" else char for char in plain)


def histogram(lengths: Mapping[int, int], unit: str) -> str:
    """The lengths as an SVG; the same counts give the same bytes. Raises EnvironmentProblem without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise EnvironmentProblem("figures need matplotlib: pip install 'easyds-bench[report]'.") from error
    from matplotlib.figure import Figure

    bins = max(1, min(40, math.ceil(math.sqrt(len(lengths)))))
    with matplotlib.rc_context({"svg.hashsalt": "easyds", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axis = figure.add_subplot()
        axis.hist(list(lengths), weights=list(lengths.values()), bins=bins, color="C0")
        axis.set(xlabel=unit, ylabel="answers")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
