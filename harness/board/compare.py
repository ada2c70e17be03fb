"""Two systems or more, pair by pair: is the difference real, how large is it, and what could not have been seen?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.board.metric import CORRECTED, Frame, corrected, people_values, rubric_values
from harness.board.rows import misshapen, plain, shortcoming
from harness.board.table import Table, read
from harness.errors import EasyDSError, UsageError, unknown
from harness.record import Run
from harness.stats.compare import holm, paired_difference
from harness.stats.correction import PredictionPowered
from harness.stats.intervals import Floats, t_quantile
from harness.stats.power import detectable
from harness.types import Item, Task

METRICS = (
    "guidance_accuracy",
    "guidance_accuracy_strict",
    "guidance_accuracy_full",
    "teaching_relevance",
    "gold_score",
)
"""What is compared unless other metrics are named: those of them that every run measured."""

COSTS = ("latency_s", "first_token_s")
LOWER_IS_BETTER = {*COSTS, "self_bleu", "log_perplexity"}
SLICES = ("language", "knowledge_point", "difficulty", "hint_level", "misconception")
ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True, slots=True)
class Comparison:
    """System `a` less system `b` on one metric, on the items of `slice` ("": all) that both have a value for.

    `p` is corrected by Holm over all comparisons made together, `p_raw` is not; the interval is the 95 % interval of
    this one difference. `verdict`: better, worse or tie, said of `a`; "not compared" (all numbers None) with fewer than
    two common clusters. `detectable`: the difference that would be found with 80 % power after Holm's worst case.
    `corrected`: the difference with people's labels of some of the items taken in (PPI++ on paired differences), where
    both runs have them; its `labelled` counts the items.
    """

    a: str
    b: str
    metric: str
    slice: str
    verdict: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_raw: float | None = None
    method: str = ""
    n: int = 0
    clusters: int = 0
    detectable: float | None = None
    corrected: PredictionPowered | None = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """One run to be compared, under the name it was asked for."""

    name: str
    run: Run
    table: Table


def contestants(task: Task, runs: Sequence[Run], names: Sequence[str]) -> list[Contestant]:
    """The runs called `names`: a run folder's name, or a system's, which stands for its latest complete run.

    Raises UsageError for a name that is neither, or for fewer than two different runs.
    """
    usable = [run for run in runs if not misshapen(run) and run.manifest["task"]["digest"] == task.digest]
    found: dict[str, Contestant] = {}
    for name in names:
        one = _by_run(usable, name) or _by_system(task, usable, name)
        if one is None:
            known = {run.manifest["system"] for run in usable} | {run.id for run in usable}
            raise unknown(f"run, or system with a complete run, on {task.name}", name, sorted(known), "'easyds board'")
        found.setdefault(one.run.id, one)
    if len(found) < 2:
        raise UsageError("a comparison needs two different runs. 'easyds board' lists them.")
    return list(found.values())


def _by_run(runs: Sequence[Run], name: str) -> Contestant | None:
    return next((Contestant(name, run, read(run)) for run in runs if run.id == name), None)


def _by_system(task: Task, runs: Sequence[Run], name: str) -> Contestant | None:
    """The latest complete run of a system that can be read."""
    ours = [run for run in runs if run.manifest["system"] == name]
    for run in sorted(ours, key=lambda run: (run.manifest["created"], run.id), reverse=True):
        try:
            table = read(run)
        except EasyDSError:
            continue
        if not shortcoming(run, table, task):
            return Contestant(name, run, table)
    return None


def compare(
    task: Task, systems: Sequence[Contestant], metrics: Sequence[str] = (), by: str | None = None
) -> list[Comparison]:
    """Every pair on every metric and, with `by`, on every slice of the items; Holm-corrected over all of them.

    Raises UsageError for a metric that a run did not measure, for runs whose scores came from different sources or
    versions of one, and for an unknown slice.
    """
    frame = Frame.of(task)
    shared = [one for one in METRICS if all(per_row(task, system, one) is not None for system in systems)]
    if not metrics and not shared:
        raise UsageError(f"{', '.join(one.name for one in systems)} have no metric in common. Name one with --metric.")
    found = {metric: values(task, frame, systems, metric) for metric in metrics or shared}
    said = [people_values(one.run, frame, task.rubric)[1] for one in systems]
    cases = [
        (systems[i].name, systems[j].name, metric, name, rows[i], rows[j], members, _gap(said[i], said[j], metric))
        for metric, rows in found.items()
        for name, members in _slices(task, by)
        for i, j in combinations(range(len(systems)), 2)
    ]
    return _corrected([_one(frame, *case) for case in cases])


def _gap(first: Mapping[str, Floats], second: Mapping[str, Floats], metric: str) -> Floats | None:
    """What people say is between two systems on each item."""
    return first[metric] - second[metric] if metric in CORRECTED and metric in first and metric in second else None


def values(task: Task, frame: Frame, systems: Sequence[Contestant], metric: str) -> list[Floats]:
    """The metric of each item for each system, NaN where there is none.

    Raises UsageError for a metric that one did not measure, or that came from different sources or versions of one.
    """
    found = []
    for one in systems:
        rows = per_row(task, one, metric)
        if rows is None:
            costs = (name for name in COSTS if not np.isnan(one.table.measured[name]).all())
            known = [*rubric_values(one.table, task.rubric), *one.table.values, *costs]
            raise unknown("metric", metric, known, f"{one.name} has no value for it; --metric")
        found.append(frame.per_item(frame.rows(one.table), rows))
    _same_sources(task, systems, metric)
    return found


def per_row(task: Task, one: Contestant, metric: str) -> Floats | None:
    """The metric of each row of a run's table, NaN where there is none; None if the run did not measure it."""
    table = one.table
    known = rubric_values(table, task.rubric) | table.values | {name: table.measured[name] for name in COSTS}
    return None if metric not in known or np.isnan(known[metric]).all() else known[metric]


def _same_sources(task: Task, systems: Sequence[Contestant], metric: str) -> None:
    """Raises UsageError unless every run's values of `metric` came from the same sources."""
    if metric in COSTS:
        return
    found = {}
    for one in systems:
        used = one.table.sources
        of_rubric = {source for criterion, source in used.items() if criterion in task.rubric.criteria}
        found[one.name] = {used[metric]} if metric in used else of_rubric
    first = systems[0].name
    for name, sources in found.items():
        if sources != found[first]:
            raise UsageError(
                f"{metric}: {first} was scored by {', '.join(sorted(found[first]))}, {name} by {', '.join(sorted(sources))}. 'easyds score' one of them again."
            )


def _slices(task: Task, by: str | None) -> list[tuple[str, np.ndarray]]:
    """(name, whether each item is in it) of every slice."""
    if by is None:
        return [("", np.ones(len(task.items), dtype=np.bool_))]
    if by not in SLICES:
        raise unknown("slice", by, list(SLICES), "--by")
    found = [level(item, by) for item in task.items]
    return [(f"{by}={level}", np.array([one == level for one in found])) for level in sorted(set(found))]


def level(item: Item, by: str) -> str:
    """The slice that an item belongs to."""
    value = getattr(item, by)
    return "none" if value is None else str(value)


def _one(
    frame: Frame,
    a: str,
    b: str,
    metric: str,
    part: str,
    first: Floats,
    second: Floats,
    members: np.ndarray,
    people: Floats | None,
) -> Comparison:
    """One pair before correction; its verdict is open."""
    common = members & np.isfinite(first) & np.isfinite(second)
    clusters = frame.clusters[common]
    if len(np.unique(clusters)) < 2:
        return Comparison(a, b, metric, part, "not compared", n=int(common.sum()), clusters=len(np.unique(clusters)))
    pair = paired_difference(first[common], second[common], clusters)
    made = Comparison(
        a, b, metric, part, "", pair.value, pair.low, pair.high, None, pair.p, pair.method, pair.n, pair.clusters
    )
    if people is None:
        return made
    return replace(made, corrected=corrected(people[common], (first - second)[common], clusters))


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    made = [one for one in found if one.p_raw is not None]
    by_holm = dict(zip(map(id, made), holm([one.p_raw or 0.0 for one in made]) if made else ()))
    result = []
    for one in found:
        if one.p_raw is None or one.difference is None or one.high is None:
            result.append(one)
            continue
        p = float(by_holm[id(one)])
        ahead = (one.difference > 0) != (one.metric in LOWER_IS_BETTER)
        verdict = "tie" if p > ALPHA else "better" if ahead else "worse"
        error = (one.high - one.difference) / t_quantile(0.95, one.clusters - 1)
        least = detectable(error, one.clusters - 1, ALPHA / len(made), POWER) if error > 0 else None
        result.append(replace(one, p=p, verdict=verdict, detectable=least))
    return result


def comparison_json(task: Task, systems: Sequence[Contestant], found: Sequence[Comparison]) -> dict[str, Any]:
    """The comparisons for a program; numbers as on the board."""
    return {
        "task": task.name,
        "version": task.version,
        "task_digest": task.digest,
        "runs": {one.name: one.run.id for one in systems},
        "comparisons": [plain(asdict(one)) for one in found],
    }
