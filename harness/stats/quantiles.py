"""Quantiles with intervals that assume no distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from harness.stats.intervals import Floats, Interval, check_level


def quantile(values: Sequence[float] | Floats, q: float, level: float = 0.95) -> Interval:
    """The q-quantile (nearest rank) with the order-statistic interval of Conover 1999, section 3.2 (normal
    approximation of the binomial ranks). Where the sample is too small for a limit, it is the sample's extreme.

    ValueError when `values` is empty or q is not between 0 and 1.
    """
    check_level(level)
    if not len(values) or not 0 < q < 1:
        raise ValueError(f"quantile needs values and 0 < q < 1, got {len(values)} values and q = {q}.")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    spread = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(n * q * (1 - q))
    low = max(1, math.floor(n * q - spread))
    high = min(n, math.ceil(n * q + spread) + 1)
    value, least, most = (float(ordered[rank - 1]) for rank in (min(n, math.ceil(n * q)), low, high))
    return Interval(value, least, most, n)
