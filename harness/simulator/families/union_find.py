"""Union-find with path compression: unions hang the second root under the first; asked for the parent array."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class UnionFind(Family):
    name = "union-find"
    knowledge_point = "set.union-find"
    bugs = (
        "union-find.moves-node",
        "union-find.attaches-to-node",
        "union-find.reversed",
        "union-find.no-compression",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 2 * difficulty + 4
        while True:
            ops: list[Op] = []
            parent = list(range(size))
            while len(ops) < size - 2:
                a, b = rng.randrange(size), rng.randrange(size)
                root_a, root_b = _root(parent, a), _root(parent, b)
                if root_a != root_b:
                    ops.append(("union", a, b))
                    parent[root_b] = root_a
            deep = [i for i in range(size) if parent[parent[i]] != parent[i]]
            if not deep:
                continue
            for i in rng.sample(deep, min(len(deep), 1 + (difficulty == 3))):
                ops.insert(len(ops) - rng.randint(0, difficulty - 1), ("find", i))
            return Problem(self.name, tuple(ops), (("size", size), ("last", size - 1)))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        size = problem.param("size")
        assert isinstance(size, int)
        parent = list(range(size))
        steps = []
        for op in problem.ops:
            a = int(op[1])
            root_a = _find(parent, a, bug)
            if op[0] == "union":
                b = int(op[2])
                root_b = _find(parent, b, bug)
                if root_a == root_b:
                    pass
                elif bug == "union-find.moves-node":
                    parent[b] = root_a
                elif bug == "union-find.attaches-to-node":
                    parent[root_b] = a
                elif bug == "union-find.reversed":
                    parent[root_a] = root_b
                else:
                    parent[root_b] = root_a
            steps.append(Step(op, tuple(parent)))
        return Trace(tuple(steps), tuple(parent))

    def canonical(self, problem: Problem) -> str:
        label: dict[int, str] = {}
        ops = ";".join(
            ",".join([str(op[0]), *(label.setdefault(int(arg), str(len(label))) for arg in op[1:])])
            for op in problem.ops
        )
        return f"{self.name}|{problem.param('size')}|{ops}"


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        i = parent[i]
    return i


def _find(parent: list[int], i: int, bug: str | None) -> int:
    root = _root(parent, i)
    if bug != "union-find.no-compression":
        while parent[i] != root:
            parent[i], i = root, parent[i]
    return root
