"""Binary search tree: keys inserted into an empty tree; asked for the final tree level by level, left to right."""

from __future__ import annotations

from random import Random

from harness.simulator.binary_tree import Node, add, shape
from harness.simulator.core import Family, Problem, Step, Trace


class BstInsert(Family):
    name = "bst-insert"
    knowledge_point = "tree.bst.insert"
    bugs = (
        "bst-insert.swapped-sides",
        "bst-insert.root-only",
        "bst-insert.insert-between",
        "bst-insert.heap-like",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + 4
        while True:
            keys = rng.sample(range(100), size)
            problem = Problem(self.name, tuple(("insert", key) for key in keys))
            if min(keys) < keys[0] < max(keys) and self.run(problem).answer != tuple(keys):
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        root: Node | None = None
        heap: list[int] = []
        state: tuple[int | None, ...] = ()
        steps = []
        for op in problem.ops:
            key = int(op[1])
            if bug == "bst-insert.heap-like":
                _sift_in(heap, key)
                state = tuple(heap)
            else:
                if root is None or bug is None:
                    root = add(root, key)
                else:
                    _add_with(bug, root, key)
                state = shape(root)
            steps.append(Step(op, state))
        return Trace(tuple(steps), tuple([key for key in state if key is not None]))


def _add_with(bug: str, root: Node, key: int) -> None:
    node = root
    while True:
        left = key < (root.key if bug == "bst-insert.root-only" else node.key)
        if bug == "bst-insert.swapped-sides":
            left = not left
        child = node.left if left else node.right
        if child is None or (bug == "bst-insert.insert-between" and (key > child.key if left else key < child.key)):
            break
        node = child
    new = Node(key)
    if left:
        node.left, new.left = new, child
    else:
        node.right, new.right = new, child


def _sift_in(heap: list[int], key: int) -> None:
    i = len(heap)
    heap.append(key)
    while i and heap[i] > heap[(i - 1) // 2]:
        heap[i], heap[(i - 1) // 2] = heap[(i - 1) // 2], heap[i]
        i = (i - 1) // 2
