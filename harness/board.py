"""The board: a pure function of run folders. Every number carries n and a 95 % interval; ranks are ranges.

A row stands for one system: its latest complete run on the task. What is partial, limited or made on another version
of the task is listed, not ranked. A metric that was not measured is absent, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.digest import digest
from harness.errors import GateFailed, Incomplete, UsageError, unknown
from harness.record import Run, find_runs
from harness.rubric import gold_score
from harness.stats.compare import paired_difference
from harness.stats.intervals import Interval, clustered_mean, clustered_rate
from harness.stats.quantiles import quantile
from harness.stats.ranking import rank_ranges, surely_better
from harness.types import Item, Response, Rubric, Score, Task

HEADLINE = "guidance_accuracy"
UNRANKED = f"{HEADLINE} was not measured"
Values = dict[str, float | None]
Key = tuple[str, int]
"""(item, sample)"""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of one system. Limits are None for a single measurement (a throughput); `n` counts what it rests on."""

    value: float
    low: float | None
    high: float | None
    n: int
    unscored: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One system on the board. `rank` is None if it is not ranked; `note` then says why."""

    system: str
    run: str
    rank: tuple[int, int] | None
    status: str
    note: str
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True)
class Board:
    """All systems on one version of one task."""

    task: str
    version: str
    digest: str
    rows: tuple[Row, ...]
    headline: str = HEADLINE

    def as_json(self) -> dict[str, Any]:
        """The board's contract on disk (docs/design.md)."""
        return {
            "task": self.task,
            "version": self.version,
            "digest": self.digest,
            "headline": self.headline,
            "rows": [{**asdict(row), "rank": list(row.rank) if row.rank else None} for row in self.rows],
        }


@dataclass(slots=True)
class Scored:
    """What the board needs of one run: responses, the source of each criterion, rubric values, other scores."""

    run: Run
    responses: list[Response]
    sources: dict[str, str] = field(default_factory=dict)
    rubric: dict[Key, Values] = field(default_factory=dict)
    other: dict[str, dict[Key, float | None]] = field(default_factory=dict)
    whole: dict[str, Score] = field(default_factory=dict)


def _strict(values: Values, rubric: Rubric, wanted: Callable[[Values], bool | None]) -> float | None:
    """1 if the gates pass and `wanted` holds, 0 if not; None if that cannot be known for lack of a score."""
    gates = [values.get(gate) for gate in rubric.gold["gates"]]
    if 0 in gates:
        return 0.0
    holds = wanted(values)
    if holds is False:
        return 0.0
    return None if None in gates or holds is None else 1.0


def _at_least(criterion: str, level: int) -> Callable[[Values], bool | None]:
    def holds(values: Values) -> bool | None:
        value = values.get(criterion)
        return None if value is None else value >= level

    return holds


def _full(values: Values) -> bool | None:
    """D1 = D2 = D3 = D5 = yes; a criterion that does not apply is skipped."""
    found = [values[name] for name in ("D1", "D2", "D3", "D5") if name in values]
    if any(value is not None and value < 2 for value in found):
        return False
    return None if None in found or "D3" not in values else True


RATES: Mapping[str, Callable[[Values, Rubric], float | None]] = {
    "guidance_accuracy": lambda values, rubric: _strict(values, rubric, _at_least("D3", 1)),
    "guidance_accuracy_strict": lambda values, rubric: _strict(values, rubric, _at_least("D3", 2)),
    "guidance_accuracy_full": lambda values, rubric: _strict(values, rubric, _full),
    "teaching_relevance": lambda values, rubric: _rate(_at_least("D7", 2)(values)),
}
"""The headline rates of the design, each from the rubric values of one response."""


def _rate(holds: bool | None) -> float | None:
    return None if holds is None else float(holds)


def read(run: Run, rubric: Rubric) -> Scored:
    """Scores of a run by kind, from the sources that its last scoring named.

    Raises UsageError if two of those sources fill the same criterion: then the number would depend on their order.
    """
    scored = Scored(run, run.responses())
    sources = set(run.manifest.get("scorers", ()))
    for score in run.scores():
        if score.source not in sources:
            continue
        if scored.sources.setdefault(score.criterion, score.source) != score.source:
            raise UsageError(
                f"run {run.id}: {scored.sources[score.criterion]} and {score.source} both fill {score.criterion}. Score it with one of them."
            )
        key = (score.item, score.sample)
        if score.item == "*":
            scored.whole[score.criterion] = score
        elif score.criterion in rubric.criteria:
            if not (score.value is None and score.reason == "not applicable"):
                scored.rubric.setdefault(key, {})[score.criterion] = score.value
        else:
            scored.other.setdefault(score.criterion, {})[key] = score.value
    return scored


def metrics(scored: Scored, items: Mapping[str, Item], rubric: Rubric) -> dict[str, Metric]:
    """Every metric of one run that was measured."""
    found: dict[str, Metric] = {}
    if scored.rubric:
        for name, values in rubric_values(scored, rubric).items():
            aggregate = clustered_mean if name == "gold_score" else clustered_rate
            _add(found, name, _summary(values, items, aggregate))
        for name, values in _by_criterion(scored).items():
            aggregate = clustered_rate if rubric.criteria[name].kind == "gate" else clustered_mean
            _add(found, name, _summary(values, items, aggregate))
    for name, values in scored.other.items():
        _add(found, name, _summary(values, items, clustered_mean))
    for name, score in scored.whole.items():
        if score.value is not None:
            evidence = score.evidence or {}
            found[name] = Metric(score.value, evidence.get("low"), evidence.get("high"), int(evidence.get("n", 1)))
    return found | _system_metrics(scored)


def rubric_values(scored: Scored, rubric: Rubric) -> dict[str, dict[Key, float | None]]:
    """The headline rates and the gold score of each response; a response without any rubric score is unscored."""
    keys = [(response.item, response.sample) for response in scored.responses]
    named = {name: {key: rate(scored.rubric.get(key, {}), rubric) for key in keys} for name, rate in RATES.items()}
    named["gold_score"] = {key: gold_score(rubric, scored.rubric.get(key, {})) for key in keys}
    return {name: values for name, values in named.items() if any(value is not None for value in values.values())}


def _by_criterion(scored: Scored) -> dict[str, dict[Key, float | None]]:
    table: dict[str, dict[Key, float | None]] = {}
    for key, values in scored.rubric.items():
        for criterion, value in values.items():
            table.setdefault(criterion, {})[key] = value
    return table


def _add(found: dict[str, Metric], name: str, metric: Metric | None) -> None:
    if metric is not None:
        found[name] = metric


def _summary(
    values: Mapping[Key, float | None], items: Mapping[str, Item], aggregate: Callable[..., Interval]
) -> Metric | None:
    """Samples of one item are averaged first; intervals are clustered. None if nothing was scored."""
    per_item = _per_item(values)
    if not per_item:
        return None
    clusters = [items[item].cluster for item in per_item]
    unscored = sum(value is None for value in values.values())
    if len(set(clusters)) < 2:
        return Metric(float(np.mean(list(per_item.values()))), None, None, len(per_item), unscored)
    interval = aggregate(list(per_item.values()), clusters)
    return Metric(interval.value, interval.low, interval.high, interval.n, unscored)


def _per_item(values: Mapping[Key, float | None]) -> dict[str, float]:
    table: dict[str, list[float]] = {}
    for (item, _), value in values.items():
        if value is not None:
            table.setdefault(item, []).append(value)
    return {item: sum(found) / len(found) for item, found in table.items()}


def _system_metrics(scored: Scored) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    latencies = [one.latency_s for one in scored.responses if one.latency_s is not None]
    firsts = [one.first_token_s for one in scored.responses if one.first_token_s is not None]
    lengths = [float(one.completion_tokens) for one in scored.responses if one.completion_tokens is not None]
    if latencies:
        for name, q in (("latency_p50_s", 0.5), ("latency_p95_s", 0.95), ("latency_p99_s", 0.99)):
            found[name] = _metric(quantile(latencies, q))
    if firsts:
        found["first_token_p50_s"] = _metric(quantile(firsts, 0.5))
    if lengths:
        found["completion_tokens_p50"] = _metric(quantile(lengths, 0.5))
    sessions = [one for one in scored.run.manifest.get("sessions", []) if one["completion_tokens"]]
    seconds = sum(one["generate_s"] for one in sessions)
    if seconds:
        count = sum(one["responses"] for one in sessions)
        found["tokens_per_s"] = Metric(sum(one["completion_tokens"] for one in sessions) / seconds, None, None, count)
        if scored.run.manifest["identity"].get("provider") == "hf":  # elsewhere the model is in another process
            peaks = [one["peak_memory_bytes"].get("device", one["peak_memory_bytes"]["host"]) for one in sessions]
            found["peak_memory_bytes"] = Metric(float(max(peaks)), None, None, len(peaks))
    return found


def _metric(interval: Interval) -> Metric:
    return Metric(interval.value, interval.low, interval.high, interval.n)


def build(task: Task, runs: Iterable[Run]) -> Board:
    """The board of `task` from `runs` (those of other tasks are passed over)."""
    items = {item.id: item for item in task.items}
    ours = [run for run in runs if run.manifest["task"]["name"] == task.name]
    notes = {run.id: _why_not_ranked(run, task) for run in ours}
    latest: dict[str, Run] = {}
    for run in sorted(ours, key=_age):
        if not notes[run.id]:
            if earlier := latest.get(run.manifest["system"]):
                notes[earlier.id] = f"superseded by {run.id}"
            latest[run.manifest["system"]] = run
    scored = {run.id: read(run, task.rubric) for run in ours if not _stale(run, task)}
    table = {run_id: metrics(one, items, task.rubric) for run_id, one in scored.items()}
    ranked = [run for run in latest.values() if HEADLINE in table[run.id]]
    for run in latest.values():
        if run not in ranked:
            notes[run.id] = UNRANKED
    for run in ranked:
        notes[run.id] = _other_scorers(scored[run.id], scored[max(ranked, key=_age).id], task.rubric)
    ranked = [run for run in ranked if not notes[run.id]]
    ranks = _ranks([scored[run.id] for run in ranked], items, task.rubric)
    rows = [
        Row(
            run.manifest["system"],
            run.id,
            ranks.get(run.id),
            run.manifest["status"],
            notes[run.id],
            table.get(run.id, {}),
        )
        for run in ours
    ]
    rows.sort(key=lambda row: (row.rank is None, row.rank or (0, 0), -_headline(row), row.system, row.run))
    return Board(task.name, task.version, digest([task.digest, [asdict(row) for row in rows]]), tuple(rows))


def _age(run: Run) -> tuple[str, str]:
    return run.manifest["created"], run.id


def _other_scorers(scored: Scored, latest: Scored, rubric: Rubric) -> str:
    """Why a run cannot be compared with the latest one, if other sources (or versions of one) filled its criteria."""
    ours, theirs = (
        {source for criterion, source in one.sources.items() if criterion in rubric.criteria}
        for one in (scored, latest)
    )
    if ours == theirs:
        return ""
    return (
        f"scored by {', '.join(sorted(ours))}, the latest run by {', '.join(sorted(theirs))}: 'easyds score' it again"
    )


def _headline(row: Row) -> float:
    metric = row.metrics.get(HEADLINE)
    return metric.value if metric else -1.0


def _stale(run: Run, task: Task) -> bool:
    return bool(run.manifest["task"]["digest"] != task.digest)


def _why_not_ranked(run: Run, task: Task) -> str:
    if _stale(run, task):
        return f"made on another version of the task ({run.manifest['task']['version']})"
    if run.manifest["status"] != "complete":
        return f"not complete ({run.manifest['status']})"
    if run.manifest["limit"] is not None:
        return f"limited to {run.manifest['limit']} items"
    return ""


def _ranks(scored: Sequence[Scored], items: Mapping[str, Item], rubric: Rubric) -> dict[str, tuple[int, int]]:
    """Rank ranges by paired clustered differences of the headline on common items, Holm-corrected over all pairs."""
    if not scored:
        return {}
    values = [_per_item(rubric_values(one, rubric)[HEADLINE]) for one in scored]
    k = len(values)
    difference, p = np.full((k, k), np.nan), np.full((k, k), np.nan)
    for i in range(k):
        for j in range(i + 1, k):
            common = [item for item in values[i] if item in values[j]]
            clusters = [items[item].cluster for item in common]
            if len(set(clusters)) > 1:
                pair = paired_difference(
                    [values[i][one] for one in common], [values[j][one] for one in common], clusters
                )
                difference[i, j], p[i, j] = pair.value, pair.p
    ranges = rank_ranges(surely_better(difference, p))
    return {one.run.id: span for one, span in zip(scored, ranges)}


def from_folder(task: Task, root: Path) -> Board:
    """The board of `task` from all runs below `root`."""
    return build(task, find_runs(root))


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
