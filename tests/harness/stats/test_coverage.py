"""Simulated coverage of every 95 % interval on a declared grid: never below 93 %, over-coverage bounded.

The quick cases run always; `-m slow` runs the whole grid. `python tests/harness/stats/test_coverage.py [RUNS]` prints it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest

from harness.stats.bootstrap import hierarchical_bootstrap, hierarchical_bootstrap_difference, seeded_rate
from harness.stats.compare import paired_difference
from harness.stats.correction import prediction_powered_mean, rogan_gladen
from harness.stats.intervals import Interval, clustered_mean, clustered_rate

FLOOR = 0.93
Generator = np.random.Generator
Case = tuple[Callable[..., bool], tuple[float, ...]]


def grades(rng: Generator, icc: float, sizes: np.ndarray, mean: float = 1.2) -> np.ndarray:
    """0/1/2 rubric grades: the sum of two passes, each of which correlates by `icc` within a cluster."""
    halves = [np.concatenate([beta_binomial(rng, size, mean / 2, icc) for size in sizes]) for _ in range(2)]
    total: np.ndarray = halves[0] + halves[1]
    return total


def beta_binomial(rng: Generator, size: int, rate: float, icc: float) -> np.ndarray:
    chance = rate if icc == 0 else rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1))
    passed: np.ndarray = (rng.random(size) < chance).astype(float)
    return passed


def holds(interval: object, truth: float) -> bool:
    low, high = interval.low, interval.high  # type: ignore[attr-defined]
    return bool(low - 1e-12 <= truth <= high + 1e-12)


def mean_case(rng: Generator, count: float, size: float, icc: float) -> bool:
    sizes = np.full(int(count), int(size))
    values = grades(rng, icc, sizes)
    return holds(clustered_mean(values, np.repeat(np.arange(int(count)), sizes)), 1.2)


def rate_case(rng: Generator, count: float, size: float, icc: float, rate: float) -> bool:
    sizes = np.full(int(count), int(size))
    values = np.concatenate([beta_binomial(rng, s, rate, icc) for s in sizes])
    return holds(clustered_rate(values, np.repeat(np.arange(int(count)), sizes)), rate)


def paired_case(rng: Generator, count: float, size: float, gap: float) -> bool:
    """Two systems that pass an item when a shared difficulty is below their skill; the true gap is `gap`."""
    hard = np.repeat(rng.random(int(count)), int(size))
    own = rng.random((2, len(hard)))
    mixed = np.where(rng.random((2, len(hard))) < 0.5, hard, own)
    a, b = mixed[0] < 0.5 + gap, mixed[1] < 0.5
    return holds(paired_difference(a, b, np.repeat(np.arange(int(count)), int(size))), gap)


def seeded(rng: Generator, seeds: int, difficulty: np.ndarray, spread: float, binary: bool) -> np.ndarray:
    """seeds x items scores: seed effect (sd `spread`), shared difficulty, seed-by-item noise (sd 0.5)."""
    effect = rng.normal(0, spread, (seeds, 1))
    score: np.ndarray = effect + difficulty + rng.normal(0, 0.5, (seeds, len(difficulty)))
    return np.where(score > -0.8, 1.0, 0.0) if binary else score


def seeded_case(rng: Generator, seeds: float, count: float, spread: float) -> bool:
    values = seeded(rng, int(seeds), np.repeat(rng.normal(0, 0.6, int(count)), 2), spread, False)
    clusters = np.repeat(np.arange(int(count)), 2)
    return holds(hierarchical_bootstrap(values, clusters, resamples=300, seed=_seed(rng)), 0.0)


def seeded_rate_case(rng: Generator, seeds: float, count: float, spread: float) -> bool:
    """A pass is a score above -0.8; the true rate is the normal chance of that, 0.82 to 0.85."""
    values = seeded(rng, int(seeds), np.repeat(rng.normal(0, 0.6, int(count)), 2), spread, True)
    truth = 0.5 * (1 + math.erf(0.8 / math.sqrt(2 * (spread**2 + 0.6**2 + 0.5**2))))
    return holds(seeded_rate(values, np.repeat(np.arange(int(count)), 2)), truth)


def seeded_difference_case(rng: Generator, seeds: float, count: float, spread: float, binary: float) -> bool:
    difficulty = np.repeat(rng.normal(0, 0.6, int(count)), 2)
    a, b = (seeded(rng, int(seeds), difficulty, spread, bool(binary)) for _ in range(2))
    clusters = np.repeat(np.arange(int(count)), 2)
    return holds(hierarchical_bootstrap_difference(a, b, clusters, resamples=300, seed=_seed(rng)), 0.0)


def powered_case(rng: Generator, labelled: float, rest: float, noise: float) -> bool:
    truth = rng.normal(0, 1, int(labelled + rest))
    judge = truth + rng.normal(0.3, noise, len(truth))
    cut = int(labelled)
    return holds(prediction_powered_mean(truth[:cut], judge[:cut], judge[cut:]), 0.0)


def corrected_case(rng: Generator, n: float, passes: float, rate: float, quality: float) -> bool:
    judged = rng.binomial(int(n), rate * quality + (1 - rate) * (1 - quality))
    right = rng.binomial(int(passes), quality), rng.binomial(int(passes), quality)
    result: Interval = rogan_gladen(judged, int(n), right[0], int(passes), right[1], int(passes))
    return holds(result, rate)


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


QUICK: list[Case] = [
    (mean_case, (10, 2, 0.5)),
    (mean_case, (50, 2, 0.5)),
    (rate_case, (10, 2, 0.3, 0.9)),
    (rate_case, (20, 5, 0.3, 0.9)),
    (rate_case, (50, 2, 0.8, 0.98)),
    (paired_case, (10, 2, 0.1)),
    (paired_case, (40, 2, 0.1)),
    (seeded_case, (3, 30, 0.0)),
    (seeded_case, (3, 30, 0.4)),
    (seeded_rate_case, (3, 30, 0.4)),
    (seeded_difference_case, (3, 30, 0.4, 0)),
    (powered_case, (30, 300, 0.5)),
    (corrected_case, (200, 50, 0.8, 0.85)),
]
GRID: list[Case] = [
    *((mean_case, point) for point in product((10, 30, 100), (1, 2, 5), (0.0, 0.5))),
    *((rate_case, point) for point in product((10, 20, 50, 200), (2, 5), (0.0, 0.3, 0.8), (0.5, 0.8, 0.9, 0.95, 0.98))),
    *((paired_case, point) for point in product((8, 12, 40, 100), (1, 2, 5), (0.0, 0.1))),
    *((seeded_case, point) for point in product((3, 5), (20, 50, 200), (0.0, 0.05, 0.15, 0.4))),
    *((seeded_rate_case, point) for point in product((3, 5), (20, 50, 200), (0.0, 0.05, 0.15, 0.4))),
    *((seeded_difference_case, point) for point in product((3, 5), (20, 50, 200), (0.0, 0.05, 0.15, 0.4), (0, 1))),
    *((powered_case, point) for point in product((20, 50, 200), (200, 2000), (0.3, 1.0, 3.0))),
    *((corrected_case, point) for point in product((100, 500), (30, 100), (0.5, 0.8, 0.95), (0.75, 0.9))),
]


def coverage(case: Case, runs: int) -> float:
    rng = np.random.default_rng(20260101)
    function, point = case
    return sum(function(rng, *point) for _ in range(runs)) / runs


def name(case: Case) -> str:
    return "-".join([case[0].__name__.removesuffix("_case"), *(f"{x:g}" for x in case[1])])


@pytest.mark.parametrize("case", QUICK, ids=name)
def test_quick_coverage(case: Case) -> None:
    assert coverage(case, 600) >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("case", GRID, ids=name)
def test_grid_coverage(case: Case) -> None:
    assert coverage(case, 1500) >= FLOOR


def test_the_simulation_can_fail() -> None:
    """Ignoring clusters (icc 0.8, 5 items each) must show as coverage far below the floor."""

    def blind(rng: Generator, *_: float) -> bool:
        values = np.concatenate([beta_binomial(rng, 5, 0.8, 0.8) for _ in range(40)])
        return holds(clustered_rate(values, np.arange(len(values))), 0.8)

    assert coverage((blind, ()), 300) < 0.8


def report(runs: int) -> Iterator[str]:
    """The coverage of every point, then the lowest, mean and highest of each kind."""
    kinds: dict[str, list[float]] = {}
    for case in GRID:
        kinds.setdefault(case[0].__name__.removesuffix("_case"), []).append(coverage(case, runs))
        yield f"{name(case)} {kinds[case[0].__name__.removesuffix('_case')][-1]:.3f}"
    for kind, found in kinds.items():
        low, mean, high = min(found), sum(found) / len(found), max(found)
        yield f"| {kind} | {len(found)} | {low:.3f} | {mean:.3f} | {high:.3f} |"


if __name__ == "__main__":
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 1500):
        print(line, flush=True)
