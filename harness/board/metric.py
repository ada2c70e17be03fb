"""Every metric of one run, from its columns. Samples of an item are averaged first; intervals are clustered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from harness.board.table import Bools, Ints, Table, of_scores
from harness.errors import EasyDSError, UsageError
from harness.record import LOAD, Run, read_json
from harness.stats.correction import PredictionPowered, prediction_powered_mean, rogan_gladen
from harness.stats.intervals import Floats, cluster_codes, clustered_error, clustered_table
from harness.stats.quantiles import quantile
from harness.types import Rubric, Task

CORRECTED = ("guidance_accuracy", "teaching_relevance", "gold_score")
"""Metrics of a run's own scores that people's labels correct; all lie between 0 and 1"""
SERVED = {
    "queries_per_s": "requests_per_s",
    "goodput_per_s": "goodput_per_s",
    "served_first_token_p50_s": "first_token_p50_s",
    "served_latency_p95_s": "latency_p95_s",
}
"""Metrics of a load test, and their names in its record"""
FULL = ("D1", "D2", "D3", "D5")


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of one system. Limits are None for a single measurement (a throughput); `n` counts what it rests on."""

    value: float
    low: float | None
    high: float | None
    n: int
    unscored: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """The items of a task as numbers: the number of each id, and the number of each item's cluster."""

    number: Mapping[str, int]
    clusters: Ints

    @classmethod
    def of(cls, task: Task) -> Frame:
        names: dict[str, int] = {}
        clusters = [names.setdefault(item.cluster, len(names)) for item in task.items]
        return cls({item.id: i for i, item in enumerate(task.items)}, np.array(clusters, dtype=np.intp))

    def rows(self, table: Table) -> Ints:
        """The task's number of each row's item. UsageError for an item that the task does not have."""
        try:
            numbers = np.fromiter((self.number[name] for name in table.items), dtype=np.intp, count=len(table.items))
        except KeyError as error:
            raise UsageError(f"it has an item that the task does not have ({error})") from error
        return numbers[table.item]

    def per_item(self, rows: Ints, values: Floats) -> Floats:
        """The mean of each item over its samples that have a value, NaN for items without one."""
        if np.bincount(rows).max(initial=0) <= 1:
            alone = np.full(len(self.clusters), np.nan)
            alone[rows] = values
            return alone
        scored = ~np.isnan(values)
        sums = np.bincount(rows[scored], weights=values[scored], minlength=len(self.clusters))
        counts = np.bincount(rows[scored], minlength=len(self.clusters))
        means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return means


def rubric_values(table: Table, rubric: Rubric) -> dict[str, Floats]:
    """The headline rates and the gold score of each row, NaN where they cannot be known for lack of a score.

    What no row has is left out. Definitions: docs/evaluation.md.
    """
    if not any(criterion in rubric.criteria for criterion in table.values):
        return {}
    absent, never = np.full(len(table.item), np.nan), np.zeros(len(table.item), dtype=np.bool_)
    used = [*rubric.gold["gates"], *rubric.gold["graded"], *FULL, "D7"]
    value = {name: table.values.get(name, absent) for name in used}
    applies = {name: table.applies.get(name, never) for name in used}
    passed = [value[gate] for gate in rubric.gold["gates"]]
    gates = _all_of([gate > 0 for gate in passed], [gate == 0 for gate in passed])
    lenient, strict = ((value["D3"] >= level, value["D3"] < level) for level in (1, 2))
    full = (
        applies["D3"] & np.logical_and.reduce([~applies[name] | (value[name] >= 2) for name in FULL]),
        np.logical_or.reduce([applies[name] & (value[name] < 2) for name in FULL]),
    )
    found = {
        "guidance_accuracy": _both(gates, lenient),
        "guidance_accuracy_strict": _both(gates, strict),
        "guidance_accuracy_full": _both(gates, full),
        "teaching_relevance": _known(value["D7"] >= 2, value["D7"] < 2),
        "gates": _known(*gates),
        "gold_score": _gold(gates, rubric.gold["graded"], value, applies),
    }
    return {name: values for name, values in found.items() if not np.isnan(values[table.answered]).all()}


Verdict = tuple[Bools, Bools]
"""(surely holds, surely does not); neither where a score is missing that would decide"""


def _all_of(hold: list[Bools], fail: list[Bools]) -> Verdict:
    return np.logical_and.reduce(hold), np.logical_or.reduce(fail)


def _both(one: Verdict, other: Verdict) -> Floats:
    """1 where both hold, 0 where one does not: a failed gate decides without the rest."""
    return _known(*_all_of([one[0], other[0]], [one[1], other[1]]))


def _known(holds: Bools, fails: Bools) -> Floats:
    return np.where(fails, 0.0, np.where(holds, 1.0, np.nan))


def _gold(gates: Verdict, graded: list[str], value: Mapping[str, Floats], applies: Mapping[str, Bools]) -> Floats:
    """`harness.rubric.gold_score` of every row at once."""
    total, count = np.zeros(len(gates[0])), np.zeros(len(gates[0]))
    for name in graded:
        total = total + np.where(applies[name], value[name], 0.0)
        count = count + applies[name]
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0) / 2
    return np.where(gates[1], 0.0, np.where(gates[0], mean, np.nan))


def rate(name: str, values: Mapping[str, float | None], rubric: Rubric) -> float | None:
    """One of the headline rates or the gold score for the rubric values of a single response; None if unknown."""
    one = np.ones(1, dtype=np.bool_)
    columns = {criterion: np.array([np.nan if value is None else value]) for criterion, value in values.items()}
    table = Table(
        ["*"], np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp), one, {}, columns, dict.fromkeys(columns, one)
    )
    found = rubric_values(table, rubric).get(name)
    return None if found is None else float(found[0])


RATES: Mapping[str, Callable[[Mapping[str, float | None], Rubric], float | None]] = {
    name: partial(rate, name)
    for name in ("guidance_accuracy", "guidance_accuracy_strict", "guidance_accuracy_full", "teaching_relevance")
}
"""The headline rates of the design, each from the rubric values of one response."""


def metrics(run: Run, table: Table, frame: Frame, rubric: Rubric) -> tuple[dict[str, Metric], dict[str, Floats]]:
    """Every metric of one run that was measured, and the headline rates and gold score of each item.

    UsageError for an item that the task does not have.
    """
    rows = frame.rows(table)
    headline = {name: values[table.answered] for name, values in rubric_values(table, rubric).items()}
    per_item = {name: frame.per_item(rows[table.answered], values) for name, values in headline.items()}
    found = _summaries(frame, per_item, headline, rates=set(per_item) - {"gold_score"})
    asked = {name: values[table.applies[name]] for name, values in table.values.items()}
    criteria = {name: frame.per_item(rows[table.applies[name]], values) for name, values in asked.items()}
    gates = {name for name in criteria if name in rubric.criteria and rubric.criteria[name].kind == "gate"}
    found |= _summaries(frame, criteria, asked, rates=gates)
    for name, score in table.whole.items():
        if score.value is not None:
            evidence = score.evidence or {}
            found[name] = Metric(score.value, evidence.get("low"), evidence.get("high"), int(evidence.get("n", 1)))
    for source, theirs in table.beside.items():
        rates = {name: values[table.answered] for name, values in rubric_values(theirs, rubric).items()}
        means = {name: frame.per_item(rows[table.answered], values) for name, values in rates.items()}
        summaries = _summaries(frame, means, rates, rates=set(means) - {"gold_score"})
        found |= {f"{name}@{source.partition('@')[0]}": one for name, one in summaries.items()}
    found |= _people(run, frame, rubric, per_item | {name: criteria[name] for name in gates})
    return found | _costs(table) | _throughput(run.manifest) | _load(run), per_item


def _people(run: Run, frame: Frame, rubric: Rubric, per_item: Mapping[str, Floats]) -> dict[str, Metric]:
    """What people said of the run: satisfaction, `NAME_people` (their labels alone) and, where the run's own scores

    have the same metric, `NAME_corrected`: the scores of all items, corrected by the labels of some (PPI++; gates, which
    are yes or no, by Rogan and Gladen).
    """
    table, people = people_values(run, frame, rubric)
    if table is None:
        return {}
    rated = {name: values for name, values in people.items() if name == "satisfaction" or name in CORRECTED}
    count = len(np.unique(frame.rows(table)))
    found = {}
    for name, one in _summaries(frame, rated, rated, rates={"guidance_accuracy", "teaching_relevance"}).items():
        key = name if name == "satisfaction" else f"{name}_people"
        found[key] = replace(one, unscored=count - one.n)
    for name in CORRECTED:
        if name in people and name in per_item and (made := _corrected(people[name], per_item[name], frame.clusters)):
            found[f"{name}_corrected"] = made
    for name in sorted(set(table.values) & set(per_item) - set(people)):
        labels = frame.per_item(frame.rows(table), table.values[name])
        if made := _corrected_gate(labels, per_item[name], frame.clusters):
            found[f"{name}_corrected"] = made
    return found


def people_values(run: Run, frame: Frame, rubric: Rubric) -> tuple[Table | None, dict[str, Floats]]:
    """What people said of each item: satisfaction, the headline rates and the gold score by their labels. None: nothing."""
    scores = run.people()
    if not scores:
        return None, {}
    table = of_scores(scores)
    rows = frame.rows(table)
    values = rubric_values(table, rubric)
    if "satisfaction" in table.values:
        values["satisfaction"] = table.values["satisfaction"]
    return table, {name: frame.per_item(rows, column) for name, column in values.items()}


def _corrected(people: Floats, judged: Floats, clusters: Ints) -> Metric | None:
    """The judged mean over all items, corrected by people's labels of some; None with fewer than three of their clusters."""
    made = corrected(people, judged, clusters)
    if made is None:
        return None
    value, low, high = (min(1.0, max(0.0, end)) for end in (made.value, made.low, made.high))
    return Metric(value, low, high, made.labelled)


def corrected(people: Floats, judged: Floats, clusters: Ints) -> PredictionPowered | None:
    """PPI++ of a value of each item (NaN where there is none): judged for all, said by people for some.

    None with fewer than three clusters of people's, or no item that only the judge has.
    """
    both, rest = ~np.isnan(people) & ~np.isnan(judged), np.isnan(people) & ~np.isnan(judged)
    if len(np.unique(clusters[both])) < 3 or not rest.any():
        return None
    return prediction_powered_mean(people[both], judged[both], judged[rest], clusters[both], clusters[rest])


def _corrected_gate(people: Floats, judged: Floats, clusters: Ints) -> Metric | None:
    """The rate of a gate behind a judge that errs; None where people or judge are in two minds, or it is no better than
    chance, or people have not seen both kinds."""
    decided = (judged == 0) | (judged == 1)
    both, rest = decided & ((people == 0) | (people == 1)), decided & np.isnan(people)
    good, bad = both & (people == 1), both & (people == 0)
    if not rest.any():
        return None
    p, n = float(judged[rest].mean()), int(rest.sum())
    spread, effect = p * (1 - p) / n, 1.0
    if spread > 0 and len(np.unique(clusters[rest])) > 1:
        codes, count = cluster_codes(clusters[rest], n)
        effect = max(1.0, clustered_error(judged[rest], codes, count) ** 2 / spread)
    try:
        made = rogan_gladen(
            int(judged[rest].sum()),
            n,
            int(judged[good].sum()),
            int(good.sum()),
            int((judged[bad] == 0).sum()),
            int(bad.sum()),
            design_effect=effect,
        )
    except ValueError:
        return None
    return Metric(made.value, made.low, made.high, int(both.sum()))


def _summaries(
    frame: Frame, per_item: Mapping[str, Floats], values: Mapping[str, Floats], rates: set[str]
) -> dict[str, Metric]:
    """The mean over items of each column, with the unscored of `values` counted. What was never scored is left out."""
    found: dict[str, Metric] = {}
    for are_rates in (True, False):
        names = [name for name in per_item if (name in rates) == are_rates]
        columns = np.array([per_item[name] for name in names]).reshape(len(names), len(frame.clusters))
        for name, interval in zip(names, clustered_table(columns, frame.clusters, are_rates)):
            if interval is not None:
                low, high = (None if np.isnan(end) else end for end in (interval.low, interval.high))
                found[name] = Metric(interval.value, low, high, interval.n, int(np.isnan(values[name]).sum()))
    return found


def _costs(table: Table) -> dict[str, Metric]:
    """Quantiles of what responses cost."""
    found: dict[str, Metric] = {}
    for column, names in {
        "latency_s": {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99},
        "first_token_s": {"first_token_p50_s": 0.5},
        "completion_tokens": {"completion_tokens_p50": 0.5},
    }.items():
        values = table.measured[column]
        values = values[~np.isnan(values)]
        for name, q in names.items() if len(values) else ():
            interval = quantile(values, q)
            found[name] = Metric(interval.value, interval.low, interval.high, interval.n)
    return found


def _throughput(manifest: Mapping[str, Any]) -> dict[str, Metric]:
    """Tokens per second and peak memory over the sessions of a run: single measurements, without limits."""
    sessions = [one for one in manifest.get("sessions", []) if one["completion_tokens"]]
    seconds = sum(one["generate_s"] for one in sessions)
    if not seconds:
        return {}
    tokens, count = (sum(one[name] for one in sessions) for name in ("completion_tokens", "responses"))
    found = {"tokens_per_s": Metric(tokens / seconds, None, None, count)}
    if manifest["identity"].get("provider") == "hf":  # elsewhere the model is in another process
        peaks = [one["peak_memory_bytes"].get("device", one["peak_memory_bytes"]["host"]) for one in sessions]
        found["peak_memory_bytes"] = Metric(float(max(peaks)), None, None, len(peaks))
    return found


def _load(run: Run) -> dict[str, Metric]:
    """What the model carried when it was served (`easyds loadtest --run`), at its best level of load."""
    try:
        record = read_json(run.folder / LOAD) or {}
        figures = (record.get("best") or {}).get("figures", {})
        found = {name: _number(figures[key]) for name, key in SERVED.items() if key in figures}
        if memory := record.get("server_memory_bytes"):
            found["serving_memory_bytes"] = _number({"value": memory, "n": 1})
    except (EasyDSError, KeyError, TypeError, ValueError, AttributeError):
        return {}  # a record that cannot be read takes nothing else from the run
    return found


def _number(one: Mapping[str, Any]) -> Metric:
    low, high = (None if one.get(end) is None else float(one[end]) for end in ("low", "high"))
    found = Metric(float(one["value"]), low, high, int(one["n"]))
    if not all(math.isfinite(end) for end in (found.value, found.low or 0.0, found.high or 0.0)):
        raise ValueError("a figure is not finite")
    return found
