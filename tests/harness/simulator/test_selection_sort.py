"""SelectionSort: the simulator against a recursive derivation, and examples worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.selection_sort import SelectionSort

FAMILY = SelectionSort()


def problem_of(values: tuple[int, ...], passes: int) -> Problem:
    return Problem("selection-sort", (("array", *values),), (("data", values), ("passes", passes)))


def given(problem: Problem) -> tuple[list[int], int]:
    values, passes = problem.param("data"), problem.param("passes")
    assert isinstance(values, tuple)
    assert isinstance(passes, int)
    return list(values), passes


def expected(problem: Problem) -> tuple[int, ...]:
    def select(rest: list[int], passes: int) -> list[int]:
        if not passes:
            return rest
        smallest = min(rest)
        others = [rest[0] if value == smallest else value for value in rest[1:]]
        return [smallest, *select(others, passes - 1)]

    return tuple(select(*given(problem)))


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
        ("selection-sort.shifts", problem_of((30, 20, 50, 10, 40), 2), (10, 20, 50, 30, 40), (10, 20, 30, 50, 40), 1),
        (
            "selection-sort.first-smaller",
            problem_of((30, 20, 50, 10, 40), 2),
            (10, 20, 50, 30, 40),
            (20, 10, 50, 30, 40),
            1,
        ),
        (
            "selection-sort.swaps-while-scanning",
            problem_of((30, 20, 50, 10, 40), 1),
            (10, 20, 50, 30, 40),
            (10, 30, 50, 20, 40),
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
