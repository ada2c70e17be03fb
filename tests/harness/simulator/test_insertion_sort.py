"""InsertionSort: the simulator against sorted prefixes, and examples worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.insertion_sort import InsertionSort

FAMILY = InsertionSort()


def problem_of(values: tuple[int, ...], passes: int) -> Problem:
    return Problem("insertion-sort", (("array", *values),), (("data", values), ("passes", passes)))


def given(problem: Problem) -> tuple[list[int], int]:
    values, passes = problem.param("data"), problem.param("passes")
    assert isinstance(values, tuple)
    assert isinstance(passes, int)
    return list(values), passes


def expected(problem: Problem) -> tuple[int, ...]:
    values, passes = given(problem)
    return (*sorted(values[: passes + 1]), *values[passes + 1 :])


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
            "insertion-sort.swaps-into-place",
            problem_of((40, 30, 20, 10, 5), 3),
            (10, 20, 30, 40, 5),
            (10, 40, 30, 20, 5),
            2,
        ),
        ("insertion-sort.one-step", problem_of((40, 30, 20, 10, 5), 3), (10, 20, 30, 40, 5), (30, 20, 10, 40, 5), 2),
        (
            "insertion-sort.selects-minimum",
            problem_of((40, 30, 20, 10, 5), 3),
            (10, 20, 30, 40, 5),
            (5, 10, 20, 40, 30),
            1,
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
