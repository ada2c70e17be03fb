"""Binary search in a sorted array; asked for the probed indices in order."""

from __future__ import annotations

from random import Random

from harness.simulator.arrays import given_array
from harness.simulator.core import Family, Problem, Step, Trace

SIZES = {1: (7, 13), 2: (14, 21), 3: (22, 32)}


class BinarySearch(Family):
    """The index of the first element is a parameter (`base`, 0 or 1): rounding depends on it, and textbooks differ."""

    name = "binary-search"
    knowledge_point = "search.binary"
    bugs = (
        "binary-search.wrong-half",
        "binary-search.keeps-middle",
        "binary-search.rounds-up",
        "binary-search.counts-from-start",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = rng.randint(*SIZES[difficulty])
        base = rng.randint(0, 1)
        while True:
            values = sorted(rng.sample(range(100), size))
            target = rng.choice(values) if rng.random() < 0.7 else rng.randrange(100)
            problem = Problem(
                self.name,
                (("array", *values), ("find", target)),
                (("data", tuple(values)), ("target", target), ("base", base), ("last", base + size - 1)),
            )
            if len(self.run(problem).answer) >= 3:
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        values = given_array(problem)
        target = int(problem.ops[1][1])
        base = 1 if problem.param("base") else 0
        low, high = base, base + len(values) - 1
        probes: list[int] = []
        while low <= high:
            middle = (low + high) // 2
            if bug == "binary-search.rounds-up":
                middle = (low + high + 1) // 2
            elif bug == "binary-search.counts-from-start":
                middle = base + (high - low) // 2
            if middle in probes:
                break
            probes.append(middle)
            value = values[middle - base]
            if value == target:
                break
            kept = 1 if bug == "binary-search.keeps-middle" else 0
            if (value < target) != (bug == "binary-search.wrong-half"):
                low = middle + 1 - kept
            else:
                high = middle - 1 + kept
        steps = tuple(Step(("probe", number), (index,)) for number, index in enumerate(probes, start=1))
        return Trace(steps, tuple(probes))

    def canonical(self, problem: Problem) -> str:
        values = given_array(problem)
        target = int(problem.ops[1][1])
        rank = sum(value < target for value in values)
        return f"{self.name}|{problem.param('base')}|{len(values)}|{rank}|{target in values}"
