"""How far raters agree beyond chance: Cohen's, quadratic-weighted and Fleiss' kappa, Krippendorff's alpha.

All four are 1 - observed / expected disagreement over a table of rating pairs; they differ in which pairs they
count and what they expect. A coefficient that is not defined says why, and is never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import Clusters, Floats, check_level, cluster_codes

Level = Literal["nominal", "ordinal", "interval"]
Ratings = Sequence[Sequence[Any]] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient over n rated items. `value` is None, with a `reason`, when it is not defined.

    `low` and `high` are limits from a bootstrap over items, None with a `reason` when not asked for or not found.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str = ""


def cohen_kappa(
    a: Sequence[Any],
    b: Sequence[Any],
    weights: Literal["none", "quadratic"] = "none",
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 0,
    seed: int = 0,
) -> Agreement:
    """Cohen's kappa of two raters (Cohen 1960), or with quadratic weights (x - y)^2 (Cohen 1968).

    `a`, `b`: labels of the same items, none missing; numbers for quadratic weights, which use the values as a
    scale. `resamples` > 0 adds a percentile interval from resampling items (or `clusters` of them).
    ValueError on empty or missing labels or unequal lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"Both raters must rate the same items, got {len(a)} and {len(b)} labels.")
    codes, names = _coded([list(pair) for pair in zip(a, b, strict=True)], ordered=weights == "quadratic")
    if (codes < 0).any():
        raise ValueError("Cohen's kappa needs both labels of every item; use krippendorff_alpha with missing ones.")
    k = len(names)
    tables = np.zeros((len(codes), k, k))
    tables[np.arange(len(codes)), codes[:, 0], codes[:, 1]] = 1
    distance = _distances(names, "interval" if weights == "quadratic" else "nominal")

    def statistic(table: Floats) -> Floats:
        expected = table.sum(2)[:, :, None] * table.sum(1)[:, None, :] / table.sum((1, 2))[:, None, None]
        return _coefficient(table, expected, distance)

    return _estimate(tables, statistic, clusters, level, resamples, seed)


def fleiss_kappa(
    ratings: Ratings, clusters: Clusters | None = None, level: float = 0.95, resamples: int = 0, seed: int = 0
) -> Agreement:
    """Fleiss' kappa (Fleiss 1971). `ratings`: items x raters, labels, none missing; interval as in `cohen_kappa`.

    ValueError on empty or missing labels, ragged rows, or fewer than two raters.
    """
    codes, names = _coded(ratings, ordered=False)
    if (codes < 0).any() or codes.shape[1] < 2:
        raise ValueError("Fleiss' kappa needs the same number (>= 2) of labels for every item.")
    tables = _pairs(codes, len(names))
    distance = _distances(names, "nominal")

    def statistic(table: Floats) -> Floats:
        margin = table.sum(2)
        expected = margin[:, :, None] * margin[:, None, :] / margin.sum(1)[:, None, None]
        return _coefficient(table, expected, distance)

    return _estimate(tables, statistic, clusters, level, resamples, seed)


def krippendorff_alpha(
    ratings: Ratings,
    measurement: Level = "nominal",
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 0,
    seed: int = 0,
) -> Agreement:
    """Krippendorff's alpha (Krippendorff 2011) for any number of raters and missing labels (None or NaN).

    `ratings`: items x raters; ordinal and interval labels are numbers. Items with fewer than two labels do not
    count; n is the number that do. Interval as in `cohen_kappa`. ValueError on empty input or ragged rows.
    """
    codes, names = _coded(ratings, ordered=measurement != "nominal")
    rated = (codes >= 0).sum(1) >= 2
    if not rated.any():
        return Agreement(None, 0, reason="no item has two labels")
    tables = _pairs(codes[rated], len(names))
    distance = _distances(names, measurement)

    def statistic(table: Floats) -> Floats:
        margin = table.sum(2)
        expected = margin[:, :, None] * margin[:, None, :] / (margin.sum(1)[:, None, None] - 1)
        return _coefficient(table, expected, _ordinal(margin) if measurement == "ordinal" else distance)

    if clusters is not None:
        cluster_codes(clusters, len(codes))
        clusters = [name for name, keep in zip(clusters, rated, strict=True) if keep]
    return _estimate(tables, statistic, clusters, level, resamples, seed)


def _coded(ratings: Ratings, ordered: bool) -> tuple[NDArray[np.intp], list[Any]]:
    """Labels (items x raters) as numbers of the sorted or first-seen categories, -1 where missing."""
    rows = [list(row) for row in ratings]
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError("Ratings must be a non-empty table with one column for each rater.")
    present = dict.fromkeys(label for row in rows for label in row if not _missing(label))
    if ordered and not all(isinstance(name, (int, float, np.number)) for name in present):
        raise ValueError("Ordered ratings must be numbers.")
    names = sorted(present) if ordered else list(present)
    number = {name: position for position, name in enumerate(names)}
    codes = [[-1 if _missing(label) else number[label] for label in row] for row in rows]
    return np.asarray(codes, dtype=np.intp), names


def _missing(label: Any) -> bool:
    return label is None or (isinstance(label, (float, np.floating)) and math.isnan(label))


def _pairs(codes: NDArray[np.intp], k: int) -> Floats:
    """Items x k x k: each item's ordered pairs of labels by different raters, over (its labels - 1)."""
    counts = (codes[:, :, None] == np.arange(k)).sum(1).astype(np.float64)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    scaled: Floats = pairs / (counts.sum(1) - 1)[:, None, None]
    return scaled


def _distances(names: list[Any], measurement: Level) -> Floats:
    """k x k squared distance between categories: 0/1 if nominal, else of their values."""
    if measurement == "nominal":
        return 1 - np.eye(len(names))
    if measurement not in ("ordinal", "interval"):
        raise ValueError(f"measurement must be nominal, ordinal or interval, got {measurement!r}.")
    values = np.asarray(names, dtype=np.float64)
    return np.subtract.outer(values, values) ** 2


def _ordinal(margin: Floats) -> Floats:
    """Krippendorff's ordinal distance for a stack of category totals: (sum of n_c..n_k - (n_c + n_k)/2)^2."""
    middle = margin.cumsum(1) - margin / 2
    distance: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
    return distance


def _coefficient(observed: Floats, expected: Floats, distance: Floats) -> Floats:
    """1 - observed / expected disagreement for a stack of tables; NaN where no disagreement can be expected."""
    found, chance = (observed * distance).sum((1, 2)), (expected * distance).sum((1, 2))
    possible = chance > 1e-12
    result: Floats = np.where(possible, 1 - found / np.where(possible, chance, 1.0), np.nan)
    return result


def _estimate(
    tables: Floats,
    statistic: Callable[[Floats], Floats],
    clusters: Clusters | None,
    level: float,
    resamples: int,
    seed: int,
) -> Agreement:
    """The coefficient of the summed item tables, with percentile limits when `resamples` > 0.

    Resamples without a coefficient (one category drawn) are left out; above 5 % of them there is no interval.
    """
    check_level(level)
    n = len(tables)
    value = float(statistic(tables.sum(0, keepdims=True))[0])
    if math.isnan(value):
        return Agreement(None, n, reason="all labels are of one category, so no disagreement could be expected")
    if resamples <= 0:
        return Agreement(value, n)
    codes, count = cluster_codes(range(n) if clusters is None else clusters, n)
    grouped = np.zeros((count, *tables.shape[1:]))
    np.add.at(grouped, codes, tables)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = weights.astype(np.float64) @ grouped.reshape(count, -1)
    draws = statistic(sums.reshape(resamples, *tables.shape[1:]))
    defined = draws[~np.isnan(draws)]
    if len(defined) < 0.95 * resamples:
        return Agreement(value, n, reason="too few items of a second category for an interval")
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return Agreement(value, n, float(low), float(high))
