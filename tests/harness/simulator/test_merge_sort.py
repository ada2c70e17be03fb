"""MergeSort: the simulator against sorted slices, and examples worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.merge_sort import MergeSort

FAMILY = MergeSort()


def problem_of(values: tuple[int, ...], width: int) -> Problem:
    return Problem("merge-sort", (("array", *values),), (("data", values), ("width", width)))


def given(problem: Problem) -> tuple[list[int], int]:
    values, width = problem.param("data"), problem.param("width")
    assert isinstance(values, tuple)
    assert isinstance(width, int)
    return list(values), width


def expected(problem: Problem) -> tuple[int, ...]:
    values, width = given(problem)
    return tuple(v for start in range(0, len(values), 2 * width) for v in sorted(values[start : start + 2 * width]))


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
            "merge-sort.alternates",
            problem_of((10, 20, 60, 30, 40, 50), 3),
            (10, 20, 30, 40, 50, 60),
            (10, 30, 20, 40, 60, 50),
            2,
        ),
        (
            "merge-sort.pairwise",
            problem_of((10, 20, 60, 30, 40, 50), 3),
            (10, 20, 30, 40, 50, 60),
            (10, 30, 20, 40, 50, 60),
            2,
        ),
        (
            "merge-sort.drops-rest",
            problem_of((10, 20, 60, 30, 40, 50), 3),
            (10, 20, 30, 40, 50, 60),
            (10, 20, 30, 40, 50),
            6,
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
