"""Is the difference between two systems real? Paired tests on the items both have answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr

from harness.stats.intervals import Clusters, Floats, cluster_codes, clustered_mean, finite_vector, t_quantile

FEW_CLUSTERS = 30
EXACT_CLUSTERS = 14
FLIPS = 20_000


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

    `a`, `b`: scores of two systems on the same n items, in the same order. The p-value is that of the t test at
    C >= 30 clusters and of `sign_flip` below (it may then disagree a little with the interval, which stays t).
    ValueError on empty, NaN, unequal lengths, or fewer than two clusters.
    """
    first, second = finite_vector(a, "a"), finite_vector(b, "b")
    if len(first) != len(second):
        raise ValueError(f"a and b must be the scores of the same items, got {len(first)} and {len(second)}.")
    differences = first - second
    codes, count = cluster_codes(clusters, len(differences))
    mean = clustered_mean(differences, codes, level)
    error = (mean.high - mean.value) / t_quantile(level, count - 1)
    if count < FEW_CLUSTERS or error == 0:
        p, method = sign_flip(np.bincount(codes, weights=differences, minlength=count), seed)
    else:
        p, method = float(2 * stdtr(count - 1, -abs(mean.value) / error)), "t"
    return PairedDifference(mean.value, mean.low, mean.high, mean.n, p, count, method)


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
    if count <= EXACT_CLUSTERS:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1) @ totals) >= observed - tolerance)), "sign-flip exact"
    draws = np.random.default_rng(seed).integers(0, 2, size=(FLIPS, count), dtype=np.int8)
    hits = int(np.sum(np.abs((2.0 * draws - 1) @ totals) >= observed - tolerance))
    return (hits + 1) / (FLIPS + 1), "sign-flip Monte Carlo"


def mcnemar_exact(b: int, c: int) -> float:
    """Exact two-sided McNemar p-value: min(1, 2 P(Bin(b + c, 1/2) <= min(b, c))); 1 when b + c = 0.

    `b`, `c`: items that only the first, only the second system passes (McNemar 1947; Agresti 2002, 10.1.1). It
    knows no clusters: use it where every item is its own. ValueError on negative or fractional counts.
    """
    if b < 0 or c < 0 or int(b) != b or int(c) != c:
        raise ValueError(f"McNemar needs two counts of items, got {b} and {c}.")
    return 1.0 if b + c == 0 else min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))


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
