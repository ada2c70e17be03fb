"""Straight insertion sort; asked for the array after some passes. One step is one pass."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from harness.simulator.arrays import given_array, order_pattern
from harness.simulator.core import Family, Problem, Step, Trace


class InsertionSort(Family):
    name = "insertion-sort"
    knowledge_point = "sort.insertion"
    bugs = ("insertion-sort.swaps-into-place", "insertion-sort.one-step", "insertion-sort.selects-minimum")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + rng.randint(3, 4)
        passes = rng.randint(difficulty + 2, size - 2)
        while True:
            values = tuple(rng.sample(range(100), size))
            if sum(a > b for a, b in pairwise(values[: passes + 1])) >= 2:
                return Problem(self.name, (("array", *values),), (("data", values), ("passes", passes)))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        passes = problem.param("passes")
        assert isinstance(passes, int)
        steps = []
        for i in range(1, passes + 1):
            if bug == "insertion-sort.selects-minimum":
                values.insert(i - 1, values.pop(values.index(min(values[i - 1 :]))))
            else:
                place = i
                while place and values[place - 1] > values[i]:
                    place -= 1
                if bug == "insertion-sort.one-step":
                    place = max(place, i - 1)
                if bug == "insertion-sort.swaps-into-place":
                    values[place], values[i] = values[i], values[place]
                else:
                    values.insert(place, values.pop(i))
            steps.append(Step(("pass", i), tuple(values)))
        return Trace(tuple(steps), tuple(values))

    def canonical(self, problem: Problem) -> str:
        return f"{self.name}|{problem.param('passes')}|{order_pattern(given_array(problem))}"
