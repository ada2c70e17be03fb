"""Confidence intervals for means and rates of items that come in clusters.

scipy is imported where a t quantile is needed, so that importing this module costs numpy only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Clusters = Sequence[Hashable] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, its confidence limits (same unit), and how many observations it rests on."""

    value: float
    low: float
    high: float
    n: int


def finite_vector(values: ArrayLike, name: str = "values") -> Floats:
    """`values` as a non-empty 1-D float array; ValueError when empty, not 1-D, or with NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty list of numbers.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not contain NaN or infinity.")
    return array


def cluster_codes(clusters: Clusters, n: int) -> tuple[NDArray[np.intp], int]:
    """Number the clusters 0..C-1: (code of each of the n items, C). ValueError when the length is not n."""
    if len(clusters) != n:
        raise ValueError(f"clusters must name one cluster for each of the {n} values, got {len(clusters)}.")
    if isinstance(clusters, np.ndarray) and clusters.dtype.kind in "iu":
        return _renumbered(clusters)
    numbers: dict[Hashable, int] = {}
    listed = [numbers.setdefault(name, len(numbers)) for name in clusters]
    return np.asarray(listed, dtype=np.intp), len(numbers)


def _renumbered(clusters: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """Whole numbers as 0..C-1 in their order; by counting, which needs no sorting, unless they are spread wide."""
    if len(clusters) and clusters.min() >= 0 and clusters.max() < 4 * len(clusters):
        present = np.bincount(clusters) > 0
        return (np.cumsum(present) - 1)[clusters], int(present.sum())
    names, codes = np.unique(clusters, return_inverse=True)
    return codes.reshape(-1), len(names)


def check_level(level: float) -> None:
    """ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}.")


def t_quantile(level: float, df: float) -> float:
    """The two-sided Student t critical value: P(|T_df| <= t) = level."""
    from scipy.special import stdtrit

    check_level(level)
    return float(stdtrit(df, 0.5 + level / 2))


def clustered_error(values: Floats, codes: NDArray[np.intp], count: int) -> float:
    """Cluster-robust standard error of the mean: sqrt(C/(C-1) * sum_c (sum_{i in c} (s_i - mean))^2) / n.

    Miller 2024 (arXiv 2411.00640, appendix A) with the small-sample factor C/(C-1). ValueError when C < 2.
    """
    if count < 2:
        raise ValueError("A standard error needs at least two clusters.")
    return float(_errors(*_single(values, codes, count))[0])


def _single(values: Floats, codes: NDArray[np.intp], count: int) -> tuple[Floats, Floats]:
    """Cluster sums and sizes of one row of values, 1 x C each."""
    sums: Floats = np.bincount(codes, weights=values, minlength=count).astype(np.float64)
    sizes: Floats = np.bincount(codes, minlength=count).astype(np.float64)
    return sums[None], sizes[None]


def _errors(sums: Floats, sizes: Floats) -> Floats:
    """The clustered error of every row, from its cluster sums and sizes (m x C; a size of 0: no such cluster)."""
    n, count = sizes.sum(axis=1), (sizes > 0).sum(axis=1)
    off = sums - sizes * (sums.sum(axis=1) / n)[:, None]
    errors: Floats = np.sqrt(count / (count - 1) * np.einsum("mc,mc->m", off, off)) / n
    return errors


def clustered_mean(values: ArrayLike, clusters: Clusters, level: float = 0.95) -> Interval:
    """Mean of n values with its cluster-robust interval: mean +- t_{C-1} * `clustered_error`.

    With one item a cluster this is the usual t interval. ValueError on empty, NaN, unequal lengths or C < 2.
    """
    array = finite_vector(values)
    codes, count = cluster_codes(clusters, len(array))
    error = clustered_error(array, codes, count)
    mean, half = float(array.mean()), t_quantile(level, count - 1) * error
    return Interval(mean, mean - half, mean + half, len(array))


def clustered_table(values: Floats, clusters: Clusters, rates: bool, level: float = 0.95) -> list[Interval | None]:
    """`clustered_mean`, or with `rates` `clustered_rate`, of every row of m x n values at once; NaN: no value.

    None for a row without a value; limits are NaN where a row's values are of one cluster. ValueError as there.
    """
    from scipy.special import stdtrit

    check_level(level)
    codes, _ = cluster_codes(clusters, values.shape[1])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    known = ~np.isnan(values[:, order])
    sums = np.add.reduceat(np.where(known, values[:, order], 0.0), starts, axis=1)
    sizes = np.add.reduceat(known, starts, axis=1, dtype=np.float64)
    n, count = sizes.sum(axis=1), (sizes > 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = sums.sum(axis=1) / n
        t = np.where(count > 1, stdtrit(np.maximum(count - 1, 1), 0.5 + level / 2), np.nan)
        if rates:
            z = NormalDist().inv_cdf(0.5 + level / 2)
            alone = count == n
            effective = np.where(alone, n, n / _design_effects(sums, sizes))
            low, high = _wilson_limits(np.minimum(1.0, centre), effective, np.where(alone & (n > 1), z, t))
        else:
            half = t * _errors(sums, sizes)
            low, high = centre - half, centre + half
    rows = zip(*(each.tolist() for each in (centre, low, high, n)), strict=True)
    return [Interval(value, least, most, int(size)) if size else None for value, least, most, size in rows]


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a rate (Wilson 1927; Brown, Cai & DasGupta 2001). ValueError when n < 1."""
    check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson needs n >= 1 and 0 <= successes <= n, got {successes} of {n}.")
    rate = successes / n
    low, high = _wilson_limits(np.array(rate), np.array(n), np.array(NormalDist().inv_cdf(0.5 + level / 2)))
    return Interval(rate, float(low), float(high), n)


def clustered_rate(values: ArrayLike, clusters: Clusters, level: float = 0.95) -> Interval:
    """Rate of n values in [0, 1] with a Wilson interval at the effective sample size n / design effect, t_{C-1}.

    Korn & Graubard 1998 (effective size and t), with a design effect that stays usable at rates of 0 and 1; see
    `_design_effects`. It lies in [0, 1], holds the rate, and equals `wilson` when every item is its own cluster.
    One cluster of several items says nothing of its spread: its interval is [0, 1].
    ValueError on empty, NaN, unequal lengths, or values outside [0, 1].
    """
    array = finite_vector(values)
    if array.min() < 0 or array.max() > 1:
        raise ValueError("A rate needs values between 0 and 1.")
    codes, count = cluster_codes(clusters, len(array))
    n, rate = len(array), min(1.0, float(array.mean()))
    if count == n:
        return wilson(rate * n, n, level)
    if count == 1:
        return Interval(rate, 0.0, 1.0, n)
    effective = n / _design_effects(*_single(array, codes, count))[0]
    low, high = _wilson_limits(np.array(rate), effective, np.array(t_quantile(level, count - 1)))
    return Interval(rate, float(low), float(high), n)


def _design_effects(sums: Floats, sizes: Floats, weight: float = 0.5) -> Floats:
    """Cluster-robust variance of each rate over its binomial variance, at least 1; from cluster sums and sizes (m x C).

    A plain estimate is 0/0 at rates of 0 and 1 and far too small near them, where a few failures cannot show
    that failures come together. So two pseudo-clusters, one all 0 and one all 1, of Kish's mean size
    (sum m^2 / n) and `weight` one half each, are added: at a rate of 1 all items of a cluster then count as one.
    """
    n, count = sizes.sum(axis=1), (sizes > 0).sum(axis=1)
    size = np.einsum("mc,mc->m", sizes, sizes) / n
    total = n + 2 * weight * size
    rate = (sums.sum(axis=1) + weight * size) / total
    deviations = sums - sizes * rate[:, None]
    squares = np.einsum("mc,mc->m", deviations, deviations) + weight * size**2 * (rate**2 + (1 - rate) ** 2)
    clusters = count + 2 * weight
    effects: Floats = np.maximum(1.0, clusters / (clusters - 1) * squares / (total * rate * (1 - rate)))
    return effects


def _wilson_limits(rate: Floats, n: Floats, z: Floats) -> tuple[Floats, Floats]:
    """The two roots of |rate - p| = z * sqrt(p (1 - p) / n), exact at rates of 0 and 1."""
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = np.where(rate == 0, 0.0 * half, np.maximum(0.0, centre - half))
    high = np.where(rate == 1, 1 + 0.0 * half, np.minimum(1.0, centre + half))
    return low, high
