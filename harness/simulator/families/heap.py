"""Binary heap in an array: inserts and extractions of the minimum or maximum; asked for the final array."""

from __future__ import annotations

from bisect import insort
from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class Heap(Family):
    name = "heap"
    knowledge_point = "tree.heap"
    bugs = ("heap.sift-up-once", "heap.shift-left", "heap.left-child", "heap.sorted-array")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        while True:
            problem, keys = _draw(rng, 2 * difficulty + 4, difficulty)
            right = self.run(problem)
            sign = -1 if ("extract-max",) in problem.ops else 1
            full = [sign * key for key in right.steps[4].state if key is not None]
            size = len(right.answer)
            if full != sorted(full) and all(right.answer != keys[i : i + size] for i in range(len(keys))):
                return problem

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        sign = -1 if ("extract-max",) in problem.ops else 1
        heap: list[int] = []
        steps = []
        for op in problem.ops:
            if op[0] == "insert":
                if bug == "heap.sorted-array":
                    insort(heap, sign * int(op[1]))
                else:
                    _insert(heap, sign * int(op[1]), bug)
            elif heap:
                _extract(heap, bug)
            steps.append(Step(op, tuple([sign * key for key in heap])))
        return Trace(tuple(steps), tuple([sign * key for key in heap]))


def _draw(rng: Random, inserts: int, extracts: int) -> tuple[Problem, tuple[int, ...]]:
    extract = rng.choice(("extract-min", "extract-max"))
    keys = rng.sample(range(100), inserts)
    if rng.random() < 0.5:
        i = rng.randrange(3, inserts)
        j = keys.index(min(keys) if extract == "extract-min" else max(keys))
        keys[i], keys[j] = keys[j], keys[i]
    early = rng.randrange(extracts)
    ops: list[Op] = [("insert", key) for key in keys]
    for _ in range(early):
        ops.insert(rng.randint(5, len(ops)), (extract,))
    ops += [(extract,)] * (extracts - early)
    return Problem(Heap.name, tuple(ops)), tuple(keys)


def _insert(heap: list[int], key: int, bug: str | None) -> None:
    i = len(heap)
    heap.append(key)
    while i and key < heap[(i - 1) // 2]:
        heap[i], heap[(i - 1) // 2] = heap[(i - 1) // 2], key
        i = (i - 1) // 2
        if bug == "heap.sift-up-once":
            break


def _extract(heap: list[int], bug: str | None) -> None:
    if bug in ("heap.shift-left", "heap.sorted-array"):
        del heap[0]
        return
    key = heap.pop()
    if not heap:
        return
    heap[0] = key
    i, child = 0, 1
    while child < len(heap):
        if child + 1 < len(heap) and heap[child + 1] < heap[child] and bug != "heap.left-child":
            child += 1
        if key <= heap[child]:
            break
        heap[i], heap[child] = heap[child], key
        i, child = child, 2 * child + 1
