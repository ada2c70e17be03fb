"""How many items and seeds does a difference need, and what difference can a benchmark see?"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import nctdtr

from harness.stats.intervals import t_quantile

MOST = 10_000_000


def paired_sd(sd_items: float, sd_noise_a: float, sd_noise_b: float, samples: int = 1) -> float:
    """sd of one item's paired difference: sqrt(omega^2 + (sigma_a^2 + sigma_b^2) / K) (Miller 2024, section 5).

    `sd_items` omega: sd of the items' true differences; `sd_noise_*` sigma: sd of a system's score on one item
    from sample to sample; K `samples` averaged for each item. Unit: score points.
    """
    if samples < 1:
        raise ValueError("samples must be at least 1.")
    return math.sqrt(sd_items**2 + (sd_noise_a**2 + sd_noise_b**2) / samples)


def difference_error(
    sd_diff: float, clusters: int, items_per_cluster: float = 1, icc: float = 0, seeds: int = 0, sd_seed: float = 0
) -> tuple[float, float]:
    """Standard error of a paired difference and its degrees of freedom.

    SE^2 = sd_diff^2 (1 + (m - 1) icc) / (C m) + 2 sd_seed^2 / S: C `clusters` of m items whose differences
    correlate by `icc` (Kish 1965), and S training `seeds` for each of two methods whose true scores vary by
    `sd_seed` between seeds. seeds=0 compares two fixed checkpoints. df by Satterthwaite from C - 1 and 2 (S - 1).
    ValueError on fewer than 2 clusters, a single seed, or values out of range.
    """
    if clusters < 2 or seeds == 1 or seeds < 0 or items_per_cluster < 1:
        raise ValueError("Need at least 2 clusters of at least 1 item, and either no seeds or at least 2.")
    if not (sd_diff > 0 and sd_seed >= 0 and 0 <= icc <= 1):
        raise ValueError("Need sd_diff > 0, sd_seed >= 0 and 0 <= icc <= 1.")
    items = sd_diff**2 * (1 + (items_per_cluster - 1) * icc) / (clusters * items_per_cluster)
    between = 2 * sd_seed**2 / seeds if seeds else 0.0
    df = (items + between) ** 2 / (items**2 / (clusters - 1) + (between**2 / (2 * (seeds - 1)) if between else 0.0))
    return math.sqrt(items + between), df


def power_of(delta: float, error: float, df: float, alpha: float = 0.05) -> float:
    """Power of the two-sided t test against a true difference `delta`, by the noncentral t (Cohen 1988)."""
    critical, shift = t_quantile(1 - alpha, df), delta / error
    wrong_side = float(nctdtr(df, shift, -critical))  # scipy gives NaN where this is below any rounding
    return float(1 - nctdtr(df, shift, critical)) + (0.0 if math.isnan(wrong_side) else wrong_side)


def minimum_detectable_difference(
    sd_diff: float,
    clusters: int,
    items_per_cluster: float = 1,
    icc: float = 0,
    seeds: int = 0,
    sd_seed: float = 0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest true difference (score points) found with probability `power`; arguments of `difference_error`.

    About (t_{1-alpha/2} + t_power) * SE. Divide `alpha` by the number of comparisons for Holm's worst case.
    ValueError as there, or unless 0 < alpha < power < 1.
    """
    return detectable(*difference_error(sd_diff, clusters, items_per_cluster, icc, seeds, sd_seed), alpha, power)


def detectable(error: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a t test with this standard error and df finds with probability `power`.

    ValueError unless 0 < alpha < power < 1.
    """
    if not 0 < alpha < power < 1:
        raise ValueError("Need 0 < alpha < power < 1.")
    furthest = t_quantile(1 - alpha, df) + t_quantile(2 * power - 1, df) if power > 0.5 else t_quantile(1 - alpha, df)
    return error * float(brentq(lambda shift: power_of(shift, 1.0, df, alpha) - power, 0.0, 2 * furthest))


def clusters_needed(
    delta: float,
    sd_diff: float,
    items_per_cluster: float = 1,
    icc: float = 0,
    seeds: int = 0,
    sd_seed: float = 0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """The fewest clusters that find a true difference `delta` with probability `power`.

    ValueError when no number does (too few seeds for so small a difference), or on values out of range.
    """

    def enough(clusters: int) -> bool:
        error, df = difference_error(sd_diff, clusters, items_per_cluster, icc, seeds, sd_seed)
        return power_of(delta, error, df, alpha) >= power

    return _fewest(delta, enough, "clusters: more training seeds are needed")


def seeds_needed(
    delta: float,
    sd_diff: float,
    clusters: int,
    sd_seed: float,
    items_per_cluster: float = 1,
    icc: float = 0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """The fewest training seeds for each method that find `delta` with the given items; ValueError when none do."""

    def enough(seeds: int) -> bool:
        error, df = difference_error(sd_diff, clusters, items_per_cluster, icc, seeds, sd_seed)
        return power_of(delta, error, df, alpha) >= power

    return _fewest(delta, enough, "seeds: more items are needed")


def _fewest(delta: float, enough: Callable[[int], bool], what: str) -> int:
    """The smallest count >= 2 that is enough, by doubling and bisection (power grows with the count)."""
    if not delta > 0:
        raise ValueError("delta must be above 0.")
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST:
            raise ValueError(f"A difference of {delta} cannot be found with any number of {what}.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
