from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

A = [0, 1, 2, 2, 1, 0, 2, 1, 1, 0, 2, 2]
B = [0, 2, 2, 1, 1, 0, 2, 1, 0, 1, 2, 0]

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C: observers A-D on 12 units.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = [list(unit) for unit in zip(*OBSERVERS, strict=True)]

# Fleiss 1971's worked layout as printed at en.wikipedia.org/wiki/Fleiss'_kappa: 10 subjects, 14 raters, kappa 0.210.
FLEISS = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]


def spread(counts: tuple[int, ...]) -> list[int]:
    return [category for category, count in enumerate(counts) for _ in range(count)]


def test_cohen_of_fifty_grants() -> None:
    """The table 20 / 5 / 10 / 15 of en.wikipedia.org/wiki/Cohen's_kappa: (0.7 - 0.5) / (1 - 0.5) = 0.4."""
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(a, b).value == pytest.approx(0.4)


def test_cohen_is_the_packages() -> None:
    """scikit-learn 1.9.1 cohen_kappa_score(A, B) and with weights="quadratic"."""
    assert cohen_kappa(A, B).value == pytest.approx(0.375)
    assert cohen_kappa(A, B, "quadratic").value == pytest.approx(0.5)


def test_quadratic_weights_use_the_scale_not_the_order() -> None:
    """Grades 1, 2, 5 with none at 3 and 4: off by 1 costs 1, off by 3 costs 9 (by hand, 4 items)."""
    # Observed (0 + 1 + 0 + 9) / 4 = 2.5; expected over all 16 pairs 2 (0+1+16+1) + 2 (16+9+0+9) = 104, so 6.5.
    assert cohen_kappa([1, 1, 5, 5], [1, 2, 5, 2], "quadratic").value == pytest.approx(1 - 2.5 / 6.5)


def test_fleiss_is_the_worked_example() -> None:
    assert fleiss_kappa([spread(row) for row in FLEISS]).value == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize(("measurement", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_is_his_own_example(measurement: str, alpha: float) -> None:
    result = krippendorff_alpha(UNITS, measurement)  # type: ignore[arg-type]
    assert result.value == pytest.approx(alpha, abs=6e-4)
    assert result.n == 11  # the last unit has one label


@pytest.mark.parametrize(
    ("measurement", "alpha"),
    [  # krippendorff 0.9.0 alpha(level_of_measurement=...)
        ("nominal", 0.3372319688109162),
        ("ordinal", 0.6826484018264839),
        ("interval", 0.7009345794392523),
    ],
)
def test_krippendorff_is_the_packages(measurement: str, alpha: float) -> None:
    gap = math.nan
    ratings: list[list[float | None]] = [
        [1, 2, 2, 5],
        [1, 1, gap, 1],
        [4, None, 5, 5],
        [3, 3, 3, 2],
        [None, 2, gap, None],
        [5, 5, 4, 5],
    ]
    ratings.append([2, 1, 2, None])
    assert krippendorff_alpha(ratings, measurement).value == pytest.approx(alpha)  # type: ignore[arg-type]


def test_perfect_and_reversed_raters() -> None:
    assert cohen_kappa([0, 1, 0, 1], [0, 1, 0, 1]).value == 1
    assert cohen_kappa([0, 1, 0, 1], [1, 0, 1, 0]).value == -1
    assert krippendorff_alpha([["x", "x"], ["y", "y"]]).value == 1
    # Alpha of two raters who never agree: Do = 1, De = 2 * 2 * 2 / (4 * 3) = 2/3.
    assert krippendorff_alpha([["x", "y"], ["y", "x"]]).value == pytest.approx(1 - 1 / (2 / 3))


@pytest.mark.parametrize("resamples", [0, 50])
def test_one_category_is_not_defined_and_says_so(resamples: int) -> None:
    results = [
        cohen_kappa([1, 1, 1], [1, 1, 1], resamples=resamples),
        fleiss_kappa([[1, 1], [1, 1]], resamples=resamples),
        krippendorff_alpha([[1, 1], [1, None], [1, 1]], "ordinal", resamples=resamples),
    ]
    for result in results:
        assert (result.value, result.low, result.high) == (None, None, None)
        assert "one category" in result.reason


def test_no_pair_of_labels_is_not_defined_and_says_so() -> None:
    result = krippendorff_alpha([[1, None], [None, 2]], resamples=10)
    assert (result.value, result.n) == (None, 0)
    assert "two labels" in result.reason


def test_an_interval_that_cannot_be_found_says_so() -> None:
    result = cohen_kappa([1] * 19 + [0], [1] * 19 + [0], resamples=200)
    assert (result.value, result.low) == (1, None)
    assert "second category" in result.reason


def simulated(items: int, seed: int) -> np.ndarray:
    """Three raters who give the item's grade (0-2) with chance 0.7, else a random one: alpha is 0.7^2 = 0.49."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (items, 1))
    return np.where(rng.random((items, 3)) < 0.7, truth, rng.integers(0, 3, (items, 3)))


def test_bootstrap_over_items_covers() -> None:
    results = [krippendorff_alpha(simulated(80, seed), resamples=300, seed=seed) for seed in range(150)]
    held = [result.low <= 0.49 <= result.high for result in results]  # type: ignore[operator]
    assert 0.9 <= np.mean(held) < 1


def test_bootstrap_over_clusters_does_not_count_copies() -> None:
    ratings = simulated(60, 0)
    one = fleiss_kappa(ratings, resamples=500)
    copies = fleiss_kappa(np.repeat(ratings, 4, axis=0), clusters=np.repeat(np.arange(60), 4), resamples=500)
    assert (copies.value, copies.low, copies.high) == pytest.approx((one.value, one.low, one.high))


def test_clusters_follow_the_items_that_count() -> None:
    ratings: list[list[int | None]] = [[1, None], [1, 1], [2, 2], [1, 2], [2, 2]]
    result = krippendorff_alpha(ratings, clusters=["z", "a", "a", "b", "b"], resamples=100)
    assert result.n == 4


def test_bad_input_says_why() -> None:
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa([1], [1, 2])
    with pytest.raises(ValueError, match="missing"):
        cohen_kappa([1, None], [1, 2])
    with pytest.raises(ValueError, match="numbers"):
        cohen_kappa(["a", "b"], ["a", "b"], "quadratic")
    with pytest.raises(ValueError, match="non-empty"):
        cohen_kappa([], [])
    with pytest.raises(ValueError, match="one column for each"):
        fleiss_kappa([[1, 2], [1]])
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa([[1, 2], [1, None]])
    with pytest.raises(ValueError, match="measurement"):
        krippendorff_alpha([[1, 2], [1, 2]], "ratio")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one cluster for each"):
        krippendorff_alpha([[1, 2], [1, 2]], clusters=["a"])
