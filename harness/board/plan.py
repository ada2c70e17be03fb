"""What a comparison takes: how many problems and seeds a difference needs, and what a benchmark of a size can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.board.compare import Contestant, per_row, values
from harness.board.metric import Frame
from harness.errors import UsageError
from harness.stats.power import (
    MOST,
    clusters_needed,
    difference_error,
    minimum_detectable_difference,
    paired_sd,
    power_of,
)
from harness.types import Task


@dataclass(frozen=True, slots=True)
class Spread:
    """How paired differences of two systems vary. Unit: score points of the metric (0 to 1 for a rate).

    `sd`: of one item's difference; `icc`: how alike the differences of one cluster are; `items_per_cluster`: on
    average. With several samples an item, `sd_items` and `noise` split the variance: sd^2 = sd_items^2 + noise^2 / K,
    noise^2 the two systems' sampling variances together; both are None where that cannot be seen (K = 1).
    """

    sd: float = 0.5
    icc: float = 0.0
    items_per_cluster: float = 1.0
    samples: int = 1
    sd_items: float | None = None
    noise: float | None = None

    def with_samples(self, samples: int) -> Spread:
        """The spread with another number of samples an item. UsageError if the variance was not split."""
        if samples == self.samples:
            return self
        if self.sd_items is None or self.noise is None:
            raise UsageError("--samples needs --from runs with several samples an item: one sample cannot tell noise.")
        sd = paired_sd(self.sd_items, self.noise, 0.0, samples)
        icc = self.icc * (self.sd / sd) ** 2  # what clusters share is no sampling noise: its part of the variance stays
        return Spread(sd, min(1.0, icc), self.items_per_cluster, samples, self.sd_items, self.noise)


@dataclass(frozen=True, slots=True)
class Need:
    """`clusters` of `items` in all, for `seeds` training seeds a method (0: two fixed checkpoints), find a true
    `difference` with probability `power`. `clusters` is None if no number of them does: then more seeds are needed."""

    seeds: int
    clusters: int | None
    items: int | None
    difference: float
    power: float


def observed(task: Task, a: Contestant, b: Contestant, metric: str) -> Spread:
    """The spread of the paired differences of two runs.

    `icc` is the analysis of variance's, not below 0 (Donner 1986), and `sd` goes with it, so that `difference_error`
    gives the cluster-robust error back where clusters are of one size. UsageError for fewer than two common clusters,
    or runs that do not differ.
    """
    frame = Frame.of(task)
    pair = values(task, frame, (a, b), metric)
    gaps = pair[0] - pair[1]
    common = np.isfinite(gaps)
    gaps, clusters = gaps[common], frame.clusters[common]
    codes = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64) if len(codes) else np.zeros(0)
    n, count = len(gaps), len(sizes)
    if count < 2 or not np.ptp(gaps):
        raise UsageError(f"{a.name} and {b.name} show no spread of {metric}: give --sd instead.")
    means = np.bincount(codes, weights=gaps) / sizes
    between = float(sizes @ (means - gaps.mean()) ** 2) / (count - 1)
    within = float(np.sum((gaps - means[codes]) ** 2)) / (n - count) if n > count else 0.0
    size = (n - float(sizes @ sizes) / n) / (count - 1)
    icc = max(0.0, (between - within) / (between + (size - 1) * within)) if n > count else 0.0
    sd = float(np.sqrt((between + (size - 1) * within) / size)) if icc > 0 else float(gaps.std(ddof=1))
    samples, noise = _noise(task, frame, (a, b), metric)
    if noise is None:
        return Spread(sd, icc, n / count)
    return Spread(sd, icc, n / count, samples, float(np.sqrt(max(0.0, sd**2 - noise**2 / samples))), noise)


def _noise(task: Task, frame: Frame, pair: Sequence[Contestant], metric: str) -> tuple[int, float | None]:
    """Samples an item, and the sd from sample to sample of the difference; None with one sample."""
    samples = {int(one.run.manifest["decoding"]["samples"]) for one in pair}
    if len(samples) > 1 or samples == {1}:
        return 1, None
    total = 0.0
    for one in pair:
        scores, rows = per_row(task, one, metric), frame.rows(one.table)
        if scores is None:
            return 1, None
        mean, square = (frame.per_item(rows, each) for each in (scores, scores**2))
        count = np.bincount(rows[~np.isnan(scores)], minlength=len(mean))
        several = count > 1
        spread = (square[several] - mean[several] ** 2) * count[several] / (count[several] - 1)
        total += max(0.0, float(spread.mean())) if several.any() else 0.0
    return samples.pop(), float(np.sqrt(total))


def needs(
    spread: Spread,
    difference: float | None,
    clusters: int | None,
    seeds: Sequence[int] = (0,),
    sd_seed: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> list[Need]:
    """For each number of seeds: the clusters that a difference needs, the difference that clusters can see, or, with
    both given, the power. `alpha` is that of one comparison. UsageError on values out of range or with neither given.
    """
    if difference is None and clusters is None:
        raise UsageError(
            "give --difference (how many problems does it need?), --clusters (what can they see?) or both."
        )
    try:
        return [_need(spread, difference, clusters, count, sd_seed if count else 0.0, power, alpha) for count in seeds]
    except ValueError as error:
        raise UsageError(f"{error}") from error


def _need(
    spread: Spread,
    difference: float | None,
    clusters: int | None,
    seeds: int,
    sd_seed: float,
    power: float,
    alpha: float,
) -> Need:
    size, icc = spread.items_per_cluster, spread.icc
    if clusters is None:
        assert difference is not None
        clusters = _enough(spread, difference, seeds, sd_seed, power, alpha)
    elif difference is None:
        difference = minimum_detectable_difference(spread.sd, clusters, size, icc, seeds, sd_seed, alpha, power)
    else:
        power = power_of(difference, *difference_error(spread.sd, clusters, size, icc, seeds, sd_seed), alpha)
    return Need(seeds, clusters, None if clusters is None else round(clusters * size), difference, power)


def _enough(spread: Spread, difference: float, seeds: int, sd_seed: float, power: float, alpha: float) -> int | None:
    """Clusters needed; None where the spread of seeds alone hides the difference."""
    floor = difference_error(spread.sd, MOST, spread.items_per_cluster, spread.icc, seeds, sd_seed)
    if difference > 0 and power_of(difference, *floor, alpha) < power:
        return None
    return clusters_needed(difference, spread.sd, spread.items_per_cluster, spread.icc, seeds, sd_seed, alpha, power)
