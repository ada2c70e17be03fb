"""Depth-first search: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.dfs import Dfs

FAMILY = Dfs()
EXAMPLE = Problem(
    "dfs",
    (("edge", 2, 4), ("edge", 2, 9), ("edge", 4, 5), ("edge", 4, 7)),
    (("start", 2),),
)
RIGHT = (2, 4, 5, 7, 9)
STUDENTS = {
    "dfs.level-by-level": ((2, 4, 9, 5, 7), 3),
    "dfs.no-backtrack": ((2, 4, 5), 4),
    "dfs.back-to-start": ((2, 4, 5, 9, 7), 4),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """Plain recursion over the set of edges."""
    pairs = sorted({pair for op in problem.ops for pair in ((int(op[1]), int(op[2])), (int(op[2]), int(op[1])))})
    order: list[int] = []

    def visit(vertex: int) -> None:
        order.append(vertex)
        for a, b in pairs:
            if a == vertex and b not in order:
                visit(b)

    visit(int(dict(problem.params)["start"]))  # type: ignore[arg-type]
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
