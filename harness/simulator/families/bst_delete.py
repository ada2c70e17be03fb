"""Binary search tree: deletions from a tree given by its insertion order; asked for the final tree level by level."""

from __future__ import annotations

from random import Random

from harness.simulator.binary_tree import Node, build, level_order, shape
from harness.simulator.core import Family, Problem, Step, Trace


class BstDelete(Family):
    name = "bst-delete"
    knowledge_point = "tree.bst.delete"
    bugs = (
        "bst-delete.predecessor",
        "bst-delete.right-child",
        "bst-delete.drops-subtree",
        "bst-delete.successor-kept",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + 6
        while True:
            keys = rng.sample(range(100), size)
            nodes = _nodes(build(keys))
            inner = [node.key for node in nodes[1:] if node.left or node.right]
            telling = [node.key for node in nodes if node.left and node.right and node.right.left]
            if not inner or not telling:
                continue
            first = rng.choice(telling if rng.random() < 0.7 else inner)
            rest = [key for key in keys if key != first]
            doomed = [first, *rng.sample(rest, (difficulty + 1) // 2 + (rng.random() < 0.5))]
            rng.shuffle(doomed)
            problem = Problem(
                self.name, tuple(("delete", key) for key in doomed), (("size", size), ("build", tuple(keys)))
            )
            answer = self.run(problem).answer
            if all(answer != tuple(keys[i : i + len(answer)]) for i in range(size)):
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        keys = problem.param("build")
        assert isinstance(keys, tuple)
        root = build(keys)
        steps = []
        for op in problem.ops:
            root = _remove(root, int(op[1]), bug)
            steps.append(Step(op, shape(root)))
        return Trace(tuple(steps), level_order(root))

    def canonical(self, problem: Problem) -> str:
        keys = problem.param("build")
        assert isinstance(keys, tuple)
        rank = {key: str(i) for i, key in enumerate(sorted(keys))}
        deleted = ",".join(rank[int(op[1])] for op in problem.ops)
        return f"{self.name}|{','.join(rank[key] for key in keys)}|{deleted}"


def _nodes(root: Node | None) -> list[Node]:
    return [] if root is None else [root, *_nodes(root.left), *_nodes(root.right)]


def _remove(node: Node | None, key: int, bug: str | None) -> Node | None:
    if node is None:
        return None
    if key != node.key:
        if key < node.key:
            node.left = _remove(node.left, key, bug)
        else:
            node.right = _remove(node.right, key, bug)
        return node
    if bug == "bst-delete.drops-subtree":
        return None
    if node.left is None or node.right is None:
        return node.right if node.left is None else node.left
    if bug == "bst-delete.predecessor":
        other = node.left
        while other.right is not None:
            other = other.right
        node.key, node.left = other.key, _remove(node.left, other.key, None)
    elif bug == "bst-delete.right-child":
        node.key, node.right = node.right.key, _remove(node.right, node.right.key, bug)
    else:
        other = node.right
        while other.left is not None:
            other = other.left
        node.key = other.key
        if bug != "bst-delete.successor-kept":
            node.right = _remove(node.right, other.key, None)
    return node
