from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.intervals import Interval, clustered_mean, clustered_rate, clustered_table, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # statsmodels 0.15.0 proportion_confint(method="wilson"); 81/263 is in Newcombe 1998, table I (0.2553, 0.3662)
        (9, 10, 0.5958499732047614, 0.982123786904927),
        (0, 20, 0.0, 0.1611251580528194),
        (81, 263, 0.2552885198782742, 0.36620957698280004),
    ],
)
def test_wilson_is_the_packages(successes: int, n: int, low: float, high: float) -> None:
    result = wilson(successes, n)
    assert (result.low, result.high) == pytest.approx((low, high), abs=1e-12)
    assert (result.value, result.n) == (successes / n, n)


def test_wilson_at_zero_in_closed_form() -> None:
    z = 1.959963984540054
    assert wilson(0, 8).low == 0.0
    assert wilson(0, 8).high == pytest.approx(z * z / (8 + z * z))
    assert wilson(8, 8).high == 1.0


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_mirrors_and_holds_its_rate(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    one, other = wilson(k, n), wilson(n - k, n)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.low == pytest.approx(1 - other.high)


def test_clustered_mean_is_the_packages() -> None:
    """statsmodels 0.15.0 OLS on a constant, cov_type="cluster", use_t=True.

    statsmodels scales by C/(C-1) * (n-1)/(n-1) for one regressor, which is our factor.
    """
    values, clusters = [1, 2, 0, 2, 1, 1, 0, 2, 2, 1], [0, 0, 1, 1, 1, 2, 3, 3, 4, 4]
    result = clustered_mean(values, clusters)
    assert (result.low, result.high) == pytest.approx((0.84880439, 1.55119561), abs=1e-8)
    assert (result.value, result.n) == pytest.approx((1.2, 10))


def test_clustered_mean_of_single_items_is_the_t_interval() -> None:
    """n = 4, mean 2.5, sd sqrt(5/3), t_3 = 3.182446 (any t table)."""
    result = clustered_mean([1, 2, 3, 4], ["a", "b", "c", "d"])
    half = 3.182446305 * math.sqrt(5 / 3) / 2
    assert (result.low, result.high) == pytest.approx((2.5 - half, 2.5 + half))


def test_duplicated_items_add_no_information() -> None:
    once = clustered_mean([0, 1, 2, 1], ["a", "b", "c", "d"])
    twice = clustered_mean([0, 1, 2, 1] * 2, ["a", "b", "c", "d"] * 2)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("names", [["a", "a", "b", "c"], [7, 7, 1, 0], np.array([7, 7, 1, 0]), [(1,), (1,), "x", None]])
def test_any_hashable_names_a_cluster(names: list[object]) -> None:
    assert clustered_mean([1, 2, 3, 5], names) == clustered_mean([1, 2, 3, 5], [0, 0, 1, 2])


def test_rate_of_single_items_is_wilson() -> None:
    assert clustered_rate([1, 1, 0, 1, 1], list("abcde")) == wilson(4, 5)


def test_rate_of_perfect_clusters_counts_about_one_for_each() -> None:
    """20 clusters of 3 equal items, 15 of them passing: Wilson at 20, C/(C-1) and t_19 apart."""
    result = clustered_rate(np.repeat([1] * 15 + [0] * 5, 3), np.repeat(np.arange(20), 3))
    one = wilson(15, 20)
    assert result.value == 0.75
    assert (result.high - result.low) / (one.high - one.low) == pytest.approx(2.093 / 1.96, abs=0.03)


@pytest.mark.parametrize("rate", [0, 1])
def test_rate_without_failures_counts_clusters_not_items(rate: int) -> None:
    result = clustered_rate([rate] * 100, np.repeat(np.arange(20), 5))
    width = result.high - result.low
    assert wilson(0, 100).high < width
    assert width == pytest.approx(2.093**2 / (20 + 2.093**2), abs=0.01)
    assert (result.low == 0.0) if rate == 0 else (result.high == 1.0)


def test_opposites_in_a_cluster_never_narrow_the_interval() -> None:
    result, plain = clustered_rate([1, 0] * 20, np.repeat(np.arange(20), 2)), wilson(20, 40)
    assert result.high - result.low >= plain.high - plain.low


def test_one_cluster_says_nothing() -> None:
    assert clustered_rate([1, 0, 1], ["a"] * 3) == Interval(2 / 3, 0.0, 1.0, 3)
    with pytest.raises(ValueError, match="two clusters"):
        clustered_mean([1, 0, 1], ["a"] * 3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8)), min_size=1, max_size=60))
def test_rate_stays_within_zero_and_one(pairs: list[tuple[float, int]]) -> None:
    values, clusters = [v for v, _ in pairs], [c for _, c in pairs]
    result = clustered_rate(values, clusters)
    assert 0 <= result.low <= result.value + 1e-12
    assert result.value - 1e-12 <= result.high <= 1


@pytest.mark.parametrize(
    ("values", "clusters", "sentence"),
    [
        ([], [], "non-empty"),
        ([1, math.nan], [0, 1], "NaN"),
        ([1, 0], [0], "one cluster for each"),
        ([[1, 0]], [0], "non-empty list"),
    ],
)
def test_bad_input_says_why(values: list[float], clusters: list[int], sentence: str) -> None:
    for function in (clustered_mean, clustered_rate):
        with pytest.raises(ValueError, match=sentence):
            function(values, clusters)


def test_bad_rates_levels_and_counts() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        clustered_rate([2, 0], [0, 1])
    with pytest.raises(ValueError, match="level"):
        clustered_mean([2, 0], [0, 1], level=95)
    for successes, n in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="wilson needs"):
            wilson(successes, n)


def test_import_leaves_scipy_alone() -> None:
    code = "import sys, harness.stats.intervals; sys.exit('scipy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


@pytest.mark.parametrize("rates", [True, False])
def test_table_of_rows_is_the_rows_one_by_one(rates: bool) -> None:
    """Rates of 0, 1 and between, gaps, one item a cluster, one cluster, one item, nothing."""
    rng = np.random.default_rng(2)
    clusters = rng.permutation(np.arange(60) // 3)
    table = np.where(rng.random((9, 60)) < rng.random((9, 1)), 1.0, 0.0)
    table[1], table[2] = 0, 1
    table[3, rng.random(60) < 0.6] = np.nan
    table[4, [i for i in range(60) if i not in {list(clusters).index(c) for c in range(20)}]] = np.nan
    table[5, clusters != 7] = np.nan
    table[6, 1:], table[7] = np.nan, np.nan
    for row, found in zip(table, clustered_table(table, clusters, rates), strict=True):
        known = ~np.isnan(row)
        if not known.any():
            assert found is None
            continue
        assert found is not None
        if len(set(clusters[known])) < 2:
            assert (np.isnan(found.low), found.value, found.n) == (True, row[known].mean(), known.sum())
            continue
        one = (clustered_rate if rates else clustered_mean)(row[known], clusters[known])
        assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high), abs=1e-14)
        assert found.n == one.n
