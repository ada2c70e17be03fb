"""Hash table with linear probing: agreement with an independent derivation, and one hand-worked student per bug."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.hash_probing import HashProbing

FAMILY = HashProbing()
EXAMPLE = Problem(
    "hash-probing",
    (("insert", 3), ("insert", 10), ("insert", 17), ("delete", 10), ("search", 17)),
    (("size", 7),),
)
RIGHT = (3, 4, 5, 5)
STUDENTS = {
    "hash-probing.overwrite": ((3, 3, 3, 3), 2),
    "hash-probing.backward": ((3, 2, 1, 1), 2),
    "hash-probing.first-free": ((3, 0, 1, 1), 2),
    "hash-probing.stops-at-deleted": ((3, 4, 5, 4), 5),
}


def derive(problem: Problem) -> tuple[int, ...]:
    """Keys by slot in a dict; `used` holds the slots that ever held a key."""
    size = dict(problem.params)["size"]
    assert isinstance(size, int)
    used: set[int] = set()
    at: dict[int, int] = {}
    ends = []
    for name, key, *_ in problem.ops:
        assert isinstance(key, int)
        slot = key % size
        if name == "insert":
            while slot in at.values():
                slot = (slot + 1) % size
            at[key] = slot
            used.add(slot)
        elif name == "search":
            while slot in used and at.get(key) != slot:
                slot = (slot + 1) % size
        else:
            del at[key]
            continue
        ends.append(slot)
    return tuple(ends)


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
