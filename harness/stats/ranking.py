"""Ranks as ranges, tie groups, Bradley-Terry strengths and the length-controlled win rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit

from harness.stats.compare import holm
from harness.stats.intervals import Clusters, Floats, cluster_codes, finite_vector, t_quantile

Bools = NDArray[np.bool_]


def surely_better(differences: ArrayLike, pvalues: ArrayLike, alpha: float = 0.05) -> Bools:
    """k x k: entry (i, j) is true when system i beats j after Holm over all k(k-1)/2 pairs.

    `differences[i, j]` is the score of i less that of j, `pvalues[i, j]` its raw p; only the upper triangles are
    read. A pair that could not be compared (no common items) has NaN in both and is never a sure difference.
    ValueError unless both are k x k.
    """
    gap, p = np.asarray(differences, dtype=np.float64), np.asarray(pvalues, dtype=np.float64)
    if gap.ndim != 2 or gap.shape[0] != gap.shape[1] or gap.shape != p.shape:
        raise ValueError(f"differences and pvalues must both be k x k, got {gap.shape} and {p.shape}.")
    rows, columns = np.triu_indices(len(gap), 1)
    known = np.isfinite(gap[rows, columns]) & np.isfinite(p[rows, columns])
    rows, columns = rows[known], columns[known]
    better = np.zeros(gap.shape, dtype=np.bool_)
    if len(rows):
        sure = holm(p[rows, columns]) <= alpha
        better[rows, columns] = sure & (gap[rows, columns] > 0)
        better[columns, rows] = sure & (gap[rows, columns] < 0)
    return better


def rank_ranges(better: ArrayLike) -> list[tuple[int, int]]:
    """(best, worst) rank of each of k systems: best = 1 + systems surely better, worst = k - systems surely worse.

    `better[i, j]`: i is surely better than j. After the upper-bound rank of Chatbot Arena (Chiang et al. 2024).
    ValueError unless `better` is k x k and never true both ways.
    """
    table = _dominance(better)
    return [(1 + int(losses), len(table) - int(wins)) for losses, wins in zip(table.sum(0), table.sum(1), strict=True)]


def tie_groups(better: ArrayLike) -> list[tuple[int, ...]]:
    """The largest sets of systems no two of which are surely different, best first.

    The groups of a compact letter display (Piepho 2004). A system may stand in several: being tied is not
    transitive. ValueError as in `rank_ranges`.
    """
    table = _dominance(better)
    ranks = rank_ranges(table)
    groups = [tuple(sorted(group, key=lambda one: (sum(ranks[one]), one))) for group in _cliques(~(table | table.T))]
    return sorted(groups, key=lambda group: (sum(sum(ranks[k]) for k in group) / len(group), group))


def _cliques(linked: Bools) -> list[list[int]]:
    """All largest sets of mutually linked members (Bron & Kerbosch 1973, with the pivot of Tomita et al. 2006)."""
    k = len(linked)
    sets = [sum(1 << int(j) for j in np.flatnonzero(row) if j != i) for i, row in enumerate(linked)]
    found, stack = [], [(0, (1 << k) - 1, 0)]  # a set is the set bits of a number: chosen, may join, was tried
    while stack:
        chosen, may, tried = stack.pop()
        if not may:
            found += [] if tried else [_bits(chosen)]
            continue
        pivot = max(_bits(may | tried), key=lambda one: (may & sets[one]).bit_count())
        for one in _bits(may & ~sets[pivot]):
            stack.append((chosen | 1 << one, may & sets[one], tried & sets[one]))
            may, tried = may ^ 1 << one, tried | 1 << one
    return found


def _bits(number: int) -> list[int]:
    return [place for place in range(number.bit_length()) if number >> place & 1]


def _dominance(better: ArrayLike) -> Bools:
    table = np.asarray(better, dtype=np.bool_)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) == 0:
        raise ValueError("better must be a k x k table, k >= 1.")
    if (table & table.T).any():
        raise ValueError("better must not be true both ways for one pair, nor on the diagonal.")
    return table


@dataclass(frozen=True, slots=True)
class Strengths:
    """Bradley-Terry log-strengths (natural log, mean 0) with bootstrap limits; better[i, j]: i surely beats j."""

    value: Floats
    low: Floats
    high: Floats
    better: Bools


def bradley_terry(wins: ArrayLike, prior: float = 0.5) -> Floats:
    """Log-strengths (mean 0) of k systems with P(i beats j) = 1 / (1 + exp(s_j - s_i)) (Bradley & Terry 1952).

    `wins[i, j]`: times i beat j, a tie counting one half both ways; or a stack of such tables, shape (..., k, k).
    `prior` wins and losses of each system against an average opponent keep strengths finite when one always
    wins; prior=0 is the maximum likelihood estimate, which needs a table where no group of systems wins or loses
    every vote against the rest (Ford 1957): ValueError otherwise, and on NaN or negative wins.
    """
    from scipy.sparse.csgraph import connected_components

    table = np.asarray(wins, dtype=np.float64)
    if table.ndim < 2 or table.shape[-1] != table.shape[-2] or not (table >= 0).all() or not np.isfinite(table).all():
        raise ValueError("wins must be k x k with finite, non-negative counts.")
    k = table.shape[-1]
    table = table * (1 - np.eye(k))
    if prior <= 0 and any(connected_components(one, connection="strong")[0] > 1 for one in table.reshape(-1, k, k)):
        raise ValueError("No finite maximum likelihood strengths: some systems win every vote. Use prior > 0.")
    games, strength = table + table.swapaxes(-1, -2), np.zeros(table.shape[:-1])
    for _ in range(100):
        chance = expit(strength[..., :, None] - strength[..., None, :])
        even = expit(strength)
        gradient = (table - games * chance).sum(-1) + prior * (1 - 2 * even)
        curvature = games * chance * (1 - chance)
        diagonal = curvature.sum(-1) + 2 * prior * even * (1 - even)
        hessian = diagonal[..., :, None] * np.eye(k) - curvature + (1 / k if prior <= 0 else 0.0)
        step = np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -1, 1)
        strength = strength + step
        if np.abs(step).max() < 1e-10:
            break
    centred: Floats = strength - strength.mean(-1, keepdims=True)
    return centred


def bradley_terry_bootstrap(
    first: Sequence[int],
    second: Sequence[int],
    scores: ArrayLike,
    items: Clusters,
    level: float = 0.95,
    resamples: int = 1000,
    prior: float = 0.5,
    seed: int = 0,
) -> Strengths:
    """Bradley-Terry strengths with percentile limits from resampling *items* (votes on one item go together).

    One entry a vote: systems `first` and `second` (0..k-1), `scores` 1 / 0.5 / 0 when the first wins / ties /
    loses, and the item (or cluster) voted on. ValueError on NaN, unequal lengths, or scores outside [0, 1].
    """
    outcome = finite_vector(scores, "scores")
    if not len(first) == len(second) == len(outcome) or outcome.min() < 0 or outcome.max() > 1:
        raise ValueError("first, second and scores must be of one length, with scores between 0 and 1.")
    codes, count = cluster_codes(items, len(outcome))
    left, right = np.asarray(first), np.asarray(second)
    k = int(max(left.max(), right.max())) + 1
    tables = np.zeros((count, k, k))
    np.add.at(tables, (codes, left, right), outcome)
    np.add.at(tables, (codes, right, left), 1 - outcome)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    draws = bradley_terry((weights @ tables.reshape(count, -1)).reshape(resamples, k, k), prior)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    gaps = np.quantile(draws[:, :, None] - draws[:, None, :], 0.5 - level / 2, axis=0)
    return Strengths(bradley_terry(tables.sum(0), prior), low, high, gaps > 0)


SINGULAR = 1e10
"""Condition number from which two effects cannot be told apart"""


@dataclass(frozen=True, slots=True)
class WinRate:
    """Win rate at equal length with its interval, and the raw win rate of the same n votes."""

    value: float
    low: float
    high: float
    n: int
    raw: float


def length_controlled_win_rate(
    scores: ArrayLike, length_difference: ArrayLike, clusters: Clusters, level: float = 0.95
) -> WinRate | None:
    """Win rate that would be seen were both texts equally long (Dubois et al. 2024, arXiv 2404.04475).

    `scores`: 1 / 0.5 / 0 (or a probability) that the system wins; `length_difference`: its length less its
    opponent's, in any one unit. Logistic model logit P = q + f * tanh(d / sd(d)), predicted at d = 0; their
    per-instruction difficulty term is left out. Fitted with Firth's penalty (Firth 1993), finite even when all
    votes agree; the variance of q is the larger of the cluster-robust and the model's, with t_{C-1}.
    None where length cannot be told from the system (all differences nearly the same, and not 0).
    ValueError on NaN, unequal lengths, scores outside [0, 1] or fewer than two clusters.
    """
    y, gap = finite_vector(scores, "scores"), finite_vector(length_difference, "length_difference")
    if len(y) != len(gap) or y.min() < 0 or y.max() > 1:
        raise ValueError("scores must lie between 0 and 1, one for each length difference.")
    codes, count = cluster_codes(clusters, len(y))
    if count < 2:
        raise ValueError("A win rate interval needs at least two clusters.")
    columns = [np.ones_like(y)] + ([np.tanh(gap / gap.std())] if gap.std() > 0 else [])
    design = np.column_stack(columns)
    coefficients, information = _firth(design, y)
    if np.linalg.cond(information) > SINGULAR:
        return None
    inverse = np.linalg.inv(information)
    residual = y - expit(design @ coefficients)
    moved = np.column_stack([np.bincount(codes, weights=column * residual) for column in design.T]) @ inverse
    robust = count / (count - 1) * float(moved[:, 0] @ moved[:, 0])
    half = t_quantile(level, count - 1) * np.sqrt(max(robust, float(inverse[0, 0])))
    value, low, high = expit(coefficients[0] + np.array([0.0, -half, half]))
    return WinRate(float(value), float(low), float(high), len(y), float(y.mean()))


def _firth(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Logistic coefficients that maximise likelihood * sqrt(det information), and the information matrix there.

    The score is design^T (y - p + h (1/2 - p)), h the leverages (Heinze & Schemper 2002).
    """

    from scipy.optimize import minimize

    def information(chance: Floats) -> Floats:
        table: Floats = design.T @ ((chance * (1 - chance))[:, None] * design)
        return table

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        linear = design @ coefficients
        chance = expit(linear)
        table = information(chance)
        inverse = np.linalg.pinv(table)
        leverage = chance * (1 - chance) * np.einsum("ij,ij->i", design @ inverse, design)
        likelihood = float(y @ log_expit(linear) + (1 - y) @ log_expit(-linear))
        return -likelihood - float(np.linalg.slogdet(table)[1]) / 2, -design.T @ (
            y - chance + leverage * (0.5 - chance)
        )

    best = minimize(loss, np.zeros(design.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-8})
    return best.x, information(expit(design @ best.x))
