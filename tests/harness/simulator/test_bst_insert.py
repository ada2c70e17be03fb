"""The right run agrees with an independent one; each bug matches a run worked out by hand."""

from __future__ import annotations

from bisect import bisect_left
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.bst_insert import BstInsert

FAMILY = BstInsert()


def problems(count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILY.sample(rng, 1 + i % 3) for i in range(count)]


def independent(problem: Problem) -> tuple[int, ...]:
    """A new key is one level below the deeper of its two neighbours in sorted order."""
    keys: list[int] = []
    depth: dict[int, int] = {}
    for op in problem.ops:
        key = int(op[1])
        i = bisect_left(keys, key)
        depth[key] = 1 + max((depth[near] for near in keys[max(i - 1, 0) : i + 1]), default=-1)
        keys.insert(i, key)
    return tuple(sorted(keys, key=lambda key: (depth[key], key)))


def test_right_run_agrees_with_an_independent_one() -> None:
    for problem in problems(10_000, 1):
        assert FAMILY.run(problem).answer == independent(problem), problem


HAND = Problem("bst-insert", tuple(("insert", key) for key in (50, 30, 40, 20, 70, 60)))


def test_right_run_by_hand() -> None:
    right = FAMILY.run(HAND)
    assert right.answer == (50, 30, 70, 20, 40, 60)
    assert right.steps[2].state == (50, 30, None, None, 40)


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("bst-insert.swapped-sides", (50, 70, 30, 60, 40, 20), 2),
        ("bst-insert.root-only", (50, 30, 70, 40, 60, 20), 3),
        ("bst-insert.insert-between", (50, 40, 60, 30, 70, 20), 3),
        ("bst-insert.heap-like", (70, 50, 60, 20, 30, 40), 3),
    ],
)
def test_bug_by_hand(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, HAND, bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)
