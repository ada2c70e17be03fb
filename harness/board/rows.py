"""The board: a pure function of run folders. Every number carries n and a 95 % interval; ranks are ranges.

A row stands for one run on the task. Ranked is the latest complete run of each system. What is partial, limited, made
on another version of the task, trained on the gold score (an oracle arm) or cannot be read is listed, not ranked.
A metric that was not measured is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

import numpy as np

from harness.board.metric import Frame, Metric, metrics
from harness.board.table import Table, read
from harness.board.trust import objection
from harness.digest import digest
from harness.errors import EasyDSError
from harness.record import Run, scan
from harness.scorers import open_scorer
from harness.stats.compare import Pairs, paired_differences
from harness.stats.power import detectable
from harness.stats.ranking import rank_ranges, surely_better, tie_groups
from harness.types import Rubric, Task

HEADLINE = "guidance_accuracy"
UNRANKED = f"{HEADLINE} was not measured"
ORACLE = "oracle arm, trained on the gold score"
TARGETS: Mapping[str, tuple[Literal[">", "<"], float]] = {
    "guidance_accuracy": (">", 0.9),
    "teaching_relevance": (">", 0.85),
    "satisfaction": (">", 4.5),
    "latency_p95_s": ("<", 1.0),
    "peak_memory_bytes": ("<", 16e9),
    "queries_per_s": (">", 10.0),
}
"""The project's targets. A row says of each that it measured: met, not met, or undecided (its interval holds the bar)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run on the board. `rank` is None if it is not ranked; `note` then says why.

    `groups`: letters of the tie groups it stands in; two ranked rows that share one are not surely different.
    `stale`: made on another version of the task, or scored by a version of a scorer that is not the present one.
    """

    system: str
    run: str
    rank: tuple[int, int] | None
    status: str
    note: str
    metrics: Mapping[str, Metric]
    groups: tuple[str, ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    oracle: bool = False
    stale: bool = False
    created: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """All runs on one version of one task.

    `unreadable`: run folders that cannot be read, with the reason. `detectable`: the difference of the headline that
    the median pair of ranked rows would show with 80 % power after Holm's correction; None without a pair.
    """

    task: str
    version: str
    digest: str
    rows: tuple[Row, ...]
    headline: str = HEADLINE
    task_digest: str = ""
    items: int = 0
    clusters: int = 0
    detectable: float | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The board's contract on disk (docs/design.md)."""
        return {
            "task": self.task,
            "version": self.version,
            "digest": self.digest,
            "task_digest": self.task_digest,
            "items": self.items,
            "clusters": self.clusters,
            "headline": self.headline,
            "detectable": plain(self.detectable),
            "targets": {name: list(bar) for name, bar in TARGETS.items()},
            "rows": plain(self.rows),
            "unreadable": dict(self.unreadable),
        }


def plain(value: Any) -> Any:
    """As JSON holds it: lists, and numbers of nine digits, so that the last bits of a machine do not show."""
    if isinstance(value, Row | Metric):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def from_folder(task: Task, root: Path) -> Board:
    """The board of `task` from all runs below `root`. A folder that cannot be read is listed, and blocks nothing."""
    runs, unreadable = scan(root)
    return build(task, runs, unreadable)


def build(task: Task, runs: Iterable[Run], unreadable: Mapping[str, str] | None = None) -> Board:
    """The board of `task` from `runs` (those of other tasks are passed over)."""
    problems = dict(unreadable or {})
    frame, current = Frame.of(task), _versions(task)
    entries = []
    for run in runs:
        if problem := misshapen(run):
            problems[run.id] = problem
        elif run.manifest["task"]["name"] == task.name:
            entries.append(_Entry.of(run, task, frame, current))
    ranked = _choose(entries, task.rubric)
    pairs = paired_differences(np.array([one.headline for one in ranked]), frame.clusters) if ranked else None
    ranks, groups = _ranks(pairs) if pairs else ([], [])
    places = {one.run.id: place for place, one in enumerate(ranked)}
    rows = []
    for one in entries:
        place = places.get(one.run.id)
        rank, letters = (None, ()) if place is None else (ranks[place], groups[place])
        rows.append(one.row(rank, letters))
    rows.sort(key=lambda row: (row.rank is None, row.rank or (0, 0), -_headline(row), row.system, row.run))
    problems = dict(sorted(problems.items()))
    return Board(
        task=task.name,
        version=task.version,
        digest=digest([task.digest, plain(tuple(rows)), problems]),
        rows=tuple(rows),
        task_digest=task.digest,
        items=len(task.items),
        clusters=len(np.unique(frame.clusters)),
        detectable=_detectable(pairs) if pairs else None,
        unreadable=problems,
    )


@dataclass(slots=True)
class _Entry:
    """A run on its way to a row."""

    run: Run
    note: str
    stale: bool
    table: Table | None = None
    headline: np.ndarray | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, task: Task, frame: Frame, current: Mapping[str, str]) -> _Entry:
        """Read a run. What cannot be read, or says nothing of this version of the task, has a note and no metrics."""
        if run.manifest["task"]["digest"] != task.digest:
            other = "rubric" if run.manifest["task"].get("rubric", task.rubric.digest) != task.rubric.digest else "task"
            return cls(run, f"made on another version of the {other} ({run.manifest['task']['version']})", True)
        try:
            table = read(run)
            found, per_item = metrics(run, table, frame, task.rubric)
        except EasyDSError as error:
            return cls(run, str(error), False)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return cls(run, f"its manifest or a score has another form ({type(error).__name__}: {error})", False)
        note = shortcoming(run, table, task) or objection(run.folder.parent, table, task)
        return cls(run, note, _outdated(table, current), table, per_item.get(HEADLINE), found)

    @property
    def oracle(self) -> bool:
        return bool(self.run.manifest["identity"].get("oracle"))

    @property
    def age(self) -> tuple[str, str]:
        return self.run.manifest["created"], self.run.id

    def row(self, rank: tuple[int, int] | None, groups: tuple[str, ...]) -> Row:
        manifest = self.run.manifest
        return Row(
            system=manifest["system"],
            run=self.run.id,
            rank=rank,
            status=manifest["status"],
            note=self.note,
            metrics=self.metrics,
            groups=groups,
            targets={name: target(name, self.metrics[name]) for name in TARGETS if name in self.metrics},
            oracle=self.oracle,
            stale=self.stale,
            created=manifest["created"],
            sources=tuple(sorted(set(self.table.sources.values()))) if self.table else (),
        )


def target(name: str, metric: Metric) -> str:
    """Whether a metric meets the project's target: met, not met, or undecided if its interval holds the bar."""
    above, bar = TARGETS[name][0] == ">", TARGETS[name][1]
    ends = [metric.value if end is None else end for end in (metric.low, metric.high)]
    met = [end > bar if above else end < bar for end in ends]
    return "met" if all(met) else "undecided" if any(met) else "not met"


def misshapen(run: Run) -> str:
    """Why a manifest cannot be used although it can be read; "" if it can."""
    wanted = {"system": str, "task": dict, "identity": dict, "requests": int}
    if bad := next((name for name, kind in wanted.items() if not isinstance(run.manifest.get(name), kind)), None):
        return f"its manifest lacks or misshapes '{bad}'. Restore it or move the run away."
    if not all(isinstance(run.manifest["task"].get(name), str) for name in ("name", "version", "digest")):
        return "its manifest does not say on which task it was made. Restore it or move the run away."
    return ""


def shortcoming(run: Run, table: Table, task: Task) -> str:
    """Why a run says less than a whole run on the task would; "" if it does not."""
    if run.manifest["status"] != "complete":
        return f"not complete ({run.manifest['status']})"
    if run.manifest.get("limit") is not None:
        return f"limited to {run.manifest['limit']} items"
    missing = run.manifest["requests"] - int(table.answered.sum())
    unasked = len(task.items) - int(np.count_nonzero(np.bincount(table.item[table.answered])))
    if missing > 0 or unasked > 0:
        return f"{max(missing, unasked)} responses are missing although it is marked complete"
    return ""


def _outdated(table: Table, current: Mapping[str, str]) -> bool:
    """Whether a source of the run is another version of one that the task's scorers are now."""
    found = (source.partition("@") for source in set(table.sources.values()))
    return any(version != current.get(name, version) for name, _, version in found)


def _versions(task: Task) -> dict[str, str]:
    """The present version of each source of the task's scorers."""
    found = {}
    for spec in task.scorers:
        try:
            name, _, version = open_scorer(spec).source.partition("@")
        except EasyDSError:  # a scorer that cannot be opened here (no key, no model) has no present version
            continue
        found[name] = version
    return found


def _choose(entries: Sequence[_Entry], rubric: Rubric) -> list[_Entry]:
    """The runs to rank: the latest of each system that has no note. The others get a note that says why not."""
    latest: dict[str, _Entry] = {}
    for one in sorted((one for one in entries if not one.note), key=lambda one: one.age):
        if earlier := latest.get(one.run.manifest["system"]):
            earlier.note = f"superseded by {one.run.id}"
        latest[one.run.manifest["system"]] = one
    for one in latest.values():
        one.note = ORACLE if one.oracle else UNRANKED if one.headline is None else ""
    candidates = [one for one in latest.values() if not one.note]
    for one in candidates:
        one.note = _other_scorers(one, max(candidates, key=lambda one: one.age), rubric)
    return [one for one in candidates if not one.note]


def _other_scorers(one: _Entry, latest: _Entry, rubric: Rubric) -> str:
    """Why a run cannot be compared with the latest one, if other sources (or versions of one) filled its criteria."""
    ours, theirs = (
        {source for criterion, source in each.table.sources.items() if criterion in rubric.criteria}
        for each in (one, latest)
        if each.table
    )
    if ours == theirs:
        return ""
    return (
        f"scored by {', '.join(sorted(ours))}, the latest run by {', '.join(sorted(theirs))}: 'easyds score' it again"
    )


def _ranks(pairs: Pairs) -> tuple[list[tuple[int, int]], list[tuple[str, ...]]]:
    """Rank ranges and tie groups by paired clustered differences on common items, Holm-corrected over all pairs."""
    better = surely_better(pairs.difference, pairs.p)
    letters: list[list[str]] = [[] for _ in better]
    for number, group in enumerate(tie_groups(better)):
        for place in group:
            letters[place].append(_letter(number))
    return rank_ranges(better), [tuple(one) for one in letters]


def _letter(number: int) -> str:
    """A to Z, AA, AB and so on."""
    name = ""
    while number >= 0:
        name = ascii_uppercase[number % 26] + name
        number = number // 26 - 1
    return name


def _detectable(pairs: Pairs) -> float | None:
    known = np.flatnonzero(np.isfinite(pairs.error))
    if not len(known):
        return None
    middle = known[np.argsort(pairs.error.flat[known])[len(known) // 2]]
    error, clusters = float(pairs.error.flat[middle]), int(pairs.clusters.flat[middle])
    return detectable(error, clusters - 1, 0.05 / len(known)) if error > 0 else None


def _headline(row: Row) -> float:
    metric = row.metrics.get(HEADLINE)
    return metric.value if metric else -1.0
