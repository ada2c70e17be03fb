"""Binary search tree given by its insertion order; asked for its pre-, in- or post-order. The steps are the visits."""

from __future__ import annotations

from random import Random

from harness.simulator.binary_tree import Node, build, level_order
from harness.simulator.core import Family, Problem, Step, Trace

ORDERS = ("preorder", "inorder", "postorder")
ROOT_AT_WRONG_TIME = {"preorder": "inorder", "inorder": "preorder", "postorder": "inorder"}


class BstTraversal(Family):
    name = "bst-traversal"
    knowledge_point = "tree.traversal"
    bugs = (
        "bst-traversal.root-timing",
        "bst-traversal.right-first",
        "bst-traversal.level-order",
        "bst-traversal.rule-only-at-root",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + 4
        while True:
            keys = tuple(rng.sample(range(100), size))
            problem = Problem(self.name, ((rng.choice(ORDERS),),), (("size", size), ("build", keys)))
            if min(keys) < keys[0] < max(keys) and self.run(problem).answer != keys:
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        keys = problem.param("build")
        assert isinstance(keys, tuple)
        root = build(keys)
        order = str(problem.ops[0][0])
        if bug == "bst-traversal.level-order":
            visited = level_order(root)
        elif bug == "bst-traversal.rule-only-at-root" and root is not None:
            visited = _around(order, root.key, level_order(root.left), level_order(root.right))
        else:
            order = ROOT_AT_WRONG_TIME[order] if bug == "bst-traversal.root-timing" else order
            visited = _visits(order, root, bug == "bst-traversal.right-first")
        steps = tuple([Step(("visit", key), visited[: i + 1]) for i, key in enumerate(visited)])
        return Trace(steps, visited)

    def canonical(self, problem: Problem) -> str:
        keys = problem.param("build")
        assert isinstance(keys, tuple)
        rank = {key: str(i) for i, key in enumerate(sorted(keys))}
        return f"{self.name}|{problem.ops[0][0]}|{','.join(rank[key] for key in keys)}"


def _visits(order: str, node: Node | None, right_first: bool) -> tuple[int, ...]:
    if node is None:
        return ()
    first, second = (node.right, node.left) if right_first else (node.left, node.right)
    return _around(order, node.key, _visits(order, first, right_first), _visits(order, second, right_first))


def _around(order: str, key: int, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    if order == "preorder":
        return (key, *first, *second)
    if order == "inorder":
        return (*first, key, *second)
    return (*first, *second, key)
