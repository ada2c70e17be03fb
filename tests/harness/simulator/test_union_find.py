"""The right run agrees with an independent one; each bug matches a run worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Op, Problem, explain
from harness.simulator.families.union_find import UnionFind

FAMILY = UnionFind()


def problems(count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILY.sample(rng, 1 + i % 3) for i in range(count)]


def independent(problem: Problem) -> tuple[int, ...]:
    size = problem.param("size")
    assert isinstance(size, int)
    parent = {i: i for i in range(size)}

    def find(i: int) -> int:
        if parent[i] != i:
            parent[i] = find(parent[i])
        return parent[i]

    for op in problem.ops:
        roots = [find(int(arg)) for arg in op[1:]]
        parent[roots[-1]] = roots[0]
    return tuple(parent.values())


def test_right_run_agrees_with_an_independent_one() -> None:
    for problem in problems(10_000, 1):
        assert FAMILY.run(problem).answer == independent(problem), problem


def six(*ops: Op) -> Problem:
    return Problem("union-find", ops, (("size", 6), ("last", 5)))


UNIONS: tuple[Op, ...] = (("union", 0, 1), ("union", 2, 3), ("union", 1, 3), ("union", 4, 5), ("union", 5, 3))


def test_right_run_by_hand() -> None:
    assert FAMILY.run(six(*UNIONS)).answer == (4, 0, 0, 0, 4, 4)
    assert FAMILY.run(six(*UNIONS, ("find", 1))).answer == (4, 4, 0, 0, 4, 4)


@pytest.mark.parametrize(
    ("bug", "problem", "answer", "first_wrong"),
    [
        ("union-find.moves-node", six(*UNIONS, ("find", 1)), (0, 0, 2, 4, 4, 4), 3),
        ("union-find.attaches-to-node", six(*UNIONS), (5, 0, 0, 0, 4, 4), 3),
        ("union-find.reversed", six(*UNIONS, ("find", 1)), (1, 3, 3, 3, 5, 3), 1),
        ("union-find.no-compression", six(*UNIONS, ("find", 1)), (4, 0, 0, 2, 4, 4), 5),
    ],
)
def test_bug_by_hand(bug: str, problem: Problem, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, problem, bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)


def test_canonical_ignores_the_numbering() -> None:
    assert FAMILY.canonical(six(("union", 0, 1), ("find", 1))) == FAMILY.canonical(six(("union", 4, 2), ("find", 2)))
    assert FAMILY.canonical(six(("union", 0, 1), ("find", 1))) != FAMILY.canonical(six(("union", 4, 2), ("find", 4)))
