"""Diversity over a run: distinct-n (Li et al. 2016) and self-BLEU (Zhu et al. 2018). High distinct-n and low self-BLEU mean varied text.

A system that says the same to everybody shows here even where each single answer looks fine.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist

from harness.scorers.reference import bleu, tokens
from harness.types import Item, Response, Score

PEERS = 10
"""Self-BLEU compares a response with this many others of its language, drawn with a fixed seed (all: quadratic)."""


class Diversity:
    """distinct_1 and distinct_2 of the run (both languages together), self_bleu of every response."""

    source = f"diversity/peers-{PEERS}@1"
    criteria = ("distinct_1", "distinct_2", "self_bleu")

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        clusters = [items[response.item].cluster for response in responses]
        words = [tokens(response.text) for response in responses]
        yield self._distinct("distinct_1", [Counter(row) for row in words], clusters)
        yield self._distinct("distinct_2", [Counter(pairwise(row)) for row in words], clusters)
        yield from self._self_bleu(items, responses)

    def _distinct(self, criterion: str, counts: Sequence[Counter], clusters: Sequence[str]) -> Score:
        """Distinct n-grams over all n-grams, with a delete-a-cluster jackknife interval (Efron & Stein 1981)."""
        parts: dict[str, Counter] = {}
        for cluster, count in zip(clusters, counts):
            parts.setdefault(cluster, Counter()).update(count)
        total: Counter = sum(parts.values(), Counter())
        size = total.total()
        if size == 0:
            return Score("*", 0, criterion, self.source, None, "the run has no text")
        value = len(total) / size
        evidence: dict[str, float] = {"n": len(counts)}
        left_out = []
        for part in parts.values():
            if size > part.total():
                lost = sum(1 for gram, count in part.items() if total[gram] == count)
                left_out.append((len(total) - lost) / (size - part.total()))
        if len(left_out) > 1:
            mean = sum(left_out) / len(left_out)
            variance = (len(left_out) - 1) / len(left_out) * sum((one - mean) ** 2 for one in left_out)
            margin = NormalDist().inv_cdf(0.975) * variance**0.5
            evidence |= {"low": max(0.0, value - margin), "high": min(1.0, value + margin)}
        return Score("*", 0, criterion, self.source, round(value, 6), evidence=evidence)

    def _self_bleu(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        by_language: dict[str, list[Response]] = {}
        for response in responses:
            by_language.setdefault(items[response.item].language, []).append(response)
        for language, group in by_language.items():
            draw = random.Random(0)
            for response in sorted(group, key=lambda one: (one.item, one.sample)):
                others = [other.text for other in group if other is not response and other.text.strip()]
                others = draw.sample(others, min(PEERS, len(others)))
                if not others or not response.text.strip():
                    reason = "no other text to compare with" if not others else "the response is empty"
                    yield Score(response.item, response.sample, "self_bleu", self.source, None, reason)
                    continue
                value = bleu(response.text, others, language)
                yield Score(response.item, response.sample, "self_bleu", self.source, round(value, 6))
