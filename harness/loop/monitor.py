"""How the service does: measures of a log with intervals, drift against another sample, and the alarms of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import task as tasks
from harness.board import Metric
from harness.errors import UsageError, require
from harness.loop import drift
from harness.loop.drift import Drift, Sample
from harness.loop.served import Turn, read
from harness.paths import read_yaml
from harness.record import MANIFEST, Run
from harness.stats.intervals import Interval, clustered_mean, wilson
from harness.stats.quantiles import quantile

ALARMS = Path(__file__).with_name("alarms.yaml")
MEASURES = (
    "latency_p50_s",
    "latency_p95_s",
    "turns_per_s",
    "busiest_minute_per_s",
    "gate_failures",
    "regenerated",
    "fallbacks",
    "satisfaction",
    "thumbs_up",
)
SIZES = {"chi-square": "population_stability", "Kolmogorov-Smirnov": "distance", "Fisher": "rate"}
"""The key of the alarms file that bounds the size of each test's change"""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is out of bounds, in one line."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """A log watched. A measure that nothing was known for is absent."""

    turns: int
    measures: Mapping[str, Metric]
    drift: tuple[Drift, ...]
    alarms: tuple[Alarm, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def watch(log: Path, against: Path | None = None, alarms: Path = ALARMS, task: str | None = None) -> Report:
    """The report on a log, with drift against a run folder or another log if one is given.

    Raises UsageError for files that are none of these, or an alarms file with other keys.
    """
    bars = thresholds(alarms)
    turns = read(log)
    measures = measure(turns)
    changes = drift.compare(drift.of_turns(turns), reference(against, task)) if against else []
    found = [*_beyond(measures, bars["measures"]), *_drifted(changes, bars["drift"])]
    return Report(len(turns), measures, tuple(changes), tuple(found))


def reference(path: Path, task: str | None) -> Sample:
    """What a log is held against. Raises UsageError for a run on another version of its task."""
    if not (path / MANIFEST).exists():
        return drift.of_turns(read(path))
    run = Run(path)
    the_task = tasks.load(task or run.manifest["task"]["name"])
    if the_task.digest != run.manifest["task"]["digest"]:
        raise UsageError(f"run {run.id} was made on another task than {the_task.name} as it is now. Give its --task.")
    return drift.of_run(run, the_task)


def measure(turns: Sequence[Turn]) -> dict[str, Metric]:
    """Latency, throughput, gates and feedback. Intervals are 95 % and take turns as independent."""
    seconds = [one.seconds for one in turns]
    found = {name: _metric(quantile(seconds, q)) for name, q in (("latency_p50_s", 0.5), ("latency_p95_s", 0.95))}
    span = max(one.at for one in turns) - min(one.at for one in turns)
    if span > 0:
        busiest = max(Counter(int(one.at // 60) for one in turns).values())
        found["turns_per_s"] = Metric(len(turns) / span, None, None, len(turns))
        found["busiest_minute_per_s"] = Metric(busiest / 60, None, None, busiest)
    rates = {"gate_failures": "failed", "regenerated": "regenerated", "fallbacks": "fallback"}
    for name, attribute in rates.items():
        found[name] = _metric(wilson(sum(getattr(one, attribute) for one in turns), len(turns)))
    ratings = [one.rating for one in turns if one.rating is not None]
    if len(ratings) > 1:
        found["satisfaction"] = _metric(clustered_mean(ratings, range(len(ratings))))
    thumbs = [one.thumbs == "up" for one in turns if one.thumbs is not None]
    if thumbs:
        found["thumbs_up"] = _metric(wilson(sum(thumbs), len(thumbs)))
    return found


def _metric(one: Interval) -> Metric:
    return Metric(one.value, one.low, one.high, one.n)


def thresholds(path: Path) -> dict[str, Any]:
    """The alarms file. Raises UsageError for one of another form."""
    given = read_yaml(path)
    if not isinstance(given, dict) or set(given) != {"measures", "drift"}:
        raise UsageError(f"{path}: an alarms file has 'measures' and 'drift' (see {ALARMS}).")
    measures, changes = given["measures"] or {}, given["drift"] or {}
    for name, bar in measures.items():
        require(f"measure in {path}:", name, list(MEASURES), "An alarms file")
        if not isinstance(bar, dict) or not bar or not set(bar) <= {"above", "below"} or not _numbers(bar):
            raise UsageError(f"{path}: '{name}' needs 'above' or 'below' with a number.")
    if set(changes) != {"alpha", *SIZES.values()} or not _numbers(changes):
        raise UsageError(f"{path}: 'drift' needs numbers for alpha, {', '.join(SIZES.values())}.")
    return {"measures": measures, "drift": changes}


def _numbers(row: Mapping[str, Any]) -> bool:
    return all(type(one) in (int, float) for one in row.values())


def _beyond(measures: Mapping[str, Metric], bars: Mapping[str, Mapping[str, float]]) -> list[Alarm]:
    """Measures whose whole interval lies beyond a bar."""
    found = []
    for name, bar in bars.items():
        if (one := measures.get(name)) is None:
            continue
        low, high = (one.value if end is None else end for end in (one.low, one.high))
        told = f"{one.value:.3g} [{low:.3g}, {high:.3g}] (n = {one.n})"
        if low > bar.get("above", low):
            found.append(Alarm(name, f"{told} lies above {bar['above']:g}"))
        if high < bar.get("below", high):
            found.append(Alarm(name, f"{told} lies below {bar['below']:g}"))
    return found


def _drifted(changes: Sequence[Drift], bars: Mapping[str, float]) -> list[Alarm]:
    return [
        Alarm(
            f"drift of {one.column}",
            f"{SIZES[one.test].replace('_', ' ')} {one.size:.3g}, p = {one.p:.2g} ({one.test}, Holm)",
        )
        for one in changes
        if one.p < bars["alpha"] and one.size >= bars[SIZES[one.test]]
    ]
