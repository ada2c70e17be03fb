"""Topological sort: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.topological import Topological

FAMILY = Topological()
EXAMPLE = Problem(
    "topological",
    (("edge", 1, 3), ("edge", 4, 3), ("edge", 3, 2), ("edge", 4, 5)),
    (),
)
RIGHT = (1, 4, 3, 2, 5)
STUDENTS = {
    "topological.any-predecessor": ((1, 3, 2, 4, 5), 2),
    "topological.reversed": ((2, 3, 1, 5, 4), 1),
    "topological.rounds": ((1, 4, 3, 5, 2), 4),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """Again and again the smallest vertex to which no remaining edge points."""
    edges = {(int(op[1]), int(op[2])) for op in problem.ops}
    rest = {vertex for edge in edges for vertex in edge}
    order = []
    while rest:
        vertex = min(rest - {b for _, b in edges})
        order.append(vertex)
        rest.remove(vertex)
        edges = {(a, b) for a, b in edges if a != vertex}
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
