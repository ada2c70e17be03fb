"""Singly linked list: insertions after a node and deletions by position; asked for the values from head to tail."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class LinkedList(Family):
    name = "linked-list"
    knowledge_point = "linked-list.operations"
    bugs = (
        "linked-list.insert-loses-rest",
        "linked-list.insert-before",
        "linked-list.delete-loses-rest",
        "linked-list.counts-from-zero",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        length, inserts = difficulty + 3, rng.randint(1 + difficulty // 2, 1 + difficulty)
        deletes = rng.randint(1, 1 + difficulty // 2)
        values = rng.sample(range(100), length + inserts)
        start, fresh = tuple(values[:length]), iter(values[length:])
        kinds = ["insert"] * inserts + ["delete"] * deletes
        rng.shuffle(kinds)
        nodes = list(start)
        ops: list[Op] = []
        for kind in kinds:
            index = max(rng.randrange(len(nodes)), rng.randrange(len(nodes)))
            if kind == "insert":
                value = next(fresh)
                ops.append((kind, nodes[index], value))
                nodes.insert(index + 1, value)
            else:
                index = min(index, len(nodes) - 2 + (rng.random() < 0.2))
                while nodes[index] not in start:
                    index = rng.randrange(len(nodes))
                ops.append((kind, index + 1))
                del nodes[index]
        return Problem(self.name, tuple(ops), (("list", start),))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        start = problem.params[0][1]
        assert isinstance(start, tuple)
        nodes = list(start)
        steps = []
        for op in problem.ops:
            if op[0] == "insert":
                if op[1] in nodes:
                    index = nodes.index(int(op[1])) + (bug != "linked-list.insert-before")
                    nodes.insert(index, int(op[2]))
                    if bug == "linked-list.insert-loses-rest":
                        del nodes[index + 1 :]
            else:
                index = int(op[1]) - (bug != "linked-list.counts-from-zero")
                if bug == "linked-list.delete-loses-rest":
                    del nodes[index:]
                else:
                    del nodes[index : index + 1]
            steps.append(Step(op, tuple(nodes)))
        return Trace(tuple(steps), tuple(nodes))

    def canonical(self, problem: Problem) -> str:
        start = problem.params[0][1]
        assert isinstance(start, tuple)
        values = sorted({*start, *(int(a) for op in problem.ops if op[0] == "insert" for a in op[1:])})
        rank = {value: i for i, value in enumerate(values)}
        ops = ";".join(
            f"insert,{rank[int(op[1])]},{rank[int(op[2])]}" if op[0] == "insert" else f"delete,{op[1]}"
            for op in problem.ops
        )
        return f"{self.name}|{','.join(str(rank[v]) for v in start)}|{ops}"
