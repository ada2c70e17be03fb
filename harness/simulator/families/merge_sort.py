"""One round of bottom-up merge sort; asked for the array after it. One step is one element written."""

from __future__ import annotations

from random import Random

from harness.simulator.arrays import given_array, order_pattern
from harness.simulator.core import Family, Problem, Step, Trace

SHAPES = {1: ((6, 3), (8, 4), (7, 4), (8, 2)), 2: ((9, 3), (10, 5), (11, 3), (12, 3)), 3: ((13, 4), (15, 4), (16, 4))}
"""Array size and length of the runs; the last run may be shorter."""


class MergeSort(Family):
    name = "merge-sort"
    knowledge_point = "sort.merge"
    bugs = ("merge-sort.alternates", "merge-sort.pairwise", "merge-sort.drops-rest")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size, width = rng.choice(SHAPES[difficulty])
        while True:
            values = rng.sample(range(100), size)
            for start in range(0, size, width):
                values[start : start + width] = sorted(values[start : start + width])
            problem = Problem(self.name, (("array", *values),), (("data", tuple(values)), ("width", width)))
            if self.run(problem).answer != tuple(values):
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        width = problem.param("width")
        assert isinstance(width, int)
        output: list[int] = []
        for start in range(0, len(values), 2 * width):
            left, right = values[start : start + width], values[start + width : start + 2 * width]
            output += _merge(left, right, bug)
        steps = tuple(Step(("write", i), tuple(output[:i])) for i in range(1, len(output) + 1))
        return Trace(steps, tuple(output))

    def canonical(self, problem: Problem) -> str:
        return f"{self.name}|{problem.param('width')}|{order_pattern(given_array(problem))}"


def _merge(left: list[int], right: list[int], bug: str | None) -> list[int]:
    output: list[int] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if bug == "merge-sort.pairwise":
            output += sorted((left[i], right[j]))
            i, j = i + 1, j + 1
        elif i == j if bug == "merge-sort.alternates" else left[i] < right[j]:
            output.append(left[i])
            i += 1
        else:
            output.append(right[j])
            j += 1
    if bug == "merge-sort.drops-rest" and right:
        return output
    return output + left[i:] + right[j:]
