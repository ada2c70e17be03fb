"""What the exercises on one given array have in common: the array itself, and its order pattern."""

from __future__ import annotations

from collections.abc import Sequence

from harness.simulator.core import Problem


def given_array(problem: Problem) -> list[int]:
    """A fresh copy of the array that the problem lists as its first operation, ("array", ...)."""
    return [int(value) for value in problem.ops[0][1:]]


def order_pattern(values: Sequence[int]) -> str:
    """The ranks of distinct values: equal for two arrays that differ only by an order-preserving renaming."""
    rank = {value: str(i) for i, value in enumerate(sorted(values))}
    return ",".join(rank[value] for value in values)
