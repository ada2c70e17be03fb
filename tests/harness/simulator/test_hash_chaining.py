"""Hash table with separate chaining: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.hash_chaining import HashChaining

FAMILY = HashChaining()
EXAMPLE = Problem(
    "hash-chaining",
    (("insert", 4), ("insert", 5), ("insert", 8), ("insert", 12), ("insert", 7), ("insert", 16), ("delete", 8)),
    (("size", 4),),
)
RIGHT = (16, 12, 4, 5, 7)
STUDENTS = {
    "hash-chaining.overwrite": ((16, 5, 7), 3),
    "hash-chaining.moves-on": ((16, 4, 5, 7, 12), 3),
    "hash-chaining.delete-cuts": ((16, 12, 5, 7), 7),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """What is left at the end, newest first within a bucket."""
    size = dict(problem.params)["size"]
    assert isinstance(size, int)
    gone = {op[1] for op in problem.ops if op[0] == "delete"}
    left = [int(op[1]) for op in reversed(problem.ops) if op[0] == "insert" and op[1] not in gone]
    return tuple(sorted(left, key=lambda key: key % size))


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


def test_canonical_forgets_the_quotients() -> None:
    size = int(EXAMPLE.params[0][1])  # type: ignore[arg-type]
    ops = tuple((op[0], int(op[1]) + size) for op in EXAMPLE.ops)
    assert FAMILY.canonical(Problem(FAMILY.name, ops, EXAMPLE.params)) == FAMILY.canonical(EXAMPLE)
    ops = tuple((op[0], int(op[1]) + 1) for op in EXAMPLE.ops)
    assert FAMILY.canonical(Problem(FAMILY.name, ops, EXAMPLE.params)) != FAMILY.canonical(EXAMPLE)
