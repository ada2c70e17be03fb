"""Intervals that carry training-seed variance: a method is judged by several seeds on the same items.

A plain percentile bootstrap over 3 seeds covers as little as 77 % when seeds matter, and a t interval with
S - 1 df covers 99.9 % when they do not. Here the hierarchical bootstrap gives the interval its shape, and the
variances of the two levels, each with its own t quantile, give it its width.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.intervals import Clusters, Floats, Interval, cluster_codes, clustered_rate, t_quantile


def hierarchical_bootstrap(
    values: ArrayLike, clusters: Clusters, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Mean score of a method over S training seeds and n items, for new seeds *and* new items.

    `values`: S x n, a row a seed, every seed on the same items; `clusters`: one name an item. Each resample draws
    S seeds, then C clusters common to them (crossed "pigeonhole" bootstrap, Owen 2007), seed deviations scaled by
    sqrt(S/(S-1)) (Davison & Hinkley 1997, 3.8). The percentile limits are then stretched to the half-width
    `_half_width`. Interval.n is n. For rates use `seeded_rate`.
    ValueError on NaN, wrong shapes, fewer than 2 seeds or 2 clusters.
    """
    sums, sizes = _cluster_sums(values, clusters)
    half = _half_width([sums], sizes, level)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    return _stretched(_mean(sums, sizes), _draws(sums, sizes, weights, rng), half, level, int(sizes.sum()))


def hierarchical_bootstrap_difference(
    a: ArrayLike, b: ArrayLike, clusters: Clusters, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Mean difference a - b of two methods with independent seeds (S_a x n and S_b x n) on the same n items.

    As `hierarchical_bootstrap`; each resample draws the seeds of either method apart and the clusters once for
    both, so what items have in common cancels. ValueError as there, or when the numbers of items differ.
    """
    first, sizes = _cluster_sums(a, clusters)
    second, _ = _cluster_sums(b, clusters)
    half = _half_width([first, second], sizes, level)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    draws = _draws(first, sizes, weights, rng) - _draws(second, sizes, weights, rng)
    return _stretched(_mean(first, sizes) - _mean(second, sizes), draws, half, level, int(sizes.sum()))


def seeded_rate(values: ArrayLike, clusters: Clusters, level: float = 0.95) -> Interval:
    """Rate of a method over S training seeds and n items, for new seeds and new items, within [0, 1].

    `values`: S x n numbers in [0, 1] as in `hierarchical_bootstrap`; the same half-width, taken on the logit scale
    by the delta method (Agresti 2002, 14.1), which mends the skew that a ceiling gives a few seeds. When all
    values are 0, or all 1, no seed variance can be seen: `clustered_rate` of the items' means.
    ValueError as there, or on values outside [0, 1].
    """
    sums, sizes = _cluster_sums(values, clusters)
    table = np.asarray(values, dtype=np.float64)
    if table.min() < 0 or table.max() > 1:
        raise ValueError("A rate needs values between 0 and 1.")
    rate = _mean(sums, sizes)
    if table.max() == 0 or table.min() == 1:
        return clustered_rate(table.mean(axis=0), clusters, level)
    half = _half_width([sums], sizes, level) / (rate * (1 - rate))
    odds = rate / (1 - rate)
    low, high = (odds / (odds + math.exp(min(700.0, shift))) for shift in (half, -half))
    return Interval(rate, low, high, table.shape[1])


def _half_width(methods: list[Floats], sizes: Floats, level: float) -> float:
    """sqrt(t_{C-1}^2 V_cluster + t_df^2 V_seed): Banerjee 1961's interval for a sum of two variances.

    V_cluster is the cluster-robust variance of the (difference of the) means over seeds; V_seed the sum over
    methods of the variance of seed means over S, with S - 1 df, or Welch 1947's for two methods. Coverage is at
    least nominal for independent normal variance estimates, where Satterthwaite's df over both levels are too
    optimistic with three seeds. Noise of seed and item together counts in both parts: this errs to the wide side.
    """
    count, n = len(sizes), float(sizes.sum())
    residual, parts = np.zeros(count), []
    for sign, sums in zip((1.0, -1.0), methods, strict=False):
        seed_means = sums.sum(axis=1) / n
        parts.append((float(seed_means.var(ddof=1)) / len(sums), len(sums) - 1))
        residual += sign * (sums.mean(axis=0) - sizes * seed_means.mean())
    squares = t_quantile(level, count - 1) ** 2 * count / (count - 1) * float(residual @ residual) / n**2
    between = sum(variance for variance, _ in parts)
    if between > 0:
        df = between**2 / sum(variance**2 / freedom for variance, freedom in parts)
        squares += t_quantile(level, df) ** 2 * between
    return math.sqrt(squares)


def _draws(sums: Floats, sizes: Floats, weights: np.ndarray, rng: np.random.Generator) -> Floats:
    """Resampled means: `weights` (resamples x C) says how often each cluster is drawn; seeds are drawn here."""
    seeds = len(sums)
    means = sums.sum(axis=1, keepdims=True) / sizes.sum()
    scaled = sums + sizes * (means - means.mean()) * (np.sqrt(seeds / (seeds - 1)) - 1)
    chosen = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(weights)) / seeds
    drawn: Floats = np.einsum("bs,bs->b", chosen, weights @ scaled.T) / (weights @ sizes)
    return drawn


def _stretched(value: float, draws: Floats, half: float, level: float, n: int) -> Interval:
    """The percentile limits of `draws`, stretched about `value` so that z standard deviations become `half`."""
    spread = NormalDist().inv_cdf(0.5 + level / 2) * float(draws.std())
    if spread == 0:
        return Interval(value, value - half, value + half, n)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2]) - value
    return Interval(value, value + float(low) * half / spread, value + float(high) * half / spread, n)


def _mean(sums: Floats, sizes: Floats) -> float:
    return float(sums.sum() / (len(sums) * sizes.sum()))


def _cluster_sums(values: ArrayLike, clusters: Clusters) -> tuple[Floats, Floats]:
    """Checked input as (S x C sums over the items of each cluster, C cluster sizes)."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError("values must be a table of training seeds x items.")
    if not np.isfinite(table).all():
        raise ValueError("values must not contain NaN or infinity: every seed is scored on the same items.")
    codes, count = cluster_codes(clusters, table.shape[1])
    if len(table) < 2 or count < 2:
        raise ValueError(f"Seed variance needs at least 2 seeds and 2 clusters, got {len(table)} and {count}.")
    sums: Floats = np.stack([np.bincount(codes, weights=row, minlength=count) for row in table])
    sizes: Floats = np.bincount(codes, minlength=count).astype(np.float64)
    return sums, sizes
