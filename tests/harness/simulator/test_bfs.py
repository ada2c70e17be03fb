"""Breadth-first search: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.bfs import Bfs

FAMILY = Bfs()
EXAMPLE = Problem(
    "bfs",
    (("edge", 1, 3), ("edge", 1, 5), ("edge", 3, 8), ("edge", 5, 6), ("edge", 6, 8)),
    (("start", 1),),
)
RIGHT = (1, 3, 5, 8, 6)
STUDENTS = {
    "bfs.goes-deep": ((1, 3, 8, 6, 5), 3),
    "bfs.late-mark": ((1, 3, 5, 8, 6, 6), 6),
    "bfs.sorts-level": ((1, 3, 5, 6, 8), 4),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """By distance from the start, then by the position of the parent, then by number."""
    edges = {frozenset((int(op[1]), int(op[2]))) for op in problem.ops}
    order = [int(dict(problem.params)["start"])]  # type: ignore[arg-type]
    level = order
    rest = set().union(*edges) - set(order)
    while rest:
        first = {v: next((i for i, u in enumerate(level) if frozenset((u, v)) in edges), None) for v in rest}
        level = [v for _, v in sorted((i, v) for v, i in first.items() if i is not None)]
        order = order + level
        rest -= set(level)
    return tuple(order)


def test_agrees_with_independent_implementation() -> None:
    rng = Random(20)
    for number in range(10_000):
        problem = FAMILY.sample(rng, number % 3 + 1)
        assert FAMILY.run(problem).answer == derive(problem)


def test_hand_worked_right_answer() -> None:
    assert FAMILY.run(EXAMPLE).answer == RIGHT


@pytest.mark.parametrize("bug", FAMILY.bugs)
def test_hand_worked_student(bug: str) -> None:
    answer, first_wrong = STUDENTS[bug]
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)


def test_canonical_forgets_the_labels() -> None:
    def moved(vertex: int) -> int:
        return 2 * vertex + 3

    ops = tuple(("edge", moved(int(op[1])), moved(int(op[2])), *op[3:]) for op in reversed(EXAMPLE.ops))
    params = tuple((name, moved(value)) for name, value in EXAMPLE.params if isinstance(value, int))
    assert FAMILY.canonical(Problem(FAMILY.name, ops, params)) == FAMILY.canonical(EXAMPLE)
    fewer = Problem(FAMILY.name, EXAMPLE.ops[1:], EXAMPLE.params)
    assert FAMILY.canonical(fewer) != FAMILY.canonical(EXAMPLE)
