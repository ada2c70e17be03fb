"""A board for people and for programs: text, json, csv, markdown, latex."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence

from harness import spreadsheet
from harness.board import TARGETS, Board, Metric, Row
from harness.errors import printable, require

TITLES = {
    "guidance_accuracy": "accuracy",
    "guidance_accuracy_strict": "strict",
    "guidance_accuracy_full": "full",
    "teaching_relevance": "relevance",
    "gates": "gates",
    "gold_score": "gold",
    "guidance_accuracy_corrected": "accuracy, corrected",
    "satisfaction": "satisfaction",
    "screens": "screens",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "bleu": "BLEU",
    "distinct_2": "distinct-2",
    "log_perplexity": "log ppl",
    "completion_tokens_p50": "length",
    "latency_p50_s": "p50 s",
    "latency_p95_s": "p95 s",
    "tokens_per_s": "tok/s",
    "peak_memory_bytes": "peak GB",
    "queries_per_s": "QPS",
    "goodput_per_s": "under 1 s /s",
    "served_latency_p95_s": "served p95 s",
    "serving_memory_bytes": "served GB",
}
"""Columns of the table, in order; a board's other metrics stand in json and csv."""

BESIDE = "guidance_accuracy@"
"""The headline as a further judge sees it has a column too."""

NOTES = """\
accuracy: gates G1-G3 pass and D3 is yes or to some extent (strict: yes; full: D1 = D2 = D3 = D5 = yes). relevance: \
D7 is yes. gates: G1-G3 pass. gold: 0 if a gate fails, else mean(D1..D6)/2. [ ] 95 % interval, clustered by problem. \
Ranks are ranges: paired differences on common items, Holm-corrected. Systems that share a letter under 'ties' are not \
surely different. '-' is not measured."""


def render(board: Board, form: str) -> str:
    """The board in one of FORMATS. Raises UsageError for another name."""
    require_format(form)
    return FORMATS[form](board)


def require_format(form: str) -> None:
    """Raises UsageError if `form` is not one of FORMATS."""
    require("format", form, list(FORMATS), "--format")


def cell(name: str, metric: Metric | None) -> str:
    """One number with its interval, as the tables show it."""
    if metric is None:
        return "-"
    scale = 1e9 if name.endswith("_bytes") else 1.0
    digits = 0 if name in ("tokens_per_s", "completion_tokens_p50") else 2 if scale == 1e9 else 3
    text = f"{metric.value / scale:.{digits}f}"
    if (
        metric.low is not None
        and metric.high is not None
        and name not in ("completion_tokens_p50", "latency_p50_s", "latency_p95_s")
    ):
        text += f" [{metric.low:.{min(digits, 2)}f}, {metric.high:.{min(digits, 2)}f}]"
    return f"{text} ({metric.unscored} unscored)" if metric.unscored else text


def rank(row: Row) -> str:
    if row.rank is None:
        return "-"
    best, worst = row.rank
    return str(best) if best == worst else f"{best}-{worst}"


def _table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Header, and the cells of the rows that have numbers and are not superseded."""
    shown = [row for row in board.rows if row.metrics and not row.note.startswith("superseded")]
    known = {name for row in shown for name in row.metrics}
    columns = [name for name in TITLES if name in known]
    columns += sorted(name for name in known if name.startswith(BESIDE))
    header = ["rank", "ties", "system", *(_title(name) for name in columns), "n"]
    body = []
    for row in shown:
        n = max(
            (metric.n + metric.unscored for name, metric in row.metrics.items() if not name.endswith(("_s", "_bytes"))),
            default=0,
        )
        cells = (cell(name, row.metrics.get(name)) for name in columns)
        body.append([rank(row), "".join(row.groups) or "-", printable(row.system) + _mark(row), *cells, str(n)])
    return header, body


def _title(name: str) -> str:
    metric, at, source = name.partition("@")
    return f"{TITLES[metric]} {at}{source}".rstrip()


def _mark(row: Row) -> str:
    return " (oracle)" if row.oracle else " *" if row.note or row.stale else ""


def remarks(board: Board) -> list[str]:
    """What the table does not say: who meets the targets, what it can tell apart, what is not ranked or stale."""
    lines = []
    for name, (sign, bar) in TARGETS.items():
        states: dict[str, list[str]] = {}
        for row in board.rows:
            if name in row.targets and (row.rank or row.oracle):
                states.setdefault(row.targets[name], []).append(printable(row.system))
        if states:
            scale = 1e9 if name.endswith("_bytes") else 1
            said = "; ".join(f"{state}: {', '.join(states[state])}" for state in STATES if state in states)
            lines.append(f"target {TITLES.get(name, name)} {sign} {bar / scale:g}: {said}")
    if board.detectable is not None:
        lines.append(
            f"A difference in accuracy below {100 * board.detectable:.1f} points is likely to go unseen here (80 % power, after Holm)."
        )
    for row in board.rows:
        stale = "scored by a version of a scorer that is not the present one: 'easyds score' it again"
        about = f"{printable(row.system)}, {row.run}"
        if row.note:
            lines.append(f"* {about}: not ranked, {printable(row.note)}")
        elif row.stale:
            lines.append(f"* {about}: stale, {stale}")
    return lines + [f"! {printable(name)}: cannot be read, {printable(why)}" for name, why in board.unreadable.items()]


STATES = ("met", "undecided", "not met")


def text(board: Board) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header, body = _table(board)
    width = None if sys.stdout.isatty() else 400
    console = Console(file=io.StringIO(), width=width, force_terminal=sys.stdout.isatty())
    console.print(Text(f"{board.task} {printable(board.version)} ({board.digest[:8]})", style="bold"))
    if not board.rows:
        console.print(Text("No runs yet: easyds run --task " + board.task + " --model control/reference"))
    if body:
        grid = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in header:
            grid.add_column(Text(title))
        for cells in body:
            grid.add_row(*(Text(one) for one in cells))
        console.print(grid)
        console.print(Text(NOTES, style="dim"))
    for line in remarks(board):
        console.print(Text(line, style="dim"))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().rstrip("\n")


def as_json(board: Board) -> str:
    return json.dumps(board.as_json(), indent=1)  # in ASCII: a system's name may hold what a terminal obeys


def as_csv(board: Board) -> str:
    """One line per system and metric. Names that a spreadsheet would take for a formula are quoted with '."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = ["value", "low", "high", "n", "unscored"]
    writer.writerow(
        ["task", "system", "run", "rank", "status", "metric", *numbers, "target", "ties", "oracle", "stale"]
    )
    for row in board.rows:
        for name, metric in row.metrics.items():
            about = [board.task, spreadsheet.cell(printable(row.system)), row.run, rank(row), row.status, name]
            marks = [row.targets.get(name, ""), "".join(row.groups), row.oracle, row.stale]
            writer.writerow([*about, *(getattr(metric, number) for number in numbers), *marks])
    return out.getvalue().rstrip("\n")


def markdown(board: Board) -> str:
    header, body = _table(board)
    escape = _escaper(
        {"\\": "\\\\", "&": "&amp;", "|": "\\|", "<": "&lt;", "[": "\\[", "`": "\\`", "*": "\\*", "_": "\\_", "\n": " "}
    )
    lines = [
        f"# {board.task} {escape(printable(board.version))}",
        "",
        _line([escape(one) for one in header]),
        _line(["---"] * len(header)),
    ]
    lines += [_line([escape(one) for one in cells]) for cells in body]
    lines += ["", NOTES, "", *(f"- {escape(line.removeprefix('* '))}" for line in remarks(board))]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(board: Board) -> str:
    header, body = _table(board)
    special = {one: "\\" + one for one in "&%$#_{}"} | {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
    }
    escape = _escaper(special)
    rows = [" & ".join(escape(one) for one in cells) + " \\\\" for cells in body]
    columns = "lll" + "r" * (len(header) - 3)
    head = " & ".join(escape(one) for one in header) + " \\\\"
    return "\n".join(
        [f"\\begin{{tabular}}{{{columns}}}", "\\hline", head, "\\hline", *rows, "\\hline", "\\end{tabular}"]
    )


def _escaper(special: dict[str, str]) -> Callable[[str], str]:
    table = str.maketrans(special)
    return lambda value: value.translate(table)


FORMATS: dict[str, Callable[[Board], str]] = {
    "text": text,
    "json": as_json,
    "csv": as_csv,
    "markdown": markdown,
    "latex": latex,
}
