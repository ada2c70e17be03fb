"""Has what is asked, or how the answers do, changed? Two samples held against each other, column by column.

Population stability index (Siddiqi 2006, Credit Risk Scorecards): sum of (p - q) ln(p / q) over levels, with half a count
added to each; its usual bars are 0.1 and 0.25. Beside it a chi-square test of homogeneity for categories, the two-sample
Kolmogorov-Smirnov test for lengths (ties make it conservative), Fisher's exact test for rates; Holm over all of them. The
tests take turns as independent: many turns of one student make p-values too small.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.board import read as read_table
from harness.loop.served import Turn
from harness.record import Run
from harness.stats.compare import holm
from harness.types import Task

FEWEST = 5
"""Levels of which fewer are expected in either sample are pooled (the chi-square's usual rule)"""
OTHER = "(other)"
GATES = ("G2", "G3")
"""Gates that gateway and benchmark both check"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Columns of one sample: names of levels, lengths, and rates (yes or no)."""

    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lengths: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rates: Mapping[str, Sequence[bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drift:
    """One column of two samples. `size`: PSI, Kolmogorov-Smirnov distance, or difference of rates; `p` is Holm-corrected."""

    column: str
    test: str
    size: float
    p_raw: float
    p: float
    n: int
    n_before: int


def of_turns(turns: Sequence[Turn]) -> Sample:
    """What a log says. Gates are those of the model's first answer, as in the benchmark."""
    checked = {
        gate: [bool(one.gates[0][gate]) for one in turns if one.gates and one.gates[0].get(gate) is not None]
        for gate in GATES
    }
    return Sample(
        {
            "language": [one.language for one in turns],
            "knowledge_point": [one.knowledge_point for one in turns],
            "hint_level": [str(one.hint_level) for one in turns],
        },
        {
            "message_length": [len(one.messages[-1].content) for one in turns],
            "guidance_length": [len(one.guidance) for one in turns if not one.regenerated],
        },
        checked
        | {
            "fallback": [one.fallback for one in turns],
            "satisfied": [one.satisfied for one in turns if one.satisfied is not None],
        },
    )


def of_run(run: Run, task: Task) -> Sample:
    """What a benchmark run says: its items as input, its texts and gates as output. Nobody gave feedback there."""
    items = {item.id: item for item in task.items}
    responses = [one for one in run.responses() if one.sample == 0]
    asked = [items[one.item] for one in responses]
    table = read_table(run)
    gates = {name: table.values[name] for name in GATES if name in table.values}
    return Sample(
        {
            "language": [one.language for one in asked],
            "knowledge_point": [one.knowledge_point for one in asked],
            "hint_level": [str(one.hint_level) for one in asked],
        },
        {
            "message_length": [len(one.messages[-1].content) for one in asked],
            "guidance_length": [len(one.text) for one in responses],
        },
        {name: [bool(one) for one in values if not math.isnan(one)] for name, values in gates.items()},
    )


def compare(now: Sample, before: Sample) -> list[Drift]:
    """Every column that both samples have, Holm-corrected over all."""
    found = [
        _categories(name, values, before.categories[name])
        for name, values in now.categories.items()
        if values and before.categories.get(name)
    ]
    found += [
        _lengths(name, values, before.lengths[name])
        for name, values in now.lengths.items()
        if values and before.lengths.get(name)
    ]
    found += [
        _rates(name, values, before.rates[name])
        for name, values in now.rates.items()
        if values and before.rates.get(name)
    ]
    corrected = holm([one.p_raw for one in found]) if found else ()
    return [replace(one, p=float(p)) for one, p in zip(found, corrected)]


def stability(now: Sequence[int], before: Sequence[int]) -> float:
    """The population stability index of two lists of counts."""
    p, q = (np.asarray(one, dtype=float) + 0.5 for one in (now, before))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _categories(name: str, now: Sequence[str], before: Sequence[str]) -> Drift:
    from scipy.stats import chi2_contingency

    counts = np.array(_pooled(Counter(now), Counter(before)))
    p = float(chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0
    return Drift(name, "chi-square", stability(*counts), p, p, len(now), len(before))


def _pooled(now: Counter[str], before: Counter[str]) -> tuple[list[int], list[int]]:
    """Counts by level, rare levels taken together."""
    share = min(now.total(), before.total()) / (now.total() + before.total())
    both: dict[str, list[int]] = {}
    for level in sorted({*now, *before}):
        rare = (now[level] + before[level]) * share < FEWEST
        held = both.setdefault(OTHER if rare else level, [0, 0])
        held[0] += now[level]
        held[1] += before[level]
    return [one[0] for one in both.values()], [one[1] for one in both.values()]


def _lengths(name: str, now: Sequence[int], before: Sequence[int]) -> Drift:
    from scipy.stats import ks_2samp

    found = ks_2samp(now, before)
    p = float(found.pvalue)
    return Drift(name, "Kolmogorov-Smirnov", float(found.statistic), p, p, len(now), len(before))


def _rates(name: str, now: Sequence[bool], before: Sequence[bool]) -> Drift:
    from scipy.stats import fisher_exact

    counts = [[sum(one), len(one) - sum(one)] for one in (now, before)]
    p = float(fisher_exact(counts).pvalue)
    size = abs(sum(now) / len(now) - sum(before) / len(before))
    return Drift(name, "Fisher", size, p, p, len(now), len(before))
