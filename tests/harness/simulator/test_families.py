"""What must hold of every exercise family and of each of its bugs; what is special to one family stands in its own file."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Op, Problem, explain
from harness.simulator.families import FAMILIES

DIFFICULTIES = (1, 2, 3)
BUGS = [(family, bug) for family in FAMILIES for bug in FAMILIES[family].bugs]
RUNS = [*((family, None) for family in FAMILIES), *BUGS]

ONE_STEP_PER_OP = {
    "stack",
    "queue",
    "circular-queue",
    "linked-list",
    "dynamic-array",
    "bst-insert",
    "bst-delete",
    "heap",
    "union-find",
    "hash-probing",
    "hash-chaining",
}
ONE_GIVEN = {
    "binary-search",
    "bst-traversal",
    "insertion-sort",
    "selection-sort",
    "bubble-sort",
    "merge-sort",
    "quick-partition",
}
"""Families that list one array or one tree, and no sequence of operations."""

MORE_THAN_ORDER = {"hash-probing", "hash-chaining", "union-find"}
"""Families whose numbers carry more than their order, or less; their own files say what their canonical form ignores."""
MAY_BE_SYMMETRIC = {"bfs", "dfs", "topological", "dijkstra", "binary-search"}
"""Families in which exchanging two values may give the same structure again."""

ORDERED = [family for family in FAMILIES if family not in MORE_THAN_ORDER]
VALUE_PARAMS = {"data", "build", "list", "start", "target", "pivot"}


def sampled(family: str, count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILIES[family].sample(rng, DIFFICULTIES[i % 3]) for i in range(count)]


def value_places(family: str, op: Op) -> range:
    """Where an operation holds values; positions in a list and weights are none."""
    if op[0] == "edge":
        return range(1, 3)
    if family in {"dynamic-array", "linked-list"} and op[0] == "delete":
        return range(0)
    if family == "dynamic-array":
        return range(len(op) - 1, len(op))
    return range(1, len(op))


def values_of(problem: Problem) -> list[int]:
    values = {int(op[i]) for op in problem.ops for i in value_places(problem.family, op)}
    for name, value in problem.params:
        if name in VALUE_PARAMS:
            values |= {value} if isinstance(value, int) else set(value)
    return sorted(values)


def renamed(problem: Problem, new: dict[int, int]) -> Problem:
    def in_op(op: Op) -> Op:
        places = value_places(problem.family, op)
        return tuple(new[int(arg)] if i in places else arg for i, arg in enumerate(op))

    def in_param(name: str, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        if name not in VALUE_PARAMS:
            return value
        return new[value] if isinstance(value, int) else tuple(new[v] for v in value)

    params = tuple((name, in_param(name, value)) for name, value in problem.params)
    return Problem(problem.family, tuple(in_op(op) for op in problem.ops), params)


@pytest.mark.parametrize("family", FAMILIES)
def test_right_answers_have_three_numbers_or_more(family: str) -> None:
    for problem in sampled(family, 10_000, 1):
        assert len(FAMILIES[family].run(problem).answer) >= 3, problem


@pytest.mark.parametrize(("family", "bug"), RUNS)
def test_every_run_ends_with_numbers_in_range(family: str, bug: str | None) -> None:
    for problem in sampled(family, 1_000, 2):
        trace = FAMILIES[family].run(problem, bug)
        assert trace.steps, problem
        assert all(0 <= value <= 99 for value in trace.answer), problem
        if family in ONE_STEP_PER_OP:
            assert len(trace.steps) == len(problem.ops), problem


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize(("family", "bug"), BUGS)
def test_each_bug_is_often_the_only_explanation(family: str, bug: str, difficulty: int) -> None:
    rng = Random(3)
    problems = [FAMILIES[family].sample(rng, difficulty) for _ in range(500)]
    explained = [facts for problem in problems if (facts := explain(FAMILIES[family], problem, bug)) is not None]
    assert len(explained) >= 0.05 * len(problems)
    for facts in explained:
        right, student, first = facts.right.steps, facts.student.steps, facts.first_wrong
        assert facts.bug == bug
        assert len(facts.student.answer) >= 3
        assert facts.student.answer != facts.right.answer
        assert first is not None
        assert 1 <= first <= max(len(right), len(student))
        assert right[: first - 1] == student[: first - 1]
        assert right[first - 1 : first] != student[first - 1 : first]


@pytest.mark.parametrize("family", ORDERED)
def test_canonical_ignores_an_order_preserving_renaming(family: str) -> None:
    rng = Random(4)
    for problem in sampled(family, 300, 5):
        old = values_of(problem)
        same = renamed(problem, dict(zip(old, sorted(rng.sample(range(1_000), len(old))), strict=True)))
        assert FAMILIES[family].canonical(same) == FAMILIES[family].canonical(problem), problem


@pytest.mark.parametrize("family", [family for family in ORDERED if family not in MAY_BE_SYMMETRIC])
def test_canonical_tells_two_values_exchanged(family: str) -> None:
    rng = Random(6)
    for problem in sampled(family, 300, 7):
        values = values_of(problem)
        a, b = rng.sample(values, 2)
        other = renamed(problem, {**{value: value for value in values}, a: b, b: a})
        assert FAMILIES[family].canonical(other) != FAMILIES[family].canonical(problem), problem


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ONE_GIVEN])
def test_canonical_tells_a_missing_operation(family: str) -> None:
    for problem in sampled(family, 300, 8):
        start = dict(problem.params).get("start")
        last = max(i for i, op in enumerate(problem.ops) if start is None or start not in op[1:3])
        shorter = Problem(family, (*problem.ops[:last], *problem.ops[last + 1 :]), problem.params)
        assert FAMILIES[family].canonical(shorter) != FAMILIES[family].canonical(problem), problem
