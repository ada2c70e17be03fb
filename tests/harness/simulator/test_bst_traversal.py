"""The right run agrees with an independent one; each bug matches a run worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.simulator.core import Problem, explain
from harness.simulator.families.bst_traversal import BstTraversal

FAMILY = BstTraversal()


def problems(count: int, seed: int) -> list[Problem]:
    rng = Random(seed)
    return [FAMILY.sample(rng, 1 + i % 3) for i in range(count)]


def walk(order: str, keys: list[int]) -> list[int]:
    if not keys:
        return []
    left = walk(order, [key for key in keys if key < keys[0]])
    right = walk(order, [key for key in keys if key > keys[0]])
    return {
        "preorder": keys[:1] + left + right,
        "inorder": left + keys[:1] + right,
        "postorder": left + right + keys[:1],
    }[order]


def independent(problem: Problem) -> tuple[int, ...]:
    """The first key inserted is the root; the smaller and the larger ones make up its subtrees."""
    keys = problem.param("build")
    assert isinstance(keys, tuple)
    return tuple(walk(str(problem.ops[0][0]), list(keys)))


def test_right_run_agrees_with_an_independent_one() -> None:
    for problem in problems(10_000, 1):
        assert FAMILY.run(problem).answer == independent(problem), problem


@pytest.mark.parametrize("bug", FAMILY.bugs)
def test_every_bug_visits_each_key_once(bug: str) -> None:
    for problem in problems(1_000, 2):
        assert sorted(FAMILY.run(problem, bug).answer) == sorted(FAMILY.run(problem).answer)


def walked(order: str) -> Problem:
    return Problem("bst-traversal", ((order,),), (("size", 7), ("build", (50, 30, 70, 20, 40, 35, 60))))


def test_right_run_by_hand() -> None:
    assert FAMILY.run(walked("preorder")).answer == (50, 30, 20, 40, 35, 70, 60)
    assert FAMILY.run(walked("inorder")).answer == (20, 30, 35, 40, 50, 60, 70)
    assert FAMILY.run(walked("postorder")).answer == (20, 35, 40, 30, 60, 70, 50)


@pytest.mark.parametrize(
    ("bug", "order", "answer", "first_wrong"),
    [
        ("bst-traversal.root-timing", "preorder", (20, 30, 35, 40, 50, 60, 70), 1),
        ("bst-traversal.right-first", "postorder", (60, 70, 35, 40, 20, 30, 50), 1),
        ("bst-traversal.level-order", "preorder", (50, 30, 70, 20, 40, 60, 35), 3),
        ("bst-traversal.rule-only-at-root", "inorder", (30, 20, 40, 35, 50, 70, 60), 1),
    ],
)
def test_bug_by_hand(bug: str, order: str, answer: tuple[int, ...], first_wrong: int) -> None:
    facts = explain(FAMILY, walked(order), bug)
    assert facts is not None
    assert (facts.student.answer, facts.first_wrong) == (answer, first_wrong)


def test_canonical_ignores_the_literal_keys() -> None:
    shifted = Problem("bst-traversal", (("inorder",),), (("size", 7), ("build", (51, 31, 71, 21, 41, 36, 61))))
    assert FAMILY.canonical(walked("inorder")) == FAMILY.canonical(shifted)
    assert FAMILY.canonical(walked("preorder")) != FAMILY.canonical(shifted)
