from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.compare import paired_difference
from harness.stats.power import (
    clusters_needed,
    detectable,
    difference_error,
    minimum_detectable_difference,
    paired_sd,
    power_of,
    seeds_needed,
)


@pytest.mark.parametrize(
    ("n", "power", "effect"),
    [  # statsmodels 0.15.0 TTestPower().solve_power(nobs=n, alpha=0.05, power=power)
        (20, 0.8, 0.6604416544380312),
        (200, 0.8, 0.19906465946973934),
        (50, 0.9, 0.4676808601714511),
    ],
)
def test_detectable_difference_is_the_packages(n: int, power: float, effect: float) -> None:
    assert minimum_detectable_difference(1.0, n, power=power) == pytest.approx(effect, rel=1e-5)
    assert minimum_detectable_difference(0.25, n, power=power) == pytest.approx(effect / 4, rel=1e-5)


def test_power_and_clusters_are_the_packages() -> None:
    """statsmodels 0.15.0 TTestPower().power(0.5, 10, 0.05), and solve_power(effect_size=0.3, power=0.8) = 89.15."""
    assert power_of(0.5, 1 / math.sqrt(10), 9) == pytest.approx(0.2931756065140767, rel=1e-5)
    assert clusters_needed(0.3, 1.0) == 90


def test_normal_formula_for_many_clusters() -> None:
    """(z_.975 + z_.8) sd / sqrt(n) = 2.801585 / 100 (Miller 2024, eq. 9)."""
    assert minimum_detectable_difference(1.0, 10_000) == pytest.approx(2.801585 / 100, rel=3e-4)


def test_reference_figure_of_200_clusters() -> None:
    """The feasibility study's 0.10-0.12 at 200 clusters is an sd of paired differences of 0.5-0.6."""
    assert 0.098 < minimum_detectable_difference(0.5, 200) < minimum_detectable_difference(0.6, 200) < 0.12


def test_design_effect_and_seeds_in_the_error() -> None:
    error, df = difference_error(0.5, 100, items_per_cluster=2, icc=0.4)
    assert (error, df) == pytest.approx((0.5 * math.sqrt(1.4 / 200), 99))
    error, df = difference_error(0.5, 10**6, seeds=3, sd_seed=0.03)
    assert (error, df) == pytest.approx((0.03 * math.sqrt(2 / 3), 4), rel=1e-2)


def test_icc_one_makes_items_of_a_cluster_worthless() -> None:
    assert minimum_detectable_difference(1, 50, 5, icc=1) == pytest.approx(minimum_detectable_difference(1, 50))
    assert minimum_detectable_difference(1, 50, 4, icc=0) == pytest.approx(
        minimum_detectable_difference(1, 50) / 2, rel=1e-9
    )


def test_samples_shrink_only_noise() -> None:
    assert paired_sd(0.3, 0.4, 0.4) == pytest.approx(math.sqrt(0.09 + 0.32))
    assert paired_sd(0.3, 0.4, 0.4, samples=4) == pytest.approx(math.sqrt(0.09 + 0.08))
    with pytest.raises(ValueError, match="samples"):
        paired_sd(0.3, 0.4, 0.4, samples=0)


def test_needed_is_the_first_that_is_enough() -> None:
    needed = clusters_needed(0.1, 0.5, items_per_cluster=2, icc=0.3, seeds=5, sd_seed=0.02)
    assert minimum_detectable_difference(0.5, needed, 2, 0.3, 5, 0.02) <= 0.1
    assert minimum_detectable_difference(0.5, needed - 1, 2, 0.3, 5, 0.02) > 0.1
    seeds = seeds_needed(0.1, 0.5, 400, sd_seed=0.05)
    assert minimum_detectable_difference(0.5, 400, seeds=seeds, sd_seed=0.05) <= 0.1
    assert minimum_detectable_difference(0.5, 400, seeds=seeds - 1, sd_seed=0.05) > 0.1


def test_planned_power_is_had() -> None:
    rng, needed = np.random.default_rng(0), clusters_needed(0.2, 0.5)
    found = [
        paired_difference(rng.normal(0.2, 0.5, needed), np.zeros(needed), range(needed)).p <= 0.05 for _ in range(1500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.035)


def test_what_cannot_be_found_says_so() -> None:
    with pytest.raises(ValueError, match="more training seeds"):
        clusters_needed(0.01, 0.5, seeds=3, sd_seed=0.05)
    with pytest.raises(ValueError, match="more items"):
        seeds_needed(0.01, 0.5, 20, sd_seed=0.05)
    with pytest.raises(ValueError, match="delta"):
        clusters_needed(0, 0.5)
    with pytest.raises(ValueError, match="at least 2 clusters"):
        minimum_detectable_difference(0.5, 1)
    with pytest.raises(ValueError, match="at least 2"):
        minimum_detectable_difference(0.5, 10, seeds=1)
    with pytest.raises(ValueError, match="icc"):
        minimum_detectable_difference(0.5, 10, icc=2)
    with pytest.raises(ValueError, match="alpha < power"):
        minimum_detectable_difference(0.5, 10, alpha=0.9)


@pytest.mark.parametrize("df", [5, 30, 119, 400, 4000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 45, 0.05 / 4950, 1e-9])
def test_detectable_after_any_correction_is_found_with_its_power(df: int, alpha: float) -> None:
    least = detectable(0.02, df, alpha, 0.8)
    assert power_of(least, 0.02, df, alpha) == pytest.approx(0.8, abs=1e-6)
    assert power_of(100 * least, 0.02, df, alpha) == 1.0
