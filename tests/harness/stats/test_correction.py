from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.correction import prediction_powered_mean, rogan_gladen
from harness.stats.intervals import clustered_mean

Y = np.array([1.0, 0, 2, 1, 2, 0, 1, 2])
F = np.array([1.0, 1, 2, 1, 1, 0, 1, 2])
REST = np.array([0.0, 1, 2, 2, 1, 1, 0, 2, 1, 2, 1, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("weight", "value", "low", "high"),
    [  # ppi-python 0.2.3 ppi_mean_pointestimate and ppi_mean_ci(alpha=0.05, lam=weight)
        (1.0, 1.1875, 0.69085509, 1.68414491),
        (0.5, 1.15625, 0.71484359, 1.59765641),
    ],
)
def test_point_and_variance_are_the_packages(weight: float, value: float, low: float, high: float) -> None:
    """The package divides by n and uses z = 1.96; ours has the factor 8/7 and t_7 = 2.364624."""
    result = prediction_powered_mean(Y, F, REST, weight=weight)
    assert result.value == pytest.approx(value)
    ours, theirs = result.high - result.low, high - low
    assert ours == pytest.approx(theirs * math.sqrt(8 / 7) * 2.364624252 / 1.959963985, rel=1e-6)


def test_tuned_weight_is_near_the_packages_and_minimises_the_width() -> None:
    """ppi-python 0.2.3 tunes with a pooled variance: 1.15538833; the variance-minimising weight differs a little."""
    best = prediction_powered_mean(Y, F, REST)
    assert best.value == pytest.approx(1.15538833, abs=0.03)
    grid = [prediction_powered_mean(Y, F, REST, weight=w) for w in np.linspace(0, 1, 101)]
    assert min(grid, key=lambda one: one.high - one.low).weight == pytest.approx(best.weight, abs=0.005)
    # One more degree of freedom goes than for a given weight: t_6 = 2.446912 and 8/6 against t_7 = 2.364624 and 8/7.
    same = prediction_powered_mean(Y, F, REST, weight=best.weight)
    ratio = 2.446911851 / 2.364624252 * math.sqrt(7 / 6)
    assert best.high - best.low == pytest.approx(ratio * (same.high - same.low))
    assert (best.n, best.labelled) == (24, 8)


def test_tuned_weight_in_closed_form_on_balanced_data() -> None:
    """Cov(y, f) / (Var f (1 + n/N)) (the paper's example 6.1) where both sets have the same variance of f."""
    y, f = np.array([0.0, 1, 1, 2]), np.array([0.0, 0, 2, 2])
    result = prediction_powered_mean(y, f, np.tile([0.0, 0, 2, 2], 3))
    assert result.weight == pytest.approx(np.mean((y - 1) * (f - 1)) / (1 * (1 + 4 / 12)))


def test_weight_zero_is_the_human_mean() -> None:
    result, human = prediction_powered_mean(Y, F, REST, weight=0), clustered_mean(Y, range(8))
    assert (result.value, result.low, result.high) == pytest.approx((human.value, human.low, human.high))


def test_a_useless_judge_gets_no_weight_and_a_perfect_one_helps() -> None:
    assert prediction_powered_mean(Y, 2 - Y, REST).weight == 0
    assert prediction_powered_mean(Y, np.ones(8), np.ones(16)).weight == 0
    perfect, human = prediction_powered_mean(Y, Y, np.tile(Y, 20)), clustered_mean(Y, range(8))
    assert perfect.weight == pytest.approx(20 / 21)
    assert perfect.high - perfect.low < 0.3 * (human.high - human.low)


def test_a_biased_judge_is_corrected() -> None:
    assert prediction_powered_mean(Y, Y + 5, np.tile(Y + 5, 50)).value == pytest.approx(Y.mean())


def test_copies_in_a_cluster_add_nothing() -> None:
    one = prediction_powered_mean(Y, F, REST)
    copies = prediction_powered_mean(
        np.repeat(Y, 3),
        np.repeat(F, 3),
        np.repeat(REST, 3),
        clusters=[f"l{i // 3}" for i in range(24)],
        clusters_only=[f"u{i // 3}" for i in range(48)],
    )
    assert (copies.value, copies.low, copies.high) == pytest.approx((one.value, one.low, one.high))


def test_a_cluster_may_be_labelled_in_part() -> None:
    """zh labelled, en not: judge errors that the two share are then counted as shared."""
    apart = prediction_powered_mean(Y, F, F, clusters=range(8), clusters_only=range(8, 16), weight=0.5)
    shared = prediction_powered_mean(Y, F, F, clusters=range(8), clusters_only=range(8), weight=0.5)
    human = clustered_mean(Y, range(8))
    assert shared.high - shared.low == pytest.approx(human.high - human.low)
    assert apart.value == shared.value
    assert apart.high - apart.low != pytest.approx(shared.high - shared.low, rel=0.01)


def test_rogan_gladen_point() -> None:
    """(0.6 + 0.8 - 1) / (0.8 + 0.9 - 1) = 4/7 (Rogan & Gladen 1978)."""
    result = rogan_gladen(120, 200, 45, 50, 40, 50)
    assert result.value == pytest.approx(4 / 7)
    assert result.n == 200


def test_rogan_gladen_limits_are_lees() -> None:
    """p = 0.6 of 200, q1 = 36/40, q0 = 40/50: an independent implementation of arXiv 2511.21140, run once."""
    result = rogan_gladen(120, 200, 36, 40, 40, 50)
    assert (result.low, result.high) == pytest.approx((0.4293036005, 0.7270014528))


def test_perfect_judge_with_endless_calibration_is_agresti_coull() -> None:
    """statsmodels 0.15.0 proportion_confint(30, 40, method="agresti_coull") = (0.5963877, 0.8598015)."""
    big = 10**9
    result = rogan_gladen(30, 40, big, big, big, big)
    assert result.value == pytest.approx(0.75)
    assert (result.low, result.high) == pytest.approx((0.5963877, 0.8598015), abs=1e-6)


def test_both_sets_count_and_clusters_widen() -> None:
    def width(judged: int, n: int, *calibration: int, design_effect: float = 1.0) -> float:
        true_pass, passes, true_fail, fails = calibration
        result = rogan_gladen(judged, n, true_pass, passes, true_fail, fails, design_effect=design_effect)
        return result.high - result.low

    base = width(120, 200, 45, 50, 40, 50)
    assert width(1200, 2000, 45, 50, 40, 50) < base
    assert width(120, 200, 450, 500, 400, 500) < base
    assert width(120, 200, 45, 50, 40, 50, design_effect=2) > base
    assert width(240, 400, 45, 50, 40, 50, design_effect=2) == pytest.approx(base)


def test_rate_stays_between_zero_and_one() -> None:
    low, high = rogan_gladen(2, 100, 45, 50, 45, 50), rogan_gladen(99, 100, 45, 50, 45, 50)
    assert (low.value, low.low) == (0, 0)
    assert (high.value, high.high) == (1, 1)


def test_bad_input_says_why() -> None:
    with pytest.raises(ValueError, match="better than chance"):
        rogan_gladen(50, 100, 25, 50, 25, 50)
    with pytest.raises(ValueError, match="between 0 and its total"):
        rogan_gladen(101, 100, 45, 50, 45, 50)
    with pytest.raises(ValueError, match="both kinds"):
        rogan_gladen(50, 100, 45, 50, 0, 0)
    with pytest.raises(ValueError, match="same items"):
        prediction_powered_mean(Y, F[:-1], REST)
    with pytest.raises(ValueError, match="both sets or neither"):
        prediction_powered_mean(Y, F, REST, clusters=range(8))
    with pytest.raises(ValueError, match="more than 1 labelled clusters"):
        prediction_powered_mean([1], [1], REST)
    with pytest.raises(ValueError, match="weight"):
        prediction_powered_mean(Y, F, REST, weight=2)
    with pytest.raises(ValueError, match="NaN"):
        prediction_powered_mean(Y, F, [np.nan])


@pytest.mark.parametrize(
    ("labelled", "noise", "most"),
    [(20, 0.3, 0.6), (20, 1.0, 0.9), (50, 3.0, 1.0), (200, 3.0, 1.0), (20, 100.0, 1.03), (50, 100.0, 1.015)],
)
def test_width_against_human_labels_alone(labelled: int, noise: float, most: float) -> None:
    """Mean of 200 ratios of widths, a biased judge. One that sees anything narrows the interval; one that sees nothing
    (noise 100) costs the degree of freedom that tuning takes: 1.6 % at 20 labels, 0.6 % at 50 (docs/evaluation.md)."""
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(200):
        truth = rng.normal(0, 1, labelled + 500)
        judge = truth + rng.normal(0.3, noise, len(truth))
        both = prediction_powered_mean(truth[:labelled], judge[:labelled], judge[labelled:])
        human = clustered_mean(truth[:labelled], range(labelled))
        ratios.append((both.high - both.low) / (human.high - human.low))
    assert np.mean(ratios) <= most
