"""The right run agrees with an independent one; each bug matches a run worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.bst_delete import BstDelete

FAMILY = BstDelete()


def problems(count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILY.sample(rng, 1 + i % 3) for i in range(count)]


Tree = tuple["Tree", int, "Tree"] | None


def plant(keys: list[int]) -> Tree:
    if not keys:
        return None
    root = keys[0]
    return plant([key for key in keys if key < root]), root, plant([key for key in keys if key > root])


def without(tree: Tree, key: int) -> Tree:
    assert tree is not None
    left, root, right = tree
    if key < root:
        return without(left, key), root, right
    if key > root:
        return left, root, without(right, key)
    if left is None:
        return right
    if right is None:
        return left
    successor = min(root for _, root in by_depth(right, 0))
    return left, successor, without(right, successor)


def by_depth(tree: Tree, depth: int) -> list[tuple[int, int]]:
    if tree is None:
        return []
    return [(depth, tree[1]), *by_depth(tree[0], depth + 1), *by_depth(tree[2], depth + 1)]


def independent(problem: Problem) -> tuple[int, ...]:
    """Immutable trees; within a level, sorted order is the order from left to right."""
    keys = problem.param("build")
    assert isinstance(keys, tuple)
    tree = plant(list(keys))
    for op in problem.ops:
        tree = without(tree, int(op[1]))
    return tuple(key for _, key in sorted(by_depth(tree, 0)))


def test_right_run_agrees_with_an_independent_one() -> None:
    for problem in problems(10_000, 1):
        assert FAMILY.run(problem).answer == independent(problem), problem


def deletions(*keys: int) -> Problem:
    build = (50, 30, 70, 20, 40, 60, 80, 65)
    return Problem("bst-delete", tuple(("delete", key) for key in keys), (("size", 8), ("build", build)))


def test_right_run_by_hand() -> None:
    assert FAMILY.run(deletions(20, 50, 70)).answer == (60, 30, 80, 40, 65)
    assert FAMILY.run(deletions(20, 60, 30)).answer == (50, 40, 70, 65, 80)


@pytest.mark.parametrize(
    ("bug", "problem", "answer", "first_wrong"),
    [
        ("bst-delete.predecessor", deletions(20, 50, 70), (40, 30, 65, 60, 80), 2),
        ("bst-delete.right-child", deletions(20, 50, 70), (80, 30, 60, 40, 65), 2),
        ("bst-delete.drops-subtree", deletions(20, 60, 30), (50, 70, 80), 2),
        ("bst-delete.successor-kept", deletions(20, 50, 70), (60, 30, 80, 40, 60, 80, 65), 2),
    ],
)
def test_bug_by_hand(bug: str, problem: Problem, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, problem, bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)


def test_canonical_ignores_the_literal_keys() -> None:
    shifted = Problem(
        "bst-delete", (("delete", 21), ("delete", 51)), (("size", 8), ("build", (51, 31, 71, 21, 41, 61, 81, 66)))
    )
    assert FAMILY.canonical(deletions(20, 50)) == FAMILY.canonical(shifted)
    assert FAMILY.canonical(deletions(50, 20)) != FAMILY.canonical(shifted)
