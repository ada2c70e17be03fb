"""What is served now, and what may take its place: the gate, the pointer `current.json`, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import board
from harness.board import Comparison
from harness.board.compare import per_row
from harness.errors import UsageError
from harness.record import Run, read_json, write_json
from harness.types import Task

CURRENT = "current.json"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one run may take the other's place, why not, and the comparisons (candidate less serving)."""

    passed: bool
    why: str
    comparisons: tuple[Comparison, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def decide(task: Task, candidate: Run, serving: Run, metric: str) -> Decision:
    """Better: the paired 95 % interval of the metric lies above 0. Not worse: no gate's interval lies below 0.

    Raises UsageError if a run did not measure the metric, or was scored by other sources than the other.
    """
    pair = board.contestants(task, [candidate, serving], [candidate.id, serving.id])
    gates = [gate for gate in task.rubric.gold["gates"] if all(per_row(task, one, gate) is not None for one in pair)]
    found = tuple(board.compare(task, pair, (metric, *gates)))
    problems = [f"worse: {_told(one)}" for one in found[1:] if one.high is not None and one.high < 0]
    if found[0].low is None or found[0].low <= 0:
        problems.insert(0, f"not better: {_told(found[0])}")
    return Decision(not problems, "; ".join(problems), found)


def _told(one: Comparison) -> str:
    if one.difference is None:
        return f"{one.metric} could not be compared (n = {one.n})"
    return f"{one.metric} {one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}] (n = {one.n})"


def told(comparisons: Sequence[Comparison]) -> str:
    return "; ".join(map(_told, comparisons))


def current(folder: Path) -> dict[str, Any] | None:
    """What is served now, None before anything was promoted."""
    found: dict[str, Any] | None = read_json(folder / CURRENT)
    return found


def promote(folder: Path, package: Path, digest: str, number: int, start: Path) -> None:
    """Let the pointer name a package, with what it named before in `before`. A second time nothing changes."""
    now = current(folder) or {"package": str(start.resolve()), "before": []}
    if now["package"] == str(package.resolve()):
        return
    before = [*now["before"], {key: value for key, value in now.items() if key != "before"}]
    row = {"package": str(package.resolve()), "digest": digest, "round": number, "since": _now()}
    write_json(folder / CURRENT, {**row, "before": before})


def go_back(folder: Path) -> str:
    """Let the pointer name what it named before, and return that. Raises UsageError if there is nothing before it."""
    now = current(folder)
    if now is None or not now["before"]:
        raise UsageError(f"{folder} promoted nothing that could be taken back.")
    *before, last = now["before"]
    left = {"package": now["package"], "round": now.get("round"), "at": _now()}
    write_json(folder / CURRENT, {**last, "before": before, "left": left})
    return str(last["package"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
