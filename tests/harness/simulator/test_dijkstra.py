"""Dijkstra's algorithm: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.dijkstra import Dijkstra

FAMILY = Dijkstra()
EXAMPLE = Problem(
    "dijkstra",
    (("edge", 1, 2, 2), ("edge", 2, 3, 3), ("edge", 1, 3, 9), ("edge", 3, 4, 1), ("edge", 2, 4, 8), ("edge", 1, 4, 4)),
    (("start", 1),),
)
RIGHT = (0, 2, 5, 4)
STUDENTS = {
    "dijkstra.edge-only": ((0, 2, 3, 1), 2),
    "dijkstra.keeps-first": ((0, 2, 9, 4), 2),
    "dijkstra.latest-wins": ((0, 2, 5, 6), 2),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """Bellman and Ford: relax every edge as often as there are vertices."""
    far = 10**6
    distance = {int(vertex): far for op in problem.ops for vertex in op[1:3]}
    distance[int(dict(problem.params)["start"])] = 0  # type: ignore[arg-type]
    for _ in range(len(distance)):
        for op in problem.ops:
            a, b, weight = int(op[1]), int(op[2]), int(op[3])
            distance[b] = min(distance[b], distance[a] + weight)
    return tuple(distance[vertex] for vertex in sorted(distance))


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
