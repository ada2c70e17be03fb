"""The stack family against a list kept the other way round, and worked examples."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.stack import Stack

FAMILY = Stack()


def reference(problem: Problem) -> tuple[int, ...]:
    top_first: tuple[int, ...] = ()
    popped = []
    for op in problem.ops:
        if op[0] == "push":
            top_first = (int(op[1]), *top_first)
        else:
            top, *rest = top_first
            popped.append(top)
            top_first = tuple(rest)
    return (*popped, *top_first[::-1])


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, i % 3 + 1)
        trace = FAMILY.run(problem)
        assert trace.answer == reference(problem)
        assert len(trace.steps) == len(problem.ops)
        assert len(trace.answer) >= 3


EXAMPLE = Problem("stack", (("push", 5), ("push", 8), ("pop",), ("push", 2), ("pop",), ("push", 9)))


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("stack.pop-bottom", (5, 8, 2, 9), 3),
        ("stack.pop-keeps", (8, 2, 5, 8, 2, 9), 3),
        ("stack.push-replaces", (8, 2, 9), 2),
    ],
)
def test_worked_example(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert facts.right.answer == (8, 2, 5, 9)
    assert facts.student.answer == answer
    assert facts.first_wrong == first_wrong


def test_the_right_answer_is_no_copy_of_the_pushes() -> None:
    rng = Random(4)
    for i in range(500):
        problem = FAMILY.sample(rng, i % 3 + 1)
        assert FAMILY.run(problem).answer != tuple(op[1] for op in problem.ops if op[0] == "push")
