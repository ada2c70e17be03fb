"""One metric by knowledge point, language and difficulty: where a system is good, and where too little was asked to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.board.compare import SLICES, Contestant, level, per_row
from harness.board.metric import RATES, Frame, Metric, people_values
from harness.board.table import read, voice
from harness.errors import require
from harness.record import Run
from harness.stats.intervals import Floats, Interval, clustered_table
from harness.types import Task

FEW = 30
"""Items below which a slice says too little to be read alone"""


@dataclass(frozen=True, slots=True)
class Slice:
    """A metric of one run on the items of `values` (one for each of the properties asked for). `few`: n is below FEW.

    `metric` is None where nothing was measured. An interval is that of this one slice: of twenty slices one is expected
    to lie outside.
    """

    system: str
    run: str
    values: tuple[str, ...]
    items: int
    metric: Metric | None
    few: bool


def slices(task: Task, runs: Sequence[Run], metric: str, by: Sequence[str] = ("knowledge_point",)) -> list[Slice]:
    """`metric` of each run in each slice of the task's items. What people and further judges say is

    called by the names it has on the board (`satisfaction`, `NAME_people`, `NAME@judge/X`). Raises UsageError for an
    unknown slice.
    """
    for one in by:
        require("slice", one, list(SLICES), "--by")
    frame = Frame.of(task)
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, item in enumerate(task.items):
        groups.setdefault(tuple(level(item, name) for name in by), []).append(number)
    found = []
    for run in runs:
        values = _values(task, frame, run, metric)
        columns = np.full((len(groups), len(task.items)), np.nan)
        for place, members in enumerate(groups.values()):
            if values is not None:
                columns[place, members] = values[members]
        name = metric.partition("@")[0].removesuffix("_people")
        rates = name in RATES or _is_gate(task, name)
        for (group, members), interval in zip(groups.items(), clustered_table(columns, frame.clusters, rates)):
            made = None if interval is None else _metric(interval)
            few = made is None or made.n < FEW
            found.append(Slice(run.manifest["system"], run.id, group, len(members), made, few))
    return sorted(found, key=lambda one: (one.values, one.system, one.run))


def _metric(interval: Interval) -> Metric:
    low, high = (None if np.isnan(end) else end for end in (interval.low, interval.high))
    return Metric(interval.value, low, high, interval.n)


def _values(task: Task, frame: Frame, run: Run, metric: str) -> Floats | None:
    """The metric of each item, None if the run does not have it."""
    if metric == "satisfaction" or metric.endswith("_people"):
        return people_values(run, frame, task.rubric)[1].get(metric.removesuffix("_people"))
    table, name = voice(read(run), metric)
    rows = None if table is None else per_row(task, Contestant(run.id, run, table), name)
    return None if table is None or rows is None else frame.per_item(frame.rows(table), rows)


def _is_gate(task: Task, metric: str) -> bool:
    return metric == "gates" or (metric in task.rubric.criteria and task.rubric.criteria[metric].kind == "gate")
