"""A source of scores against human labels, or against computed facts: does it see what people see, in every language
and of every system alike? With base rates beside, since agreement on a label that is nearly always given means little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.record import Run
from harness.scorers.learned import Example, of_item
from harness.stats.agreement import Agreement, cohen_kappa, krippendorff_alpha
from harness.stats.intervals import Interval, clustered_mean
from harness.types import Criterion, Item, Rubric, Score, Task

PEOPLE = "people"
RESAMPLES = 1000
PUBLISHED = (
    "Fleiss' kappa 0.65 (BEA 2025) and 0.71 (MRBench) between people on four such criteria of English maths tutoring"
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One reply on one criterion: what people (or facts) say, and what the source says; None: it gave no verdict."""

    system: str
    item: str
    cluster: str
    language: str
    criterion: str
    said: float
    judged: float | None


@dataclass(frozen=True, slots=True)
class Bias:
    """How much higher a source scores one system than people do, in labels' units, with its interval over clusters."""

    system: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A source on one criterion in one language ("": all).

    `kappa`: Cohen's; `weighted`: with quadratic weights (the same for gates). `f1`: macro-F1 over the labels that
    people gave; `f1_lenient`: with "yes" and "partial" as one (BEA 2025). `rates`: people's base rates by value,
    `judged_rates` the source's. `leave_one_out`: the lowest kappa when one system is left out, and that system.
    """

    criterion: str
    language: str
    n: int
    unscored: int
    kappa: Agreement
    weighted: Agreement
    alpha: Agreement
    accuracy: float
    f1: float
    f1_lenient: float
    rates: Mapping[float, float]
    judged_rates: Mapping[float, float]
    confusion: Mapping[tuple[float, float], int]
    bias: tuple[Bias, ...]
    leave_one_out: tuple[float, str] | None


def labelled(task: Task, runs: Iterable[Run], source: str, against: str = PEOPLE) -> list[Labelled]:
    """Replies that both `source` and `against` scored: a source (with or without its version) or "people".

    Raises UsageError if no run has both.
    """
    items = {item.id: item for item in task.items}
    found: list[Labelled] = []
    for run in runs:
        scores = list(run.scores())
        judged = {_key(one): one.value for one in scores if _is(one.source, source) and one.item in items}
        truth: Iterable[Score] = (
            run.people() if against == PEOPLE else (one for one in scores if _is(one.source, against))
        )
        for one in truth:
            if one.value is not None and _key(one) in judged and one.criterion in task.rubric.criteria:
                found.append(_labelled(run, items[one.item], one, judged[_key(one)]))
    if not found:
        raise UsageError(
            f"no run has replies scored by {source} and labelled by {against}. Score them with the judge ('easyds score "
            f"RUN --scorer ...'), and bring votes into the runs ('easyds annotate publish')."
        )
    return found


def examples(task: Task, runs: Iterable[Run], against: str = PEOPLE) -> list[Example]:
    """Replies with all that people (or a source) said of them, for the scorer `learned`. UsageError for test items:
    what is trained on them could not be measured on them."""
    items = {item.id: item for item in task.items}
    found = []
    for run in runs:
        truth = run.people() if against == PEOPLE else [one for one in run.scores() if _is(one.source, against)]
        labels: dict[tuple[str, int], dict[str, float]] = {}
        for one in truth:
            if one.value is not None and one.criterion in task.rubric.criteria:
                labels.setdefault((one.item, one.sample), {})[one.criterion] = one.value
        for response in run.responses():
            if said := labels.get((response.item, response.sample)):
                item = items[response.item]
                if item.split.startswith("test"):
                    raise UsageError(f"run {run.id} holds items of the split '{item.split}'. Test items never train.")
                found.append(replace(of_item(item, response.text), labels=said, group=item.cluster))
    return found


def _key(one: Score) -> tuple[str, int, str]:
    return one.item, one.sample, one.criterion


def _is(name: str, wanted: str) -> bool:
    return wanted in (name, name.partition("@")[0])


def _labelled(run: Run, item: Item, said: Score, judged: float | None) -> Labelled:
    assert said.value is not None
    return Labelled(run.manifest["system"], item.id, item.cluster, item.language, said.criterion, said.value, judged)


def calibrate(rows: Sequence[Labelled], rubric: Rubric, resamples: int = RESAMPLES, seed: int = 0) -> list[Calibration]:
    """Each criterion in each language and, of several languages, in all. Intervals: bootstrap over clusters."""
    found = []
    for name in [criterion for criterion in rubric.criteria if any(row.criterion == criterion for row in rows)]:
        ours = [row for row in rows if row.criterion == name]
        languages = sorted({row.language for row in ours})
        for language in (*languages, *([""] if len(languages) > 1 else [])):
            chosen = [row for row in ours if language in ("", row.language)]
            found.append(_one(rubric.criteria[name], language, chosen, resamples, seed))
    return found


def _one(criterion: Criterion, language: str, rows: Sequence[Labelled], resamples: int, seed: int) -> Calibration:
    both = [(row, row.judged) for row in rows if row.judged is not None]
    nothing = Agreement(None, 0, reason="the source gave no verdict")
    if not both:
        return Calibration(
            criterion.id, language, 0, len(rows), nothing, nothing, nothing, 0.0, 0.0, 0.0, {}, {}, {}, (), None
        )
    said = [row.said for row, _ in both]
    judged = [value for _, value in both]
    clusters = [row.cluster for row, _ in both]
    kappa = cohen_kappa(said, judged, "none", clusters, resamples=resamples, seed=seed)
    graded = criterion.kind == "graded"
    return Calibration(
        criterion=criterion.id,
        language=language,
        n=len(both),
        unscored=len(rows) - len(both),
        kappa=kappa,
        weighted=cohen_kappa(said, judged, "quadratic", clusters, resamples=resamples, seed=seed) if graded else kappa,
        alpha=krippendorff_alpha(
            list(zip(said, judged)), "ordinal" if graded else "nominal", clusters, resamples=resamples, seed=seed
        ),
        accuracy=float(np.mean(np.equal(said, judged))),
        f1=macro_f1(said, judged),
        f1_lenient=macro_f1([float(value > 0) for value in said], [float(value > 0) for value in judged]),
        rates=_rates(said),
        judged_rates=_rates(judged),
        confusion=dict(Counter(zip(said, judged))),
        bias=tuple(_bias(both)),
        leave_one_out=_leave_one_out(both),
    )


def macro_f1(said: Sequence[Any], judged: Sequence[Any]) -> float:
    """The mean F1 over the labels that occur in `said`, each with the same weight."""
    truth, guess = np.asarray(said), np.asarray(judged)
    found = []
    for label in np.unique(truth):
        hits = int(np.sum((truth == label) & (guess == label)))
        found.append(2 * hits / (int(np.sum(truth == label)) + int(np.sum(guess == label))))
    return float(np.mean(found))


def _rates(values: Sequence[float]) -> dict[float, float]:
    return {value: count / len(values) for value, count in sorted(Counter(values).items())}


def _bias(both: Sequence[tuple[Labelled, float]]) -> Iterable[Bias]:
    for system in sorted({row.system for row, _ in both}):
        ours = [(value - row.said, row.cluster) for row, value in both if row.system == system]
        gaps, clusters = zip(*ours, strict=True)
        if len(set(clusters)) < 2:
            yield Bias(system, float(np.mean(gaps)), None, None, len(gaps))
            continue
        found: Interval = clustered_mean(gaps, clusters)
        yield Bias(system, found.value, found.low, found.high, found.n)


def _leave_one_out(both: Sequence[tuple[Labelled, float]]) -> tuple[float, str] | None:
    systems = sorted({row.system for row, _ in both})
    found = []
    for system in systems if len(systems) > 1 else ():
        rest = [(row.said, value) for row, value in both if row.system != system]
        kappa = cohen_kappa([said for said, _ in rest], [judged for _, judged in rest]).value
        if kappa is not None:
            found.append((kappa, system))
    return min(found, default=None)


def as_json(found: Iterable[Calibration], human: Mapping[tuple[str, str], float] | None = None) -> list[dict[str, Any]]:
    """What is remembered of a calibration. `human`: kappa among people by (criterion, language), weighted where graded."""
    rows = []
    for one in found:
        row = {
            "criterion": one.criterion,
            "language": one.language,
            "n": one.n,
            "unscored": one.unscored,
            "kappa": _short(one.kappa.value),
            "kappa_low": _short(one.kappa.low),
            "kappa_high": _short(one.kappa.high),
            "weighted": _short(one.weighted.value),
            "alpha": _short(one.alpha.value),
            "human": _short((human or {}).get((one.criterion, one.language))),
            "accuracy": _short(one.accuracy),
            "f1": _short(one.f1),
            "f1_lenient": _short(one.f1_lenient),
            "rates": {str(value): _short(rate) for value, rate in one.rates.items()},
            "judged_rates": {str(value): _short(rate) for value, rate in one.judged_rates.items()},
            "confusion": [[said, judged, count] for (said, judged), count in sorted(one.confusion.items())],
            "bias": [[b.system, _short(b.value), _short(b.low), _short(b.high), b.n] for b in one.bias],
            "leave_one_out": one.leave_one_out and [_short(one.leave_one_out[0]), one.leave_one_out[1]],
        }
        rows.append(row)
    return rows


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
