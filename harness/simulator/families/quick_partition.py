"""One Lomuto partition around the last element; asked for the array after it. One step is one element compared."""

from __future__ import annotations

from random import Random

from harness.simulator.arrays import given_array, order_pattern
from harness.simulator.core import Family, Problem, Step, Trace


class QuickPartition(Family):
    """The last step, after all comparisons, puts the pivot in its place."""

    name = "quick-partition"
    knowledge_point = "sort.quick"
    bugs = (
        "quick-partition.shifts",
        "quick-partition.pivot-stays",
        "quick-partition.sorts-parts",
        "quick-partition.larger-left",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + rng.randint(4, 5)
        while True:
            values = rng.sample(range(100), size)
            pivot = sorted(values)[rng.randint(2, size - 3)]
            values.remove(pivot)
            values.append(pivot)
            problem = Problem(self.name, (("array", *values),), (("data", tuple(values)), ("pivot", pivot)))
            if self.run(problem).answer != tuple(values):
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        pivot = values[-1]
        inserts = bug in ("quick-partition.shifts", "quick-partition.sorts-parts")
        border = 0
        steps = []
        for i in range(len(values) - 1):
            if (values[i] < pivot) != (bug == "quick-partition.larger-left"):
                if inserts:
                    values.insert(border, values.pop(i))
                else:
                    values[border], values[i] = values[i], values[border]
                border += 1
            if bug == "quick-partition.sorts-parts":
                values[: i + 1] = sorted(values[: i + 1])
            steps.append(Step(("compare", i + 1), tuple(values)))
        if inserts:
            values.insert(border, values.pop())
        elif bug != "quick-partition.pivot-stays":
            values[border], values[-1] = values[-1], values[border]
        steps.append(Step(("place", len(values)), tuple(values)))
        return Trace(tuple(steps), tuple(values))

    def canonical(self, problem: Problem) -> str:
        return f"{self.name}|{order_pattern(given_array(problem))}"
