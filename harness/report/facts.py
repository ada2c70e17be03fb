"""Everything a report says, computed from an experiment's folder: numbers with n and interval, each with the runs it is of.

The unit is the arm: its checkpoints by several training seeds. With two seeds or more an interval holds for new seeds and
new items; with one it is a statement about these checkpoints, and marked so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from harness import task as tasks
from harness.board.compare import METRICS, Contestant, per_row
from harness.board.metric import Frame
from harness.board.rows import plain
from harness.board.table import read
from harness.errors import UsageError
from harness.experiment import cost
from harness.experiment.execute import MADE
from harness.experiment.ledger import rows
from harness.record import MANIFEST, Run, read_lines
from harness.stages import EVENTS
from harness.stats.bootstrap import hierarchical_bootstrap, hierarchical_bootstrap_difference, seeded_rate
from harness.stats.compare import paired_difference
from harness.stats.intervals import Floats, clustered_mean, clustered_rate
from harness.types import Task

HEADLINE = "gold_score"
"""What verdicts are on: graded, so small differences show; the accuracies stand beside it."""
DIAGNOSIS, MANNER = ("D1", "D2"), ("D4", "D5", "D6")
"""What an answer knows of the mistake, and how it speaks: gains in the one are no gains in the other."""
SLICES = ("language", "knowledge_point", "misconception")
CURVES = ("loss", "reward", "accuracy", "margin", "reference_kl", "update_kl", "multiplier", "grad_norm", "length")
POINTS = 200
"""Most points of a curve that are kept."""
FILE = "report.json"


@dataclass(frozen=True)
class ArmRuns:
    """An arm and the runs of its checkpoints, by seed."""

    name: str
    role: str
    runs: Mapping[str, Contestant]
    folders: Mapping[str, Mapping[str, Path]]
    """by seed, the folder of each stage"""
    drifts: Mapping[str, Path]

    @property
    def trained(self) -> bool:
        return any(self.folders.values())


class Experiment:
    """An experiment's folder, for reading. Raises UsageError if it is none, or not every run is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.made = json.loads((folder / MADE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(
                f"{folder} has no {MADE}: it is no experiment. 'easyds experiment run' makes one."
            ) from error
        self.plan: dict[str, Any] = rows(folder, "plan")[-1]["plan"]
        self.task = tasks.load(self.made["task"])
        self.frame = Frame.of(self.task)
        self.arms = [self._arm(name, row) for name, row in self.made["arms"].items()]

    def _arm(self, name: str, row: Mapping[str, Any]) -> ArmRuns:
        runs, folders, drifts = {}, {}, {}
        for seed, one in row["seeds"].items():
            path = self.folder / one["run"]
            if not (path / MANIFEST).exists() or Run(path).manifest["status"] != "complete":
                raise UsageError(
                    f"{path} is not complete, so there is nothing to report yet. 'easyds experiment run' goes on with it."
                )
            run = Run(path)
            if run.manifest["task"]["digest"] != self.task.digest:
                raise UsageError(f"{path} was made on another version of the task {self.task.name}.")
            runs[seed] = Contestant(one["system"], run, read(run))
            folders[seed] = {stage: self.folder / place for stage, place in one["stages"].items()}
            if one["drift"]:
                drifts[seed] = self.folder / one["drift"]
        return ArmRuns(name, row["role"], runs, folders, drifts)

    def arm(self, name: str) -> ArmRuns:
        return next(one for one in self.arms if one.name == name)

    @cached_property
    def verdict(self) -> tuple[ArmRuns, ArmRuns] | None:
        """The two arms that the experiment is about: the plan's, or the first two ranked ones that were trained."""
        named = self.plan.get("gaps", {}).get("verdict")
        ranked = [one for one in self.arms if one.role == "ranked" and one.trained]
        pair = [self.arm(name) for name in named] if named else ranked[:2]
        return (pair[0], pair[1]) if len(pair) == 2 else None

    def scores(self, arm: ArmRuns, metric: str) -> Floats | None:
        """Seeds x items of the task; None if a run did not measure it."""
        found = [self._row(one, metric) for one in arm.runs.values()]
        return None if any(one is None for one in found) else np.stack([one for one in found if one is not None])

    def _row(self, one: Contestant, metric: str) -> Floats | None:
        values = per_row(self.task, one, metric)
        return None if values is None else self.frame.per_item(self.frame.rows(one.table), values)


def facts(folder: Path) -> dict[str, Any]:
    """What the report says, as JSON. Raises UsageError if the experiment in `folder` is not done."""
    one = Experiment(folder)
    metrics = [*METRICS, "gates", *[name for name in one.task.rubric.criteria if name.startswith("D")]]
    return {
        "name": one.made["name"],
        "plan": one.plan,
        "plan_digest": one.made["plan"],
        "task": _task(one.task),
        "headline": HEADLINE,
        "protocol": _protocol(one),
        "arms": [_arm(one, arm, metrics) for arm in one.arms],
        "shared": {name: _stage(folder / place) for name, place in one.made["shared"].items()},
        "differences": _differences(one, metrics),
        "slices": _slices(one),
        "frontier": {arm.name: points for arm in one.arms if (points := _frontier(arm))},
        "curves": {arm.name: curves for arm in one.arms if (curves := _curves(arm))},
        "examples": _examples(one),
    }


def _task(task: Task) -> dict[str, Any]:
    clusters = len({item.cluster for item in task.items})
    return {
        "name": task.name,
        "version": task.version,
        "digest": task.digest,
        "items": len(task.items),
        "clusters": clusters,
    }


def _protocol(one: Experiment) -> dict[str, Any]:
    tests = rows(one.folder, "test")
    return {
        "budget": one.made["budget"],
        "seeds": one.plan["seeds"],
        "tuning_seed": one.plan.get("tuning_seed", 100),
        "select": one.made["select"],
        "validation": one.made["validation"],
        "plan_recorded": rows(one.folder, "plan")[-1]["time"],
        "first_test": min((row["time"] for row in tests), default=None),
        "test_scorings": len(tests),
        "tuning": [
            {"arm": row["arm"], "trials": row["trials"], "values": row["values"], "chosen": row["trial"]}
            for row in rows(one.folder, "chosen")
        ],
        "trials": {name: row["trial"] for name, row in one.made["arms"].items()},
        "hardware": _hardware(next(iter(one.arms[0].runs.values())).run),
    }


def _hardware(run: Run) -> dict[str, Any]:
    found = run.manifest.get("environment", {}).get("hardware", {})
    return {"processor": found.get("processor", "-"), "cores": found.get("cores", "-"), "gpus": found.get("gpus", [])}


def _arm(one: Experiment, arm: ArmRuns, metrics: Sequence[str]) -> dict[str, Any]:
    measured = {name: value for name in metrics if (value := _level(one, arm, name))}
    per_seed = [list(folders.values()) for folders in arm.folders.values()]
    each = [{name: cost.of(path) for name, path in folders.items()} for folders in arm.folders.values()]
    return {
        "name": arm.name,
        "role": arm.role,
        "systems": {seed: contestant.name for seed, contestant in arm.runs.items()},
        "metrics": measured,
        "length": _mean_length(arm),
        "latency_s": _median(arm, "latency_s"),
        "costs": {name: asdict(_mean([costs[name] for costs in each])) for name in (each[0] if each else ())},
        "total": asdict(_mean([_sum(list(costs.values())) for costs in each])) if arm.trained else None,
        "difficulty": asdict(cost.difficulty(per_seed[0])) if arm.trained else None,
    }


def _level(one: Experiment, arm: ArmRuns, metric: str) -> dict[str, Any] | None:
    """The metric's mean over seeds and items with its interval; None where it was not measured."""
    table = one.scores(arm, metric)
    if table is None:
        return None
    known = np.isfinite(table).all(axis=0)
    if not known.any():
        return None
    kept, clusters = table[:, known], one.frame.clusters[known]
    rate = metric not in (HEADLINE, *one.task.rubric.criteria)
    if len(kept) > 1:
        interval = (seeded_rate if rate else hierarchical_bootstrap)(kept, clusters)
    else:
        interval = (clustered_rate if rate else clustered_mean)(kept[0], clusters)
    seeds = dict(zip(arm.runs, kept.mean(axis=1).tolist()))
    numbers = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {**plain(numbers), "n": int(known.sum()), "seeds": plain(seeds)}


def _mean_length(arm: ArmRuns) -> float | None:
    each = [one.table.measured["completion_tokens"] for one in arm.runs.values()]
    values = np.concatenate(each)
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _median(arm: ArmRuns, name: str) -> float | None:
    values = np.concatenate([one.table.measured[name] for one in arm.runs.values()])
    return None if np.isnan(values).all() else float(np.nanmedian(values))


def _stage(folder: Path) -> dict[str, Any]:
    return asdict(cost.of(folder))


def _sum(costs: Sequence[cost.Cost]) -> cost.Cost:
    found = cost.Cost()
    for one in costs:
        found += one
    return found


def _mean(costs: Sequence[cost.Cost]) -> cost.Cost:
    """Of the seeds; the peak is the highest."""
    whole, count = _sum(costs), len(costs)
    return cost.Cost(
        whole.seconds / count,
        whole.cpu_seconds / count,
        None if whole.flops is None else whole.flops / count,
        whole.peak_memory_bytes,
        None if whole.tokens is None else whole.tokens // count,
        None if whole.energy_j is None else whole.energy_j / count,
    )


def _differences(one: Experiment, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Every named gap, every pair of ranked arms, and each trained arm less the first that was not, on every metric.

    `verdict` is better or worse where an interval leaves out 0, else tie: the 95 % interval for the plan's question, which
    is asked once; for all other pairs one corrected for all comparisons of ranked arms (Bonferroni). `low` and `high`
    are the 95 % interval of the one difference.
    """
    gaps = {tuple(pair): name for name, pair in one.plan.get("gaps", {}).items()}
    ranked = [arm.name for arm in one.arms if arm.role == "ranked"]
    start = next((arm.name for arm in one.arms if arm.role == "ranked" and not arm.trained), None)
    pairs = [*gaps, *((b, a) for a, b in combinations(ranked, 2))]
    pairs += [(arm.name, start) for arm in one.arms if start and arm.trained]
    pairs = list({frozenset(pair): pair for pair in reversed(pairs)}.values())[::-1]
    level = 1 - 0.05 / max(1, len(ranked) * (len(ranked) - 1) // 2)
    found = []
    everything = np.ones(len(one.task.items), dtype=np.bool_)
    for a, b in pairs:
        gap = gaps.get((a, b))
        for metric in [*metrics, "diagnosis", "manner"]:
            strict = 0.95 if gap == "verdict" and metric == HEADLINE else level
            row = _difference(one, one.arm(a), one.arm(b), metric, everything, strict)
            if row:
                found.append({"gap": gap, **row})
    return found


def _values(one: Experiment, arm: ArmRuns, metric: str) -> Floats | None:
    """A metric, or the mean of a group of criteria as a share of the highest label."""
    groups = {"diagnosis": DIAGNOSIS, "manner": MANNER}
    if metric not in groups:
        return one.scores(arm, metric)
    parts = [one.scores(arm, name) for name in groups[metric]]
    if any(part is None for part in parts):
        return None
    stacked = np.stack([part for part in parts if part is not None])
    known = np.isfinite(stacked)
    sums, counts = np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0)
    means: Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0) / 2
    return means


def _difference(
    one: Experiment, a: ArmRuns, b: ArmRuns, metric: str, members: np.ndarray, level: float
) -> dict[str, Any] | None:
    first, second = _values(one, a, metric), _values(one, b, metric)
    if first is None or second is None:
        return None
    known = members & np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)
    clusters = one.frame.clusters[known]
    if len(np.unique(clusters)) < 2:
        return None
    low, high, value = _interval(first[:, known], second[:, known], clusters, 0.95)
    strict_low, strict_high, _ = _interval(first[:, known], second[:, known], clusters, level)
    verdict = "better" if strict_low > 0 else "worse" if strict_high < 0 else "tie"
    numbers = plain({"value": value, "low": low, "high": high})
    sizes = {"n": int(known.sum()), "clusters": len(np.unique(clusters)), "seeds": [len(first), len(second)]}
    return {"a": a.name, "b": b.name, "metric": metric, **numbers, **sizes, "verdict": verdict}


def _interval(first: Floats, second: Floats, clusters: np.ndarray, level: float) -> tuple[float, float, float]:
    """(low, high, value). One checkpoint against several seeds: that checkpoint is what it is, no seed of it is new."""
    if len(first) == 1 and len(second) == 1:
        pair = paired_difference(first[0], second[0], clusters, level)
        return pair.low, pair.high, pair.value
    both = [np.repeat(table, 2, axis=0) if len(table) == 1 else table for table in (first, second)]
    found = hierarchical_bootstrap_difference(both[0], both[1], clusters, level)
    return found.low, found.high, found.value


def _slices(one: Experiment) -> list[dict[str, Any]]:
    """The verdict's difference on parts of the items."""
    if not one.verdict:
        return []
    found = []
    for by in SLICES:
        levels = [str(getattr(item, by) or "none") for item in one.task.items]
        for level in sorted(set(levels)):
            members = np.array([value == level for value in levels])
            row = _difference(one, *one.verdict, HEADLINE, members, 0.95)
            if row and row["clusters"] > 4:
                found.append({"by": by, "level": level, **row})
    return found


def _frontier(arm: ArmRuns) -> dict[str, list[dict[str, float]]]:
    """By seed: KL to the start, gold score and reward on validation items, along the run or at its end."""
    found = {}
    for seed, folders in arm.folders.items():
        places = [*folders.values(), *([arm.drifts[seed]] if seed in arm.drifts else [])]
        points = [row for place in places for row in read_lines(place / EVENTS) if row.get("phase") == "validation"]
        kept = [{key: row[key] for key in ("step", "reference_kl", "gold", "reward") if key in row} for row in points]
        if kept:
            found[seed] = plain(kept)
    return found


def _curves(arm: ArmRuns) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """By seed and stage, the columns of its events, thinned."""
    found: dict[str, dict[str, Any]] = {}
    for seed, folders in arm.folders.items():
        for stage, folder in folders.items():
            events = [row for row in read_lines(folder / EVENTS) if row.get("phase") not in ("validation", "alarm")]
            thin = events[:: max(1, -(-len(events) // POINTS))]
            keys = ["step", *[key for key in CURVES if any(key in row for row in thin)]]
            found.setdefault(seed, {})[stage] = plain({key: tuple(row.get(key) for row in thin) for key in keys})
    return found


def _examples(one: Experiment) -> list[dict[str, Any]]:
    """Where the verdict's arms differ most, either way, and one item where they do not, of the first seed."""
    if not one.verdict:
        return []
    a, b = one.verdict
    seed = next(iter(a.runs))
    if seed not in b.runs:
        return []
    first, second = (one._row(arm.runs[seed], HEADLINE) for arm in (a, b))
    if first is None or second is None:
        return []
    gap = np.nan_to_num(first - second)
    chosen = dict.fromkeys([int(gap.argmax()), int(gap.argmin()), int(np.abs(gap).argmin())])
    texts = {
        arm.name: {row.item: row.text for row in arm.runs.get(seed, next(iter(arm.runs.values()))).run.responses()}
        for arm in one.arms
        if arm.role == "ranked"
    }
    found = []
    for place in chosen:
        item = one.task.items[place]
        said = {name: answers.get(item.id, "") for name, answers in texts.items()}
        scores = {arm.name: plain(float(row[place])) for arm, row in zip((a, b), (first, second))}
        asked = [{"role": turn.role, "content": turn.content} for turn in item.messages]
        found.append({"item": item.id, "seed": seed, "asked": asked, "said": said, "scores": scores})
    return found
