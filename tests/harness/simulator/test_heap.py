"""The right run agrees with an independent one; each bug matches a run worked out by hand."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.heap import Heap

FAMILY = Heap()


def problems(count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILY.sample(rng, 1 + i % 3) for i in range(count)]


def independent(problem: Problem) -> tuple[int, ...]:
    sign = -1 if ("extract-max",) in problem.ops else 1
    heap: list[int] = []
    for op in problem.ops:
        if op[0] == "insert":
            heapq.heappush(heap, sign * int(op[1]))
        else:
            heapq.heappop(heap)
    return tuple(sign * key for key in heap)


def test_right_run_agrees_with_an_independent_one() -> None:
    for problem in problems(10_000, 1):
        assert FAMILY.run(problem).answer == independent(problem), problem


def inserts_then(extract: str, *keys: int) -> Problem:
    return Problem("heap", (*(("insert", key) for key in keys), (extract,)))


FALLING = inserts_then("extract-min", 50, 40, 30, 20, 10, 60)
RISING = inserts_then("extract-max", 10, 20, 30, 40, 50, 60)


def test_right_run_by_hand() -> None:
    assert FAMILY.run(FALLING).answer == (20, 30, 40, 50, 60)
    assert FAMILY.run(RISING).answer == (50, 40, 20, 10, 30)


@pytest.mark.parametrize(
    ("bug", "problem", "answer", "first_wrong"),
    [
        ("heap.sift-up-once", FALLING, (10, 20, 40, 50, 60), 4),
        ("heap.shift-left", FALLING, (20, 40, 50, 30, 60), 7),
        ("heap.left-child", FALLING, (20, 50, 40, 60, 30), 7),
        ("heap.sorted-array", RISING, (50, 40, 30, 20, 10), 3),
    ],
)
def test_bug_by_hand(bug: str, problem: Problem, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, problem, bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)
