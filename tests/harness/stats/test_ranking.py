from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from harness.stats.ranking import (
    bradley_terry,
    bradley_terry_bootstrap,
    length_controlled_win_rate,
    rank_ranges,
    surely_better,
    tie_groups,
)

# Agresti 2002, Categorical Data Analysis, table 10.10: American League East 1987, wins of row over column.
# Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore.
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)


def beats(k: int, *pairs: tuple[int, int]) -> np.ndarray:
    table = np.zeros((k, k), dtype=bool)
    for i, j in pairs:
        table[i, j] = True
    return table


def test_rank_ranges_by_hand() -> None:
    """0 beats 2 and 3; 1 beats 3: ranks 1-2, 1-3, 2-4, 3-4."""
    assert rank_ranges(beats(4, (0, 2), (0, 3), (1, 3))) == [(1, 2), (1, 3), (2, 4), (3, 4)]
    assert rank_ranges(beats(3)) == [(1, 3)] * 3
    assert rank_ranges(beats(3, (2, 1), (2, 0), (1, 0))) == [(3, 3), (2, 2), (1, 1)]
    assert rank_ranges(beats(1)) == [(1, 1)]


def test_tie_groups_overlap_because_ties_do_not_chain() -> None:
    assert tie_groups(beats(4, (0, 2), (0, 3), (1, 3))) == [(0, 1), (1, 2), (2, 3)]
    assert tie_groups(beats(3)) == [(0, 1, 2)]
    assert tie_groups(beats(3, (2, 1), (2, 0), (1, 0))) == [(2,), (1,), (0,)]


def test_tie_groups_are_the_largest_sets_without_a_sure_difference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = np.triu(rng.random((7, 7)) < 0.4, 1)
        apart = table | table.T
        free = [
            {i for i in range(7) if mask >> i & 1}
            for mask in range(1, 2**7)
            if not any(apart[i, j] for i in range(7) for j in range(7) if mask >> i & mask >> j & 1)
        ]
        largest = [group for group in free if not any(group < other for other in free)]
        assert sorted(map(sorted, tie_groups(table))) == sorted(map(sorted, largest))


def test_surely_better_corrects_over_pairs() -> None:
    """Three pairs: Holm keeps 0.01 (x3) and 0.02 (x2), but not 0.03 once 0.02 failed; here 0.02 becomes 0.04."""
    gaps = np.array([[0, 0.3, -0.2], [-0.3, 0, 0.1], [0.2, -0.1, 0]])
    p = np.array([[1, 0.01, 0.02], [0.01, 1, 0.06], [0.02, 0.06, 1]])
    assert surely_better(gaps, p).tolist() == [[False, True, False], [False, False, False], [True, False, False]]
    p[0, 2] = 0.03
    assert surely_better(gaps, p).sum() == 1


def test_pairs_that_were_not_compared_are_ties() -> None:
    gaps, p = np.array([[0, np.nan], [np.nan, 0]]), np.full((2, 2), np.nan)
    assert not surely_better(gaps, p).any()


def test_impossible_orders_are_refused() -> None:
    for function in (rank_ranges, tie_groups):
        with pytest.raises(ValueError, match="both ways"):
            function(beats(2, (0, 1), (1, 0)))
        with pytest.raises(ValueError, match="k x k"):
            function(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="k x k"):
        surely_better(np.zeros((2, 2)), np.zeros((3, 3)))


def test_bradley_terry_of_two_is_the_log_odds() -> None:
    strength = bradley_terry([[0, 30], [10, 0]], prior=0)
    assert strength[0] - strength[1] == pytest.approx(math.log(3))
    assert strength.sum() == pytest.approx(0)


def test_bradley_terry_is_agrestis() -> None:
    """Agresti 2002, section 10.6.2: 1.58, 1.44, 1.29, 1.25, 1.11, 0.68, Baltimore 0."""
    strength = bradley_terry(BASEBALL, prior=0)
    assert strength - strength[-1] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0], abs=0.006)


def test_bradley_terry_expects_the_wins_it_saw() -> None:
    strength = bradley_terry(BASEBALL, prior=0)
    chance = expit(strength[:, None] - strength[None, :])
    assert ((BASEBALL + BASEBALL.T) * chance).sum(1) == pytest.approx(BASEBALL.sum(1))


def test_bradley_terry_with_an_unbeaten_system() -> None:
    with pytest.raises(ValueError, match="prior > 0"):
        bradley_terry([[0, 5], [0, 0]], prior=0)
    # With one half win and loss against strength 0: 5 (1 - p) = tanh(s / 2) / 2 for s = s_0 = -s_1, p = expit(2 s).
    s = bradley_terry([[0, 5], [0, 0]])[0]
    assert 5 * (1 - expit(2 * s)) == pytest.approx(math.tanh(s / 2) / 2)


def votes(seed: int = 0, items: int = 60) -> tuple[list[int], list[int], list[float], list[str]]:
    """Three systems of strength 1, 0.9, -1; each item is voted on four times, by clones of one rater."""
    rng, strength = np.random.default_rng(seed), (1.0, 0.9, -1.0)
    first, second, scores, names = [], [], [], []
    for item in range(items):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            won = float(rng.random() < expit(strength[i] - strength[j]))
            first += [i] * 4
            second += [j] * 4
            scores += [won] * 4
            names += [f"item{item}"] * 4
    return first, second, scores, names


def test_bootstrap_resamples_items_not_votes() -> None:
    first, second, scores, names = votes()
    by_item = bradley_terry_bootstrap(first, second, scores, names, resamples=400)
    by_vote = bradley_terry_bootstrap(first, second, scores, range(len(scores)), resamples=400)
    ratio = (by_item.high - by_item.low) / (by_vote.high - by_vote.low)
    assert ratio == pytest.approx([2, 2, 2], rel=0.2)
    assert by_item.better.tolist() == [[False, False, True], [False, False, True], [False, False, False]]
    assert rank_ranges(by_item.better) == [(1, 2), (1, 2), (3, 3)]
    assert ((by_item.low < by_item.value) & (by_item.value < by_item.high)).all()


def test_ties_are_half_wins() -> None:
    tied = bradley_terry_bootstrap([0, 0], [1, 1], [0.5, 0.5], ["a", "b"], resamples=20)
    assert tied.value == pytest.approx([0, 0])


def test_bad_votes_say_why() -> None:
    with pytest.raises(ValueError, match="one length"):
        bradley_terry_bootstrap([0], [1, 1], [1, 0], ["a", "b"])
    with pytest.raises(ValueError, match="non-negative"):
        bradley_terry([[0, -1], [2, 0]])
    with pytest.raises(ValueError, match="scores must lie"):
        length_controlled_win_rate([1, 2], [0, 0], ["a", "b"])


def test_equal_lengths_leave_the_win_rate_with_firths_half() -> None:
    """Intercept only: Firth's estimate is (wins + 1/2) / (n + 1) (Firth 1993, section 3)."""
    result = length_controlled_win_rate([1] * 7 + [0] * 3, [0] * 10, range(10))
    assert result.value == pytest.approx(7.5 / 11)
    assert (result.raw, result.n) == (0.7, 10)
    always = length_controlled_win_rate([1] * 10, [0] * 10, range(10))
    assert always.value == pytest.approx(10.5 / 11)
    assert always.low < 0.85


def test_length_bias_is_taken_out() -> None:
    """A judge that prefers the longer text, and systems that are equal: raw far above one half, controlled not."""
    rng = np.random.default_rng(0)
    gap = rng.normal(60, 80, 4000)
    wins = rng.random(4000) < expit(1.5 * np.tanh(gap / gap.std()))
    result = length_controlled_win_rate(wins, gap, np.repeat(np.arange(2000), 2))
    assert result.raw > 0.6
    assert result.low < 0.5 < result.high
    assert result.value == pytest.approx(0.5, abs=0.03)


def test_length_control_maximises_firths_likelihood() -> None:
    rng = np.random.default_rng(1)
    gap, y = rng.normal(size=40), (rng.random(40) < 0.6).astype(float)
    design = np.column_stack([np.ones(40), np.tanh(gap / gap.std())])

    def loss(b: np.ndarray) -> float:
        p = expit(design @ b)
        information = design.T @ ((p * (1 - p))[:, None] * design)
        return -float(np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) + np.linalg.slogdet(information)[1] / 2)

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    assert length_controlled_win_rate(y, gap, range(40)).value == pytest.approx(expit(best[0]), abs=1e-6)


def test_clustered_votes_widen_the_win_rate() -> None:
    rng = np.random.default_rng(2)
    y, gap = rng.random(50) < 0.6, rng.normal(size=50)
    one = length_controlled_win_rate(y, gap, range(50))
    four = length_controlled_win_rate(np.repeat(y, 4), np.repeat(gap, 4), np.repeat(np.arange(50), 4))
    assert (four.high - four.low) == pytest.approx(one.high - one.low, rel=0.05)


def test_one_length_difference_for_all_cannot_be_told_from_the_system() -> None:
    assert length_controlled_win_rate([0, 1], [6, 7], ["a", "b"]) is None
    assert length_controlled_win_rate([0, 1, 1, 0], [6, -7, 5, -2], "abcd") is not None
