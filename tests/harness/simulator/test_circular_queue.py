"""The circular queue against a deque and counters, and worked examples."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.circular_queue import CircularQueue

FAMILY = CircularQueue()


def reference(problem: Problem) -> tuple[int, ...]:
    capacity = problem.param("capacity")
    assert isinstance(capacity, int)
    queue: deque[int] = deque()
    arrived = left = 0
    for op in problem.ops:
        if op[0] == "dequeue":
            queue.popleft()
            left += 1
        elif len(queue) + 1 < capacity:
            queue.append(int(op[1]))
            arrived += 1
    return (left % capacity, arrived % capacity, *queue)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, i % 3 + 1)
        trace = FAMILY.run(problem)
        assert trace.answer == reference(problem)
        assert len(trace.steps) == len(problem.ops)
        assert len(trace.answer) >= 3


OPS = (("enqueue", 3), ("enqueue", 5), ("enqueue", 8), ("enqueue", 2), ("dequeue",), ("enqueue", 6))
EXAMPLE = Problem("circular-queue", OPS, (("capacity", 4), ("last", 3)))


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("circular-queue.no-wrap", (1, 4, 5, 8, 6), 6),
        ("circular-queue.shift", (0, 3, 5, 8, 6), 5),
        ("circular-queue.uses-all-slots", (1, 1, 5, 8, 2, 6), 4),
        ("circular-queue.overwrites", (2, 1, 8, 2, 6), 4),
    ],
)
def test_worked_example(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert facts.right.answer == (1, 0, 5, 8, 6)
    assert facts.student.answer == answer
    assert facts.first_wrong == first_wrong


def test_canonical_keeps_the_structure_and_drops_the_values() -> None:
    ops = (("enqueue", 30), ("enqueue", 50), ("enqueue", 80), ("enqueue", 2), ("dequeue",), ("enqueue", 66))
    renamed = Problem("circular-queue", ops, EXAMPLE.params)
    assert FAMILY.canonical(renamed) == FAMILY.canonical(EXAMPLE)
    longer = Problem("circular-queue", OPS, (("capacity", 5), ("last", 4)))
    assert FAMILY.canonical(longer) != FAMILY.canonical(EXAMPLE)
