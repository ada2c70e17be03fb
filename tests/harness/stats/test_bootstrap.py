from __future__ import annotations

import numpy as np
import pytest

from harness.stats.bootstrap import hierarchical_bootstrap, hierarchical_bootstrap_difference, seeded_rate
from harness.stats.intervals import clustered_mean, clustered_rate


def width(interval: object) -> float:
    return float(interval.high - interval.low)  # type: ignore[attr-defined]


def table(seed: int, seeds: int = 4, items: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, items))


def test_identical_seeds_reduce_to_the_clustered_mean() -> None:
    """No seed variance: the width must be that of one run, whatever the number of seeds."""
    row, clusters = table(0)[0], np.repeat(np.arange(30), 2)
    one, many = clustered_mean(row, clusters), hierarchical_bootstrap(np.tile(row, (4, 1)), clusters, resamples=20_000)
    assert many.value == pytest.approx(one.value)
    assert width(many) == pytest.approx(width(one), rel=0.03)


def test_seed_variance_alone_is_the_t_interval_of_seed_means() -> None:
    """Every item of a seed alike: mean of 1, 2, 3 +- t_2 sd / sqrt(3), t_2 = 4.302653."""
    result = hierarchical_bootstrap(np.repeat([[1.0], [2.0], [3.0]], 40, axis=1), range(40), resamples=20_000)
    assert result.value == pytest.approx(2)
    assert result.n == 40
    # Nine equally likely means of three seeds are coarse: percentiles are a little inside the normal's 1.96 sd.
    assert width(result) / 2 == pytest.approx(4.302653 / np.sqrt(3), rel=0.12)


def test_what_items_share_cancels_in_a_difference() -> None:
    hard = 5 * table(1, 1)
    a, b = table(2) + hard, table(3) + hard
    paired = hierarchical_bootstrap_difference(a, b, range(60))
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert width(paired) < 0.4 * width(hierarchical_bootstrap(a, range(60)))


def test_seed_variance_of_two_methods_is_welchs() -> None:
    """Seeds at 1, 2, 3 in both: variance 1/3 each, 4 df, t_4 = 2.776445; t_2 would give 3.51 instead of 2.27."""
    seeds = np.repeat([[1.0], [2.0], [3.0]], 40, axis=1)
    result = hierarchical_bootstrap_difference(seeds, seeds, range(40), resamples=20_000)
    assert result.value == 0
    assert width(result) / 2 == pytest.approx(2.776445 * np.sqrt(2 / 3), rel=0.08)


def test_methods_may_have_different_numbers_of_seeds() -> None:
    a, b = table(4, 3), table(5, 5)
    one, other = hierarchical_bootstrap_difference(a, b, range(60)), hierarchical_bootstrap_difference(b, a, range(60))
    assert one.value == pytest.approx(-other.value)
    assert width(one) == pytest.approx(width(other), rel=0.1)


def test_unequal_clusters_keep_the_items_mean() -> None:
    values, clusters = table(6, 3, 10), [0] * 5 + [1, 2, 3, 4, 4]
    assert hierarchical_bootstrap(values, clusters).value == pytest.approx(values.mean())


def test_repeatable_by_seed() -> None:
    values = table(7)
    assert hierarchical_bootstrap(values, range(60), seed=1) == hierarchical_bootstrap(values, range(60), seed=1)
    assert hierarchical_bootstrap(values, range(60), seed=1) != hierarchical_bootstrap(values, range(60), seed=2)


def test_constant_scores_have_no_width() -> None:
    result = hierarchical_bootstrap(np.ones((3, 10)), range(10))
    assert (result.low, result.value, result.high) == (1, 1, 1)


def test_seeded_rate_in_closed_form() -> None:
    """Seeds at 0.6, 0.7, 0.8 on all items: logit 0.7 +- t_2 * 0.1 / sqrt(3) / (0.7 * 0.3), no cluster variance."""
    result = seeded_rate(np.repeat([[0.6], [0.7], [0.8]], 40, axis=1), range(40))
    half = 4.302652730 * 0.1 / np.sqrt(3) / 0.21
    limits = 1 / (1 + np.exp(-(np.log(7 / 3) + np.array([-half, half]))))
    assert (result.value, result.low, result.high) == pytest.approx((0.7, *limits))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_seeded_rate_without_failures_is_not_certain(rate: float) -> None:
    clusters = np.repeat(np.arange(10), 2)
    assert seeded_rate(np.full((3, 20), rate), clusters) == clustered_rate([rate] * 20, clusters)


def test_seeded_rate_stays_within_zero_and_one() -> None:
    values = np.ones((3, 20))
    values[0, :10] = 0
    result = seeded_rate(values, range(20))
    assert 0 <= result.low < result.value < result.high <= 1
    with pytest.raises(ValueError, match="between 0 and 1"):
        seeded_rate(values * 2, range(20))


@pytest.mark.parametrize(
    ("values", "clusters", "sentence"),
    [
        (np.ones((1, 4)), range(4), "at least 2 seeds"),
        (np.ones((3, 4)), [0] * 4, "2 clusters"),
        (np.ones(4), range(4), "training seeds x items"),
        (np.full((2, 2), np.nan), range(2), "NaN"),
        (np.ones((3, 4)), range(3), "one cluster for each"),
    ],
)
def test_bad_input_says_why(values: np.ndarray, clusters: list[int], sentence: str) -> None:
    for function in (hierarchical_bootstrap, seeded_rate):
        with pytest.raises(ValueError, match=sentence):
            function(values, clusters)
    with pytest.raises(ValueError, match=sentence):
        hierarchical_bootstrap_difference(values, values, clusters)
