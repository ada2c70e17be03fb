"""BubbleSort: the simulator against a running maximum, and examples worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.bubble_sort import BubbleSort

FAMILY = BubbleSort()


def problem_of(values: tuple[int, ...], passes: int) -> Problem:
    return Problem("bubble-sort", (("array", *values),), (("data", values), ("passes", passes)))


def given(problem: Problem) -> tuple[list[int], int]:
    values, passes = problem.param("data"), problem.param("passes")
    assert isinstance(values, tuple)
    assert isinstance(passes, int)
    return list(values), passes


def expected(problem: Problem) -> tuple[int, ...]:
    values, passes = given(problem)
    for _ in range(passes):
        carried, left_behind = values[0], []
        for value in values[1:]:
            left_behind.append(min(carried, value))
            carried = max(carried, value)
        values = [*left_behind, carried]
    return tuple(values)


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
        ("bubble-sort.one-swap", problem_of((50, 40, 10, 30, 20), 2), (10, 30, 20, 40, 50), (40, 10, 50, 30, 20), 1),
        ("bubble-sort.skips-pairs", problem_of((50, 40, 10, 30, 20), 2), (10, 30, 20, 40, 50), (40, 50, 10, 30, 20), 1),
        (
            "bubble-sort.compares-with-first",
            problem_of((50, 40, 10, 30, 20), 2),
            (10, 30, 20, 40, 50),
            (10, 20, 50, 40, 30),
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
