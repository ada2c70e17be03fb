"""Confidence intervals for means and rates of items that come in clusters.

scipy is imported where a t quantile is needed, so that importing this module costs numpy only.
"""

from __future__ import annotations

import math
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
    sums = np.bincount(codes, weights=values - values.mean(), minlength=count)
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / len(values)


def clustered_mean(values: ArrayLike, clusters: Clusters, level: float = 0.95) -> Interval:
    """Mean of n values with its cluster-robust interval: mean +- t_{C-1} * `clustered_error`.

    With one item a cluster this is the usual t interval. ValueError on empty, NaN, unequal lengths or C < 2.
    """
    array = finite_vector(values)
    codes, count = cluster_codes(clusters, len(array))
    error = clustered_error(array, codes, count)
    mean, half = float(array.mean()), t_quantile(level, count - 1) * error
    return Interval(mean, mean - half, mean + half, len(array))


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a rate (Wilson 1927; Brown, Cai & DasGupta 2001). ValueError when n < 1."""
    check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson needs n >= 1 and 0 <= successes <= n, got {successes} of {n}.")
    rate = successes / n
    low, high = _wilson_limits(rate, n, NormalDist().inv_cdf(0.5 + level / 2))
    return Interval(rate, low, high, n)


def clustered_rate(values: ArrayLike, clusters: Clusters, level: float = 0.95) -> Interval:
    """Rate of n values in [0, 1] with a Wilson interval at the effective sample size n / design effect, t_{C-1}.

    Korn & Graubard 1998 (effective size and t), with a design effect that stays usable at rates of 0 and 1; see
    `_design_effect`. It lies in [0, 1], holds the rate, and equals `wilson` when every item is its own cluster.
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
    low, high = _wilson_limits(rate, n / _design_effect(array, codes, count), t_quantile(level, count - 1))
    return Interval(rate, low, high, n)


def _design_effect(values: Floats, codes: NDArray[np.intp], count: int, weight: float = 0.5) -> float:
    """Cluster-robust variance of a rate over its binomial variance, at least 1.

    A plain estimate is 0/0 at rates of 0 and 1 and far too small near them, where a few failures cannot show
    that failures come together. So two pseudo-clusters, one all 0 and one all 1, of Kish's mean size
    (sum m^2 / n) and `weight` one half each, are added: at a rate of 1 all items of a cluster then count as one.
    """
    n = len(values)
    sizes = np.bincount(codes, minlength=count)
    sums = np.bincount(codes, weights=values, minlength=count)
    size = float(sizes @ sizes) / n
    total = n + 2 * weight * size
    rate = (float(sums.sum()) + weight * size) / total
    deviations = sums - sizes * rate
    squares = float(deviations @ deviations) + weight * size**2 * (rate**2 + (1 - rate) ** 2)
    clusters = count + 2 * weight
    return max(1.0, clusters / (clusters - 1) * squares / (total * rate * (1 - rate)))


def _wilson_limits(rate: float, n: float, z: float) -> tuple[float, float]:
    """The two roots of |rate - p| = z * sqrt(p (1 - p) / n), exact at rates of 0 and 1."""
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high
