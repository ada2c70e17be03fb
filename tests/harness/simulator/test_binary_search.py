"""BinarySearch: the simulator against bisect, and examples worked out by hand."""

from __future__ import annotations

from bisect import bisect_left
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.binary_search import BinarySearch

FAMILY = BinarySearch()


def problem_of(values: tuple[int, ...], target: int, base: int) -> Problem:
    params = (("data", values), ("target", target), ("base", base), ("last", base + len(values) - 1))
    return Problem("binary-search", (("array", *values), ("find", target)), params)


def expected(problem: Problem) -> tuple[int, ...]:
    values, target, base = problem.param("data"), problem.param("target"), problem.param("base")
    assert isinstance(values, tuple)
    assert isinstance(target, int)
    assert isinstance(base, int)
    place = bisect_left(values, target)
    found = values[place : place + 1] == (target,)

    def probes(first: int, length: int) -> tuple[int, ...]:
        if not length:
            return ()
        middle = (2 * (first + base) + length - 1) // 2
        before = middle - base - first
        if found and middle - base == place:
            return (middle,)
        if middle - base < place:
            return (middle, *probes(first + before + 1, length - before - 1))
        return (middle, *probes(first, before))

    return probes(0, len(values))


TEN = (2, 5, 8, 12, 16, 23, 38, 56, 72, 91)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, 1 + i % 3)
        trace = FAMILY.run(problem)
        assert len(trace.answer) >= 3
        assert trace.answer == expected(problem)


def test_canonical_ignores_an_order_preserving_renaming() -> None:
    one, same = problem_of((1, 2, 3, 5, 6, 7, 9), 3, 0), problem_of((10, 20, 30, 40, 50, 60, 70), 30, 0)
    assert FAMILY.canonical(one) == FAMILY.canonical(same)
    others = problem_of((1, 2, 3, 5, 6, 7, 9), 4, 0), problem_of((1, 2, 3, 5, 6, 7, 9), 3, 1)
    assert FAMILY.canonical(one) not in {FAMILY.canonical(other) for other in others}


@pytest.mark.parametrize(
    ("bug", "problem", "right", "student", "first_wrong"),
    [
        ("binary-search.wrong-half", problem_of(TEN, 23, 0), (4, 7, 5), (4, 1, 0), 2),
        ("binary-search.keeps-middle", problem_of(TEN, 23, 0), (4, 7, 5), (4, 6, 5), 2),
        ("binary-search.rounds-up", problem_of(TEN, 12, 0), (4, 1, 2, 3), (5, 2, 4, 3), 1),
        ("binary-search.counts-from-start", problem_of(TEN, 23, 0), (4, 7, 5), (4, 2, 3), 2),
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
