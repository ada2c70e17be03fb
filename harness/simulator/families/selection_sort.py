"""Selection sort by swapping; asked for the array after some passes. One step is one pass."""

from __future__ import annotations

from random import Random

from harness.simulator.arrays import given_array, order_pattern
from harness.simulator.core import Family, Problem, Step, Trace


class SelectionSort(Family):
    name = "selection-sort"
    knowledge_point = "sort.selection"
    bugs = ("selection-sort.shifts", "selection-sort.first-smaller", "selection-sort.swaps-while-scanning")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + rng.randint(3, 4)
        passes = rng.randint(difficulty + 1, size - 2)
        while True:
            values = tuple(rng.sample(range(100), size))
            if values[0] != min(values) and values[0] > values[1]:
                return Problem(self.name, (("array", *values),), (("data", values), ("passes", passes)))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        passes = problem.param("passes")
        assert isinstance(passes, int)
        steps = []
        for first in range(passes):
            if bug == "selection-sort.swaps-while-scanning":
                for i in range(first + 1, len(values)):
                    if values[i] < values[first]:
                        values[first], values[i] = values[i], values[first]
            elif bug == "selection-sort.first-smaller":
                chosen = next((i for i in range(first, len(values)) if values[i] < values[first]), first)
                values[first], values[chosen] = values[chosen], values[first]
            else:
                chosen = values.index(min(values[first:]))
                if bug == "selection-sort.shifts":
                    values.insert(first, values.pop(chosen))
                else:
                    values[first], values[chosen] = values[chosen], values[first]
            steps.append(Step(("pass", first + 1), tuple(values)))
        return Trace(tuple(steps), tuple(values))

    def canonical(self, problem: Problem) -> str:
        return f"{self.name}|{problem.param('passes')}|{order_pattern(given_array(problem))}"
