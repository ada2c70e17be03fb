"""Dynamic array that doubles when full; asked for the contents, then the capacity and the number of moved elements.

The state of a step is the slots from index 0.
"""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class DynamicArray(Family):
    name = "dynamic-array"
    knowledge_point = "array.dynamic"
    bugs = (
        "dynamic-array.grow-by-one",
        "dynamic-array.grow-early",
        "dynamic-array.insert-overwrites",
        "dynamic-array.delete-leaves-gap",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        capacity = 2 if difficulty == 1 else rng.randint(2, 3)
        kinds = ["append"] * (difficulty + rng.randint(-1, 0)) + ["insert"] * rng.randint(1, (difficulty + 3) // 2)
        kinds += ["delete"] * rng.randint(1, (difficulty + 1) // 2)
        rng.shuffle(kinds)
        kinds[:0] = ["append", "append"]
        values = iter(rng.sample(range(100), len(kinds)))
        ops: list[Op] = []
        size = 0
        for kind in kinds:
            if kind == "append" or size < 2:
                ops.append(("append", next(values)))
                size += 1
            elif kind == "insert":
                ops.append((kind, rng.randrange(size), next(values)))
                size += 1
            else:
                ops.append((kind, rng.randrange(size - 1)))
                size -= 1
        return Problem(self.name, tuple(ops), (("capacity", capacity),))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        slots: list[int | None] = []
        capacity = problem.params[0][1]
        assert isinstance(capacity, int)
        moved = 0
        steps = []
        for op in problem.ops:
            index = len(slots) if op[0] == "append" else int(op[1])
            if op[0] == "delete":
                if index < len(slots):
                    if bug == "dynamic-array.delete-leaves-gap":
                        slots[index] = None
                    else:
                        del slots[index]
                        moved += len(slots) - index
            elif bug == "dynamic-array.insert-overwrites" and index < len(slots):
                slots[index] = int(op[-1])
            else:
                if len(slots) == capacity:
                    moved += capacity - slots.count(None)
                    capacity += 1 if bug == "dynamic-array.grow-by-one" else capacity
                moved += sum(value is not None for value in slots[index:])
                slots.insert(index, int(op[-1]))
                if bug == "dynamic-array.grow-early" and len(slots) == capacity:
                    moved += capacity
                    capacity *= 2
            steps.append(Step(op, (*slots, *[None] * (capacity - len(slots)))))
        return Trace(tuple(steps), (*(v for v in slots if v is not None), capacity, moved))

    def canonical(self, problem: Problem) -> str:
        values = sorted(int(op[-1]) for op in problem.ops if op[0] != "delete")
        rank = {value: i for i, value in enumerate(values)}
        ops = ";".join(
            ",".join([str(a) for a in (op if op[0] == "delete" else (*op[:-1], rank[int(op[-1])]))])
            for op in problem.ops
        )
        return f"{self.name}|{problem.params}|{ops}"
