"""The queue family against `collections.deque`, and worked examples."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.queue import Queue

FAMILY = Queue()


def reference(problem: Problem) -> tuple[int, ...]:
    queue: deque[int] = deque()
    returned = []
    for op in problem.ops:
        if op[0] == "enqueue":
            queue.append(int(op[1]))
        else:
            returned.append(queue.popleft())
            if op[0] == "peek":
                queue.appendleft(returned[-1])
    queue.reverse()
    return (*returned, *queue)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, i % 3 + 1)
        trace = FAMILY.run(problem)
        assert trace.answer == reference(problem)
        assert len(trace.steps) == len(problem.ops)
        assert len(trace.answer) >= 3


EXAMPLE = Problem("queue", (("enqueue", 4), ("enqueue", 7), ("peek",), ("dequeue",), ("enqueue", 1), ("enqueue", 6)))


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("queue.dequeue-rear", (7, 7, 6, 1, 4), 3),
        ("queue.dequeue-keeps", (4, 4, 6, 1, 7, 4), 4),
        ("queue.enqueue-front", (7, 7, 4, 1, 6), 2),
        ("queue.peek-removes", (4, 7, 6, 1), 3),
    ],
)
def test_worked_example(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert facts.right.answer == (4, 4, 6, 1, 7)
    assert facts.student.answer == answer
    assert facts.first_wrong == first_wrong
