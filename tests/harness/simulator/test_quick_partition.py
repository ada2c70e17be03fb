"""QuickPartition: the simulator against a rotating queue of the larger elements, and examples worked out by hand."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.quick_partition import QuickPartition

FAMILY = QuickPartition()


def problem_of(values: tuple[int, ...]) -> Problem:
    return Problem("quick-partition", (("array", *values),), (("data", values), ("pivot", values[-1])))


def expected(problem: Problem) -> tuple[int, ...]:
    values = problem.param("data")
    assert isinstance(values, tuple)
    *others, pivot = values
    smaller: list[int] = []
    larger: deque[int] = deque()
    for value in others:
        if value < pivot:
            smaller.append(value)
            larger.rotate(-1)
        else:
            larger.append(value)
    larger.rotate(-1)
    return (*smaller, pivot, *larger)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, 1 + i % 3)
        trace = FAMILY.run(problem)
        assert len(trace.answer) >= 3
        assert trace.answer == expected(problem)


@pytest.mark.parametrize(
    ("bug", "problem", "right", "student", "first_wrong"),
    [
        (
            "quick-partition.shifts",
            problem_of((70, 20, 90, 30, 60, 50)),
            (20, 30, 50, 70, 60, 90),
            (20, 30, 50, 70, 90, 60),
            4,
        ),
        (
            "quick-partition.pivot-stays",
            problem_of((70, 20, 90, 30, 60, 50)),
            (20, 30, 50, 70, 60, 90),
            (20, 30, 90, 70, 60, 50),
            6,
        ),
        (
            "quick-partition.sorts-parts",
            problem_of((70, 20, 90, 30, 60, 50)),
            (20, 30, 50, 70, 60, 90),
            (20, 30, 50, 60, 70, 90),
            4,
        ),
        (
            "quick-partition.larger-left",
            problem_of((70, 20, 90, 30, 60, 50)),
            (20, 30, 50, 70, 60, 90),
            (70, 90, 60, 50, 20, 30),
            2,
        ),
    ],
)
def test_worked_example(
    bug: str, problem: Problem, right: tuple[int, ...], student: tuple[int, ...], first_wrong: int
) -> None:
    facts = explain(FAMILY, problem, bug)
    assert facts is not None
    assert facts.right.answer == right
    assert facts.student.answer == student
    assert facts.first_wrong == first_wrong
