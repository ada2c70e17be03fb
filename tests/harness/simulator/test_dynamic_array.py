"""The dynamic array against a list and the growth worked out from its sizes, and worked examples."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.dynamic_array import DynamicArray

FAMILY = DynamicArray()


def reference(problem: Problem) -> tuple[int, ...]:
    capacity = problem.param("capacity")
    assert isinstance(capacity, int)
    values: list[int] = []
    shifted = peak = 0
    for op in problem.ops:
        before = values.copy()
        if op[0] == "append":
            values = [*values, int(op[1])]
        elif op[0] == "insert":
            values = [*values[: int(op[1])], int(op[2]), *values[int(op[1]) :]]
        else:
            values = [value for index, value in enumerate(values) if index != op[1]]
        place = {value: index for index, value in enumerate(values)}
        shifted += sum(place.get(value, index) != index for index, value in enumerate(before))
        peak = max(peak, len(values))
    copied = 0
    while capacity < peak:
        copied += capacity
        capacity *= 2
    return (*values, capacity, shifted + copied)


def test_agrees_with_an_independent_implementation() -> None:
    rng = Random(1)
    for i in range(10_000):
        problem = FAMILY.sample(rng, i % 3 + 1)
        trace = FAMILY.run(problem)
        assert trace.answer == reference(problem)
        assert len(trace.steps) == len(problem.ops)
        assert len(trace.answer) >= 3


OPS = (("append", 3), ("append", 8), ("insert", 0, 5), ("append", 6), ("delete", 1))
EXAMPLE = Problem("dynamic-array", OPS, (("capacity", 2),))


@pytest.mark.parametrize(
    ("bug", "answer", "first_wrong"),
    [
        ("dynamic-array.grow-by-one", (5, 8, 6, 4, 9), 3),
        ("dynamic-array.grow-early", (5, 8, 6, 8, 10), 2),
        ("dynamic-array.insert-overwrites", (5, 6, 4, 3), 3),
        ("dynamic-array.delete-leaves-gap", (5, 8, 6, 4, 4), 5),
    ],
)
def test_worked_example(bug: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, EXAMPLE, bug)
    assert facts is not None
    assert facts.right.answer == (5, 8, 6, 4, 6)
    assert facts.student.answer == answer
    assert facts.first_wrong == first_wrong


def test_canonical_keeps_the_structure_and_drops_the_values() -> None:
    ops = (("append", 30), ("append", 80), ("insert", 0, 50), ("append", 60), ("delete", 1))
    renamed = Problem("dynamic-array", ops, EXAMPLE.params)
    assert FAMILY.canonical(renamed) == FAMILY.canonical(EXAMPLE)
    elsewhere = Problem("dynamic-array", (*OPS[:-1], ("delete", 0)), EXAMPLE.params)
    assert FAMILY.canonical(elsewhere) != FAMILY.canonical(EXAMPLE)
