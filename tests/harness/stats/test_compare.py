from __future__ import annotations

import numpy as np
import pytest

from harness.stats.compare import holm, mcnemar_exact, paired_difference, paired_differences, sign_flip
from harness.stats.intervals import clustered_mean, t_quantile

# Darwin's Zea mays, differences in eighths of an inch; Fisher 1935, The Design of Experiments, sections 17 and 21.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_darwins_plants_by_t() -> None:
    """Fisher's t = 2.148 with 14 degrees of freedom; t_14 = 2.145, so the interval just leaves out 0."""
    result = paired_difference(DARWIN, np.zeros(15), range(15))
    assert result.value == pytest.approx(314 / 15)
    assert result.value / ((result.high - result.value) / 2.144787) == pytest.approx(2.148, abs=5e-4)
    assert 0 < result.low < 0.1


def test_darwins_plants_by_every_sign() -> None:
    """Fisher counted 1726 of 2^15 sign patterns as far out: p = 0.05267 (section 21, both tails)."""
    p, method = sign_flip(DARWIN, seed=1)
    assert method == "sign-flip Monte Carlo"
    assert p == pytest.approx(1726 / 2**15, abs=0.005)
    assert paired_difference(DARWIN, np.zeros(15), range(15), seed=1).p == p


def test_exact_signs_in_closed_form() -> None:
    assert sign_flip([1, 2, 4]) == (2 / 8, "sign-flip exact")
    assert sign_flip([1, 1, -1])[0] == 1.0
    assert sign_flip([3, 1, -1, 0])[0] == 12 / 16
    assert sign_flip([0, 0])[0] == 1.0
    assert sign_flip([0.1] * 14)[0] == pytest.approx(2 / 2**14)


def test_many_clusters_use_t() -> None:
    """p of t = mean / SE at C - 1 = 39 df; t_39 = 2.0226909 gives p = 0.05 exactly (t table)."""
    differences = np.tile([1.0, -1.0], 20)
    shift = 2.022690920 * np.sqrt(40 / 39 / 40)
    result = paired_difference(differences + shift, np.zeros(40), range(40))
    assert result.method == "t"
    assert result.p == pytest.approx(0.05, abs=1e-8)
    assert result.low == pytest.approx(0, abs=1e-8)


def test_difference_is_the_clustered_mean_of_differences_and_turns_with_its_arguments() -> None:
    rng = np.random.default_rng(3)
    a, b, clusters = rng.random(80), rng.random(80), np.repeat([f"p{i}" for i in range(40)], 2)
    one, other, mean = (
        paired_difference(a, b, clusters),
        paired_difference(b, a, clusters),
        clustered_mean(a - b, clusters),
    )
    assert (one.value, one.low, one.high, one.n) == (mean.value, mean.low, mean.high, 80)
    assert (other.value, other.low, other.p) == pytest.approx((-one.value, -one.high, one.p))
    assert one.clusters == 40


def test_equal_systems_and_constant_gaps() -> None:
    same = paired_difference([1] * 40, [1] * 40, range(40))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    always = paired_difference([1] * 40, [0] * 40, range(40))
    assert 0 < always.p < 1e-3


def test_few_clusters_are_never_significant() -> None:
    assert paired_difference([1, 1.1, 1, 1, 1.2], [0] * 5, range(5)).p == pytest.approx(2 / 2**5)


def test_sign_flip_holds_its_level() -> None:
    rng = np.random.default_rng(5)
    hits = np.mean([sign_flip(rng.normal(size=8))[0] <= 0.05 for _ in range(1000)])
    assert 0.03 < hits <= 0.065


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (3, 12, 0.03515625),  # statsmodels 0.15.0 mcnemar([[10, 3], [12, 5]], exact=True)
        (0, 5, 2 / 2**5),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar(b: int, c: int, p: float) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(p, abs=1e-12)
    assert mcnemar_exact(c, b) == pytest.approx(p, abs=1e-12)


def test_binary_scores_of_single_items_are_compared_by_mcnemar() -> None:
    a, b = np.zeros(60), np.zeros(60)
    a[:12], b[12:15] = 1, 1
    result = paired_difference(a, b, range(60))
    assert (result.p, result.method) == (mcnemar_exact(12, 3), "McNemar exact")
    assert paired_difference(a, b, np.arange(60) // 2).method == "t"
    assert paired_difference(2 * a, 2 * b, range(60)).method == "t"


@pytest.mark.parametrize(("count", "size"), [(60, 2), (40, 1), (12, 2), (20, 3), (1, 4)])
def test_all_pairs_at_once_are_the_pairs_one_by_one(count: int, size: int) -> None:
    """Graded, binary, equal, constant-gap and gappy systems; clusters in mixed order."""
    rng = np.random.default_rng(count)
    n = count * size
    clusters = rng.permutation(np.arange(n) // size)
    values = np.stack([rng.integers(0, 3, n), rng.random(n) < 0.6, rng.random(n) < 0.5, *[np.full(n, 0.3)] * 2]) + 0.0
    values = np.vstack([values, values[0] + 0.7, np.where(rng.random(n) < 0.3, np.nan, values[1]), np.full(n, np.nan)])
    found = paired_differences(values, clusters)
    for i in range(len(values)):
        for j in range(len(values)):
            common = np.isfinite(values[i]) & np.isfinite(values[j])
            if j <= i or len(set(clusters[common])) < 2:
                assert np.isnan(found.p[i, j])
                continue
            one = paired_difference(values[i][common], values[j][common], clusters[common])
            assert found.difference[i, j] == pytest.approx(one.value, abs=1e-12)
            assert found.p[i, j] == pytest.approx(one.p, rel=1e-7), (i, j, one.method)
            assert found.clusters[i, j] == one.clusters
            half = t_quantile(0.95, one.clusters - 1) * found.error[i, j]
            assert one.high - one.value == pytest.approx(half, abs=1e-12)


def test_mcnemar_refuses_what_is_no_count() -> None:
    for b, c in ((-1, 2), (1.5, 2)):
        with pytest.raises(ValueError, match="counts"):
            mcnemar_exact(b, c)  # type: ignore[arg-type]


def test_holm_is_the_packages_and_the_hand_calculation() -> None:
    """statsmodels 0.15.0 multipletests(method="holm"); by hand 5 * .005, 4 * .01, 3 * .03, max(.09, 2 * .04), .2."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.2]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.2])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_bad_input_says_why() -> None:
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1, 2], [1], [0, 1])
    with pytest.raises(ValueError, match="two clusters"):
        paired_difference([1, 2], [1, 1], [0, 0])
    with pytest.raises(ValueError, match="NaN"):
        paired_difference([1, np.nan], [1, 1], [0, 1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.2])
    with pytest.raises(ValueError, match="non-empty"):
        holm([])
