"""Judge scores corrected by human labels: prediction-powered means (PPI++) and Rogan-Gladen rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.intervals import Clusters, Interval, check_level, cluster_codes, finite_vector, t_quantile


@dataclass(frozen=True, slots=True)
class PredictionPowered:
    """A corrected mean with its interval, how many items have a label, and the weight given to the judge."""

    value: float
    low: float
    high: float
    n: int
    labelled: int
    weight: float


def prediction_powered_mean(
    labels: ArrayLike,
    judged: ArrayLike,
    judged_only: ArrayLike,
    clusters: Clusters | None = None,
    clusters_only: Clusters | None = None,
    weight: float | None = None,
    level: float = 0.95,
) -> PredictionPowered:
    """PPI++ mean: w mean(judged_only) + mean(labels - w judged) (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453).

    `labels`, `judged`: human and judge scores of the n labelled items, drawn at random; `judged_only`: judge
    scores of the N items without a label. For two systems pass paired differences. The `weight` w in [0, 1] that
    minimises the estimated variance is used unless given; 0 is human labels only, 1 is plain PPI.
    Variance: cluster-robust over the per-cluster influence, so a cluster may hold items of both kinds, with the
    factor L / (L - 1) and t_{L-1} of the L labelled clusters (L - 2 for a tuned weight, as for a regression slope).
    Without clusters every item is its own. ValueError on empty, NaN, unequal lengths, only one of the two cluster
    lists, or fewer than 2 labelled clusters (3 for a tuned weight).
    """
    y, f, rest = finite_vector(labels, "labels"), finite_vector(judged, "judged"), finite_vector(judged_only)
    if len(y) != len(f) or (clusters is None) != (clusters_only is None):
        raise ValueError("labels and judged must be of the same items, and clusters given for both sets or neither.")
    if weight is not None and not 0 <= weight <= 1:
        raise ValueError(f"weight must lie between 0 and 1, got {weight}.")
    total = len(y) + len(rest)
    names = np.arange(total) if clusters is None or clusters_only is None else [*clusters, *clusters_only]
    codes, count = cluster_codes(names, total)
    labelled = len(np.unique(codes[: len(y)]))
    df = labelled - (2 if weight is None else 1)
    if df < 1:
        raise ValueError(f"A corrected mean needs more than {labelled} labelled clusters.")
    human = np.bincount(codes[: len(y)], weights=(y - y.mean()) / len(y), minlength=count)
    gap = np.concatenate([-(f - f.mean()) / len(f), (rest - rest.mean()) / len(rest)])
    judge = np.bincount(codes, weights=gap, minlength=count)
    if weight is None:
        spread = float(judge @ judge)
        weight = min(1.0, max(0.0, -float(human @ judge) / spread)) if spread > 0 else 0.0
    influence = human + weight * judge
    error = math.sqrt(labelled / df * float(influence @ influence))
    value = weight * float(rest.mean()) + float((y - weight * f).mean())
    half = t_quantile(level, df) * error
    return PredictionPowered(value, value - half, value + half, total, len(y), weight)


def rogan_gladen(
    judged_pass: int,
    n: int,
    true_pass: int,
    passes: int,
    true_fail: int,
    fails: int,
    level: float = 0.95,
    design_effect: float = 1.0,
) -> Interval:
    """True pass rate behind an imperfect judge: (p + q0 - 1) / (q0 + q1 - 1) (Rogan & Gladen 1978), in [0, 1].

    The judge passes `judged_pass` of n test items (p); of human-labelled items it passes `true_pass` of the
    `passes` (sensitivity q1) and fails `true_fail` of the `fails` (specificity q0). Interval of Lee et al. 2025
    (arXiv 2511.21140; after Lang & Reiczigel 2014), from the variance of test and calibration set.
    `design_effect` >= 1 is the test rate's clustered variance over its binomial one (it divides n).
    ValueError on impossible counts, or a judge no better than chance (q0 + q1 <= 1).
    """
    check_level(level)
    if not (0 <= judged_pass <= n and 0 <= true_pass <= passes and 0 <= true_fail <= fails and design_effect >= 1):
        raise ValueError("Each count must lie between 0 and its total, and design_effect be at least 1.")
    if min(n, passes, fails) < 1:
        raise ValueError("Needs test items and human-labelled items of both kinds.")
    p, q1, q0 = judged_pass / n, true_pass / passes, true_fail / fails
    z = NormalDist().inv_cdf(0.5 + level / 2)
    effective = n / design_effect
    p_adjusted = (effective * p + z * z / 2) / (effective + z * z)
    q1_adjusted, q0_adjusted = (true_pass + 1) / (passes + 2), (true_fail + 1) / (fails + 2)
    better = q0_adjusted + q1_adjusted - 1
    if q0 + q1 <= 1 or better <= 0:
        raise ValueError("The judge is no better than chance (sensitivity + specificity <= 1): nothing to correct.")
    rate = (p_adjusted + q0_adjusted - 1) / better
    q1_variance = q1_adjusted * (1 - q1_adjusted) / (passes + 2)
    q0_variance = q0_adjusted * (1 - q0_adjusted) / (fails + 2)
    centre = rate + 2 * z * z * (rate * q1_variance - (1 - rate) * q0_variance)
    p_variance = p_adjusted * (1 - p_adjusted) / (effective + z * z)
    error = math.sqrt(p_variance + (1 - rate) ** 2 * q0_variance + rate**2 * q1_variance) / better
    limits = ((p + q0 - 1) / (q0 + q1 - 1), centre - z * error, centre + z * error)
    value, low, high = (min(1.0, max(0.0, limit)) for limit in limits)
    return Interval(value, min(low, value), max(high, value), n)
