"""What is going wrong in a training, read from its events as they are written.

An alarm is an event itself: {"phase": "alarm", "alarm": name, "message": what and what to do}. It rises once when its
condition begins to hold and again only after the condition has ceased. It depends on the events before it alone, so that
a resumed training raises the alarms it would have raised. The training goes on, except after a number that is none.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ALARM = "alarm"
UPDATES, SHARE, NORM = 50, 0.2, 1.0
"""Gradient norm above NORM (before clipping) in more than SHARE of the last UPDATES updates."""
REFERENCE_KL = 10.0
"""nats per sequence. Where a reward model was hacked the KL passed 10; good runs stayed below 3 (docs/model_training.md)."""
ENDED, RECENT = 0.5, 5
"""Share of answers that come to an end, mean of the last RECENT updates."""
DISTINCT = 0.5
"""Share of different n-grams, as a part of the first update's: the same words again and again, or one answer to all."""
CHOSEN_DRIFT = -20.0
"""nats by which the chosen answers' log-probability has changed, mean of the last RECENT updates: DPO also wins pairs by
making both answers unlikely."""


class Alarms:
    """Reads the events of one training in order."""

    def __init__(self, past: Iterable[Mapping[str, Any]] = ()) -> None:
        self._norms: deque[float] = deque(maxlen=UPDATES)
        self._ended: deque[float] = deque(maxlen=RECENT)
        self._drift: deque[float] = deque(maxlen=RECENT)
        self._distinct: float | None = None
        self._standing: set[str] = set()
        for row in past:
            self.see(row)

    def see(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The alarms that this event raises, as {"alarm", "message"}; mostly none."""
        if row.get("phase") == ALARM:
            return []
        risen = []
        for name, holds, message in self._conditions(row):
            if holds and name not in self._standing:
                risen.append({"alarm": name, "message": message})
            (self._standing.add if holds else self._standing.discard)(name)
        return risen

    def _conditions(self, row: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
        """(name, whether it holds now, message) of each alarm that this event says something about."""
        broken = [key for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        yield "not_a_number", bool(broken), f"{', '.join(broken)} is no finite number; lower the learning rate."
        norm = row.get("clipped_gradients", float(row["grad_norm"] > NORM) if "grad_norm" in row else None)
        if norm is not None:
            self._norms.append(norm)
            share = sum(self._norms) / len(self._norms)
            full = len(self._norms) == UPDATES
            yield (
                "grad_norm",
                full and share > SHARE,
                (
                    f"the gradient norm was above {NORM:g} in {share:.0%} of the last {UPDATES} updates; lower the learning "
                    "rate or use larger batches."
                ),
            )
        if (kl := _reference_kl(row)) is not None:
            yield (
                "reference_kl",
                kl > REFERENCE_KL,
                (
                    f"the KL to the reference is {kl:.1f} nats per sequence; what the reward says of such text is not to be "
                    "trusted. Raise beta or lower the learning rate."
                ),
            )
        if "ended" in row:
            mean = _mean(self._ended, row["ended"])
            yield (
                "ended",
                mean < ENDED,
                (
                    f"only {mean:.0%} of the answers come to an end; allow more new tokens, or check that the training data "
                    "ends with the end of the turn."
                ),
            )
        if "distinct" in row:
            self._distinct = self._distinct or row["distinct"]
            yield (
                "repetition",
                row["distinct"] < DISTINCT * self._distinct,
                (
                    f"the share of different n-grams fell from {self._distinct:.2f} to {row['distinct']:.2f}: the answers "
                    "repeat themselves or each other."
                ),
            )
        if "chosen_drift" in row:
            mean = _mean(self._drift, row["chosen_drift"])
            yield (
                "chosen_drift",
                mean < CHOSEN_DRIFT,
                (
                    f"the chosen answers are {-mean:.0f} nats less likely than at the start; lower the learning "
                    "rate, raise beta or add the SFT term."
                ),
            )


def _mean(recent: deque[float], value: float) -> float:
    recent.append(value)
    return sum(recent) / len(recent)


def _reference_kl(row: Mapping[str, Any]) -> float | None:
    """nats per sequence, from the mean per token and the mean length where only these are known."""
    if "reference_kl" in row:
        return float(row["reference_kl"])
    if "reference_kl_per_token" in row and "length" in row:
        return float(row["reference_kl_per_token"] * row["length"])
    return None
