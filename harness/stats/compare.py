"""Is the difference between two systems real? Paired tests on the items both have answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtr

from harness.stats.intervals import Clusters, Floats, cluster_codes, clustered_mean, finite_vector, t_quantile

FEW_CLUSTERS = 30
EXACT_CLUSTERS = 14
FLIPS = 20_000
ROUNDING = 1e-12
"""A standard error below this share of the difference is a constant gap: there is no spread to test against."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of a - b over n common items, its interval, the two-sided p of no difference, and how p was found."""

    value: float
    low: float
    high: float
    n: int
    p: float
    clusters: int
    method: str


def paired_difference(
    a: ArrayLike, b: ArrayLike, clusters: Clusters, level: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Mean paired difference a_i - b_i with its clustered t interval (C - 1 df; Miller 2024, arXiv 2411.00640).

    `a`, `b`: scores of two systems on the same n items, in the same order. The p-value is `mcnemar_exact`'s where
    every item is its own cluster and passes or fails (1 or 0), else that of the t test at C >= 30 clusters and of
    `sign_flip` below. It may disagree a little with the interval, which stays t.
    ValueError on empty, NaN, unequal lengths, or fewer than two clusters.
    """
    first, second = finite_vector(a, "a"), finite_vector(b, "b")
    if len(first) != len(second):
        raise ValueError(f"a and b must be the scores of the same items, got {len(first)} and {len(second)}.")
    differences = first - second
    codes, count = cluster_codes(clusters, len(differences))
    mean = clustered_mean(differences, codes, level)
    error = (mean.high - mean.value) / t_quantile(level, count - 1)
    if count == len(differences) and _pass_or_fail(first) and _pass_or_fail(second):
        p, method = mcnemar_exact(int((differences > 0).sum()), int((differences < 0).sum())), "McNemar exact"
    elif count < FEW_CLUSTERS or error <= ROUNDING * abs(mean.value):
        p, method = sign_flip(np.bincount(codes, weights=differences, minlength=count), seed)
    else:
        p, method = float(2 * stdtr(count - 1, -abs(mean.value) / error)), "t"
    return PairedDifference(mean.value, mean.low, mean.high, mean.n, p, count, method)


def _pass_or_fail(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


@dataclass(frozen=True, slots=True)
class Pairs:
    """Paired differences of k systems, each k x k with NaN (0 clusters) off the upper triangle and where a pair has
    too few common items: difference row - column, its clustered standard error, p, and the clusters it rests on."""

    difference: Floats
    error: Floats
    p: Floats
    clusters: NDArray[np.intp]


def paired_differences(values: ArrayLike, clusters: Clusters, seed: int = 0) -> Pairs:
    """`paired_difference` of every pair of k systems at once, each on the items that both have.

    `values`: k x n scores, NaN where a system has none; `clusters`: one name an item. A pair with fewer than two
    common clusters is not compared. ValueError when the lengths differ.
    """
    table = np.asarray(values, dtype=np.float64)
    codes, _ = cluster_codes(clusters, table.shape[1])
    order = np.argsort(codes, kind="stable")
    sums = _ClusterSums(table[:, order], codes[order])
    k = len(table)
    empty = np.full((k, k), np.nan)
    found = Pairs(empty, empty.copy(), empty.copy(), np.zeros((k, k), dtype=np.intp))
    for i in range(k - 1):
        for name, row in zip(Pairs.__slots__, _tested(*sums.less_each_later(i), seed), strict=True):
            getattr(found, name)[i, i + 1 :] = row
    return found


class _ClusterSums:
    """Sums of k systems over clusters (k x C), from which those of a difference follow: what only one of two systems
    has is taken out again. Values are k x n with their items in order of clusters."""

    def __init__(self, values: Floats, codes: NDArray[np.intp]) -> None:
        self.known = np.isfinite(values)
        self.values = np.where(self.known, values, 0.0)
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        self.cluster = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(codes)))
        self.sums = np.add.reduceat(self.values, starts, axis=1)
        self.sizes = np.add.reduceat(self.known, starts, axis=1, dtype=np.int64)
        self.binary = np.asarray(np.isin(self.values, (0.0, 1.0)).all(axis=1))
        self.lacking = np.nonzero(~self.known)
        self.rounding = ROUNDING * float(np.abs(self.values).max(initial=0.0))

    def less_each_later(self, i: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
        """System i less each of the m after it on common items: cluster sums and sizes (m x C), both pass or fail."""
        later = slice(i + 1, None)
        sums, sizes = self.sums[i] - self.sums[later], self.sizes[later].copy()
        ours = np.flatnonzero(~self.known[i])
        for item, cluster in zip(ours.tolist(), self.cluster[ours].tolist(), strict=True):
            sums[:, cluster] += self.values[later, item]
            sizes[:, cluster] -= self.known[later, item]
        system, items = (places[np.searchsorted(self.lacking[0], i, side="right") :] for places in self.lacking)
        np.subtract.at(sums, (system - i - 1, self.cluster[items]), self.values[i, items])
        sums[np.abs(sums) <= self.rounding] = 0.0
        return sums, sizes, np.asarray(self.binary[later] & self.binary[i])


def _tested(
    sums: Floats, sizes: NDArray[np.int64], binary: NDArray[np.bool_], seed: int
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Difference, error, p and clusters of m pairs, from cluster sums and sizes of their differences (m x C)."""
    n, count = sizes.sum(axis=1), (sizes > 0).sum(axis=1)
    usable = count > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(usable, sums.sum(axis=1) / n, np.nan)
        off = sums - sizes * mean[:, None]
        error = np.where(usable, np.sqrt(count / (count - 1) * np.einsum("mc,mc->m", off, off)) / n, np.nan)
    p = np.full(len(sums), np.nan)
    single = usable & binary & (count == n)
    p[single] = _mcnemar((sums[single] > 0).sum(axis=1), (sums[single] < 0).sum(axis=1))
    by_t = usable & ~single & (count >= FEW_CLUSTERS) & (error > ROUNDING * np.abs(mean))
    p[by_t] = 2 * stdtr(count[by_t] - 1, -np.abs(mean[by_t]) / error[by_t])
    for m in np.flatnonzero(usable & ~single & ~by_t):
        p[m] = sign_flip(sums[m][sizes[m] > 0], seed)[0]
    return mean, error, p, count


def sign_flip(sums: ArrayLike, seed: int = 0) -> tuple[float, str]:
    """Two-sided sign-flip permutation p-value of C cluster sums, and its method.

    Under no difference each sum is as likely with either sign (Fisher 1935; Good 2005). All 2^C sign patterns up
    to C = 14, else (hits + 1) / (draws + 1) of 20 000 drawn patterns (Phipson & Smyth 2010). The smallest exact
    p is 2^(1-C): five clusters can never reach 0.05.
    """
    totals = finite_vector(sums, "cluster sums")
    count = len(totals)
    observed = abs(float(totals.sum()))
    tolerance = 1e-12 * max(1.0, float(np.abs(totals).sum()))
    if not totals.any():
        return 1.0, "sign-flip exact"
    hits = int(np.sum(np.abs(_signs(count, seed) @ totals) >= observed - tolerance))
    if count <= EXACT_CLUSTERS:
        return hits / 2**count, "sign-flip exact"
    return (hits + 1) / (FLIPS + 1), "sign-flip Monte Carlo"


@lru_cache(maxsize=4)
def _signs(count: int, seed: int) -> Floats:
    """Sign patterns of `count` sums, each +1 or -1: all of them up to EXACT_CLUSTERS, else FLIPS drawn ones."""
    if count <= EXACT_CLUSTERS:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(FLIPS, count), dtype=np.int8).astype(np.intp)
    return np.asarray(2.0 * bits - 1, dtype=np.float64)


def mcnemar_exact(b: int, c: int) -> float:
    """Exact two-sided McNemar p-value: min(1, 2 P(Bin(b + c, 1/2) <= min(b, c))); 1 when b + c = 0.

    `b`, `c`: items that only the first, only the second system passes (McNemar 1947; Agresti 2002, 10.1.1). It
    knows no clusters: use it where every item is its own. ValueError on negative or fractional counts.
    """
    if b < 0 or c < 0 or int(b) != b or int(c) != c:
        raise ValueError(f"McNemar needs two counts of items, got {b} and {c}.")
    return float(_mcnemar(np.array(b), np.array(c)))


def _mcnemar(b: NDArray[np.intp], c: NDArray[np.intp]) -> Floats:
    tails = 2 * bdtr(np.minimum(b, c), b + c, 0.5)
    return np.asarray(np.where(b + c == 0, 1.0, np.minimum(1.0, tails)), dtype=np.float64)


def holm(pvalues: Sequence[float] | Floats) -> Floats:
    """Holm-adjusted p-values in the given order (Holm 1979): max_{j<=i} min(1, (m - j + 1) p_(j)).

    ValueError on an empty list or a p outside [0, 1].
    """
    p = finite_vector(pvalues, "p-values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p-values must lie between 0 and 1.")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted
