"""A board for people and for programs: text, json, csv, markdown, latex."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence

from harness.board import Board, Metric, Row
from harness.errors import printable, unknown

TITLES = {
    "guidance_accuracy": "accuracy",
    "guidance_accuracy_strict": "strict",
    "guidance_accuracy_full": "full",
    "teaching_relevance": "relevance",
    "gold_score": "gold",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "bleu": "BLEU",
    "distinct_2": "distinct-2",
    "log_perplexity": "log ppl",
    "completion_tokens_p50": "length",
    "latency_p50_s": "p50 s",
    "tokens_per_s": "tok/s",
    "peak_memory_bytes": "peak GB",
}
"""Columns of the table, in order; a board's other metrics stand in json and csv."""

NOTES = """\
accuracy: gates G1-G3 pass and D3 is yes or to some extent (strict: yes; full: D1 = D2 = D3 = D5 = yes). relevance: \
D7 is yes. gold: 0 if a gate fails, else mean(D1..D6)/2. [ ] 95 % interval, clustered by problem. Ranks are ranges: \
paired differences, Holm-corrected. '-' is not measured."""


def render(board: Board, form: str) -> str:
    """The board in one of FORMATS. Raises UsageError for another name."""
    require_format(form)
    return FORMATS[form](board)


def require_format(form: str) -> None:
    """Raises UsageError if `form` is not one of FORMATS."""
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS), "--format")


def cell(name: str, metric: Metric | None) -> str:
    """One number with its interval, as the tables show it."""
    if metric is None:
        return "-"
    scale = 1e9 if name.endswith("_bytes") else 1.0
    digits = 0 if name in ("tokens_per_s", "completion_tokens_p50") else 2 if scale == 1e9 else 3
    text = f"{metric.value / scale:.{digits}f}"
    if metric.low is not None and metric.high is not None and name not in ("completion_tokens_p50", "latency_p50_s"):
        text += f" [{metric.low:.{min(digits, 2)}f}, {metric.high:.{min(digits, 2)}f}]"
    return f"{text} ({metric.unscored} unscored)" if metric.unscored else text


def rank(row: Row) -> str:
    if row.rank is None:
        return "-"
    best, worst = row.rank
    return str(best) if best == worst else f"{best}-{worst}"


def _table(board: Board) -> tuple[list[str], list[list[str]], list[Row]]:
    """Header, cells of the rows that have numbers, and the rows that have none or are not ranked."""
    shown = [row for row in board.rows if row.metrics and not row.note.startswith("superseded")]
    columns = [name for name in TITLES if any(name in row.metrics for row in shown)]
    header = ["rank", "system", *(TITLES[name] for name in columns), "n"]
    body = []
    for row in shown:
        n = max(
            (metric.n + metric.unscored for name, metric in row.metrics.items() if not name.endswith(("_s", "_bytes"))),
            default=0,
        )
        mark = "" if row.rank or not row.note else " *"
        body.append(
            [rank(row), printable(row.system) + mark, *(cell(name, row.metrics.get(name)) for name in columns), str(n)]
        )
    return header, body, [row for row in board.rows if row.note]


def text(board: Board) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header, body, others = _table(board)
    width = None if sys.stdout.isatty() else 200
    console = Console(file=io.StringIO(), width=width, force_terminal=sys.stdout.isatty())
    console.print(Text(f"{board.task} {printable(board.version)} ({board.digest[:8]})", style="bold"))
    if not body and not others:
        console.print(Text("No runs yet: easyds run --task " + board.task + " --model control/reference"))
    if body:
        grid = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in header:
            grid.add_column(Text(title))
        for cells in body:
            grid.add_row(*(Text(one) for one in cells))
        console.print(grid)
        console.print(Text(NOTES, style="dim"))
    for row in others:
        console.print(Text(f"* {printable(row.system)}, {row.run}: not ranked, {row.note}", style="dim"))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().rstrip("\n")


def as_json(board: Board) -> str:
    return json.dumps(board.as_json(), indent=1)  # in ASCII: a system's name may hold what a terminal obeys


def as_csv(board: Board) -> str:
    """One line per system and metric. Names that a spreadsheet would take for a formula are quoted with '."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "system", "run", "rank", "status", "metric", "value", "low", "high", "n", "unscored"])
    for row in board.rows:
        for name, metric in row.metrics.items():
            numbers = [metric.value, metric.low, metric.high, metric.n, metric.unscored]
            writer.writerow([board.task, harmless(row.system), row.run, rank(row), row.status, name, *numbers])
    return out.getvalue().rstrip("\n")


def harmless(value: str) -> str:
    """Text that a spreadsheet does not run and a terminal does not obey."""
    value = printable(value)
    return "'" + value if value.lstrip()[:1] in ("=", "+", "-", "@") else value


def markdown(board: Board) -> str:
    header, body, others = _table(board)
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
    lines += ["", NOTES, *(f"- {escape(printable(row.system))}, {row.run}: not ranked, {row.note}" for row in others)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(board: Board) -> str:
    header, body, _ = _table(board)
    special = {one: "\\" + one for one in "&%$#_{}"} | {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
    }
    escape = _escaper(special)
    rows = [" & ".join(escape(one) for one in cells) + " \\\\" for cells in body]
    columns = "ll" + "r" * (len(header) - 2)
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
