"""How numbers are written: always with their interval and n. What was not measured is said so, never 0."""

from __future__ import annotations

from collections.abc import Sequence

from app.components.charts import Bar
from app.components.text import line
from app.components.words import known, say
from harness.board import RATES, Comparison, Metric, Row
from harness.types import Rubric

QUALITY = (
    "guidance_accuracy",
    "guidance_accuracy_strict",
    "guidance_accuracy_full",
    "teaching_relevance",
    "gold_score",
)
COST = (
    "latency_p50_s",
    "latency_p95_s",
    "first_token_p50_s",
    "tokens_per_s",
    "peak_memory_bytes",
    "completion_tokens_p50",
)
OF_RUNS = {*COST, "distinct_1", "distinct_2", "self_bleu", "log_perplexity", "tokens_per_s", "latency_p99_s"}
"""Metrics that single responses do not have."""
PEOPLE, CORRECTED = "_people", "_corrected"


def plain_name(name: str) -> str:
    """The metric behind what people or a further judge say of it (`NAME_people`, `NAME_corrected`, `NAME@judge/…`)."""
    return name.partition("@")[0].removesuffix(PEOPLE).removesuffix(CORRECTED)


def quality(rows: Sequence[Row]) -> list[str]:
    """The metrics of quality that some row has: each followed by what people and further judges say of it."""
    known_names = {name for row in rows for name in row.metrics}
    derived = [name for name in sorted(known_names) if plain_name(name) != name]
    wanted = [one for name in QUALITY for one in (name, *(other for other in derived if plain_name(other) == name))]
    return [name for name in (*wanted, "satisfaction") if name in known_names]


def per_response(rows: Sequence[Row]) -> list[str]:
    """The metrics of single responses by their own scorers that every row has, quality first."""
    common = [
        name
        for name in rows[0].metrics
        if name not in (*OF_RUNS, "satisfaction")
        and plain_name(name) == name
        and all(name in row.metrics for row in rows)
    ]
    return [*(one for one in QUALITY if one in common), *(one for one in common if one not in QUALITY)]


def by_judges(rows: Sequence[Row]) -> list[str]:
    """What further judges say of every row."""
    return [name for name in quality(rows) if "@" in name and all(name in row.metrics for row in rows)]


def is_rate(name: str, rubric: Rubric | None) -> bool:
    """Whether a metric is a share, written in percent."""
    name = plain_name(name)
    if name in RATES:
        return True
    return bool(rubric and name in rubric.criteria and rubric.criteria[name].kind == "gate")


def scale(name: str, rubric: Rubric | None) -> float:
    """What a stored value is multiplied by to be shown: shares in percent, memory in GB."""
    return 100.0 if is_rate(name, rubric) else 1e-9 if name.endswith("_bytes") else 1.0


def digits(name: str, rubric: Rubric | None) -> int:
    if is_rate(name, rubric):
        return 1
    return 0 if name in ("tokens_per_s", "completion_tokens_p50") else 2


def unit(name: str, rubric: Rubric | None) -> str:
    if is_rate(name, rubric):
        return "%"
    if name.endswith("_bytes"):
        return "GB"
    return "s" if name.endswith("_s") and not name.endswith("_per_s") else ""


def title(name: str) -> str:
    return _with_origin(known("metric", plain_name(name)), name)


def heading(name: str, rubric: Rubric | None) -> str:
    """A short title with its unit, for the head of a column."""
    sign = unit(name, rubric)
    base = plain_name(name)
    short = known("short", base)
    text = title(name) if short == base else _with_origin(short, name)
    return f"{text} ({sign})" if sign else text


def _with_origin(text: str, name: str) -> str:
    """A title with who says it, where it is not the run's own scorers."""
    metric, _, source = name.partition("@")
    if source:
        return f"{text} · {line(source)}"
    origin = next((key for key in (PEOPLE, CORRECTED) if metric.endswith(key)), "")
    said = known("origin", origin.strip("_"))
    return f"{text} · {said}" if origin else text


def written(name: str, metric: Metric | None, rubric: Rubric | None, *, bare: bool = False) -> str:
    """One number as the pages show it: `97.5 % [93.0, 99.2]`; `bare` where the unit stands in the column's head."""
    if metric is None:
        return say("not_measured")
    factor, places = scale(name, rubric), digits(name, rubric)
    text = f"{metric.value * factor:.{places}f}"
    if not bare and (sign := unit(name, rubric)):
        text += f" {sign}"
    if metric.low is not None and metric.high is not None:
        text += f" [{metric.low * factor:.{places}f}, {metric.high * factor:.{places}f}]"
    if metric.unscored:
        text += " " + say("unscored", n=metric.unscored)
    return text


def axis(name: str, rubric: Rubric | None) -> str:
    """The title of an axis, with its unit."""
    sign = unit(name, rubric)
    return f"{title(name)} ({sign})" if sign else title(name)


def domain(name: str, rubric: Rubric | None) -> tuple[float, float] | None:
    """The whole range of a metric that has one, so that charts do not magnify small differences."""
    return (0.0, 100.0) if is_rate(name, rubric) else (0.0, 1.0) if name == "gold_score" else None


def bar(label: str, name: str, metric: Metric, rubric: Rubric | None) -> Bar:
    """A metric as a row of an interval chart."""
    factor = scale(name, rubric)
    low, high = (None if end is None else end * factor for end in (metric.low, metric.high))
    return Bar(label, metric.value * factor, low, high, written(name, metric, rubric))


def plain(name: str, value: float, rubric: Rubric | None) -> str:
    """A value of a metric as shown, without its unit."""
    return f"{value * scale(name, rubric):.{digits(name, rubric)}f}"


def gap(name: str, value: float, rubric: Rubric | None) -> str:
    """A difference of a metric with its unit: shares differ by points, not by percent."""
    sign = say("points") if is_rate(name, rubric) else unit(name, rubric)
    return f"{plain(name, value, rubric)} {sign}".strip()


def difference(one: Comparison, rubric: Rubric | None) -> str:
    """A difference with its interval: `+12.3 [8.1, 16.5]`."""
    assert one.difference is not None
    assert one.low is not None
    assert one.high is not None
    value = f"{one.difference * scale(one.metric, rubric):+.{digits(one.metric, rubric)}f}"
    return f"{value} [{plain(one.metric, one.low, rubric)}, {plain(one.metric, one.high, rubric)}]"


def difference_bar(label: str, one: Comparison, rubric: Rubric | None, *, faint: bool) -> Bar:
    """A difference as a row of an interval chart. Scores from 0 to 1 are drawn in points as well, on one axis."""
    ends = (one.difference, one.low, one.high)
    value, low, high = (100 * (end or 0.0) for end in ends)
    return Bar(label, value, low, high, f"{value:+.1f} [{low:.1f}, {high:.1f}]  n = {one.n}", faint)
