"""Bubble sort, large values moving right; asked for the array after some passes. One step is one pass."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from harness.simulator.arrays import given_array, order_pattern
from harness.simulator.core import Family, Problem, Step, Trace


class BubbleSort(Family):
    name = "bubble-sort"
    knowledge_point = "sort.bubble"
    bugs = ("bubble-sort.one-swap", "bubble-sort.skips-pairs", "bubble-sort.compares-with-first")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + rng.randint(3, 4)
        passes = rng.randint(difficulty, difficulty + 1)
        while True:
            values = tuple(rng.sample(range(100), size))
            if sum(a > b for a, b in pairwise(values)) >= 2:
                return Problem(self.name, (("array", *values),), (("data", values), ("passes", passes)))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        passes = problem.param("passes")
        assert isinstance(passes, int)
        stride = 2 if bug == "bubble-sort.skips-pairs" else 1
        steps = []
        for done in range(passes):
            if bug == "bubble-sort.compares-with-first":
                pairs = [(done, i) for i in range(done + 1, len(values))]
            else:
                pairs = [(i, i + 1) for i in range(0, len(values) - 1 - done, stride)]
            for i, j in pairs:
                if values[i] > values[j]:
                    values[i], values[j] = values[j], values[i]
                    if bug == "bubble-sort.one-swap":
                        break
            steps.append(Step(("pass", done + 1), tuple(values)))
        return Trace(tuple(steps), tuple(values))

    def canonical(self, problem: Problem) -> str:
        return f"{self.name}|{problem.param('passes')}|{order_pattern(given_array(problem))}"
