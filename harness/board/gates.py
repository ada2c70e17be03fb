"""`--fail-under METRIC=X`: a board as a gate for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.board.rows import UNRANKED, Board, Row
from harness.errors import GateFailed, Incomplete, UsageError, unknown


def conditions(texts: Sequence[str]) -> list[tuple[str, float]]:
    """(metric, bar) of every `METRIC=NUMBER`. Raises UsageError for a text of another form."""
    found = []
    for text in texts:
        name, _, number = text.partition("=")
        try:
            bar = float(number)
        except ValueError:
            bar = math.nan
        if not name or not math.isfinite(bar):
            raise UsageError(f"--fail-under '{text}' is not METRIC=NUMBER.")
        found.append((name, bar))
    return found


def gate_all(board: Board, bars: Sequence[tuple[str, float]]) -> None:
    """`gate` for every current system of a board. Raises Incomplete if there is none: then nothing was checked."""
    rows = [row for row in board.rows if row.rank or row.note == UNRANKED]
    if bars and not rows:
        raise Incomplete(f"no complete run on {board.task} {board.version}: --fail-under has nothing to check.")
    for row in rows:
        gate(row, bars)


def gate(row: Row, bars: Sequence[tuple[str, float]]) -> None:
    """Check the lower ends of a row's intervals against `bars`.

    Raises GateFailed naming the first that lies below its bar, UsageError for a metric that the row does not have.
    """
    for name, bar in bars:
        if name not in row.metrics:
            raise unknown("metric", name, list(row.metrics), "--fail-under takes a metric that was measured: the board")
        metric = row.metrics[name]
        low = metric.value if metric.low is None else metric.low
        if low < bar:
            raise GateFailed(
                f"{row.system}: {name} is {metric.value:.3f} with its lower end at {low:.3f} (n = {metric.n}), below {bar:g}."
            )
