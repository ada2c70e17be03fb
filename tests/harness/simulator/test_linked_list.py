"""The linked list against successor pointers in a dict, and worked examples."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.linked_list import LinkedList

FAMILY = LinkedList()


def reference(problem: Problem) -> tuple[int, ...]:
    """Successor pointers; -1 stands for a dummy head and for the end."""
    start = problem.param("list")
    assert isinstance(start, tuple)
    after = dict(zip((-1, *start), (*start, -1), strict=True))
    for op in problem.ops:
        if op[0] == "insert":
            after[int(op[2])] = after[int(op[1])]
            after[int(op[1])] = int(op[2])
        else:
            node = -1
            for _ in range(int(op[1]) - 1):
                node = after[node]
            after[node] = after[after[node]]
    values = []
    node = after[-1]
    while node != -1:
        values.append(node)
        node = after[node]
    return tuple(values)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, i % 3 + 1)
        trace = FAMILY.run(problem)
        assert trace.answer == reference(problem)
        assert len(trace.steps) == len(problem.ops)
        assert len(trace.answer) >= 3


EXAMPLE = Problem("linked-list", (("insert", 9, 5), ("delete", 5)), (("list", (3, 9, 4, 7, 6)),))


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("linked-list.insert-loses-rest", (3, 9, 5), 1),
        ("linked-list.insert-before", (3, 5, 9, 4, 6), 1),
        ("linked-list.delete-loses-rest", (3, 9, 5, 4), 2),
        ("linked-list.counts-from-zero", (3, 9, 5, 4, 7), 2),
    ],
)
def test_worked_example(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert facts.right.answer == (3, 9, 5, 4, 6)
    assert facts.student.answer == answer
    assert facts.first_wrong == first_wrong


def test_canonical_keeps_the_structure_and_drops_the_values() -> None:
    renamed = Problem("linked-list", (("insert", 90, 50), ("delete", 5)), (("list", (30, 90, 40, 70, 60)),))
    assert FAMILY.canonical(renamed) == FAMILY.canonical(EXAMPLE)
    elsewhere = Problem("linked-list", (("insert", 9, 5), ("delete", 4)), EXAMPLE.params)
    assert FAMILY.canonical(elsewhere) != FAMILY.canonical(EXAMPLE)
