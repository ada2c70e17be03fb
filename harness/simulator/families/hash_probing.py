"""Hash table with linear probing and deletion marks; asked for the slot at which every insert and search ends."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace

DELETED = -1


class HashProbing(Family):
    name = "hash-probing"
    knowledge_point = "hash.linear-probing"
    bugs = (
        "hash-probing.overwrite",
        "hash-probing.backward",
        "hash-probing.first-free",
        "hash-probing.stops-at-deleted",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 3 + 2 * difficulty + 2 * rng.randrange(2)
        base = rng.randrange(size)
        keys: list[int] = []
        while len(keys) < 2 + difficulty:
            key = (base + rng.choice((0, 0, 0, 1, 2))) % size + size * rng.randrange(99 // size)
            if key not in keys:
                keys.append(key)
        first = keys[: 2 + difficulty - (difficulty > 1)]
        ops: list[Op] = [("insert", key) for key in first]
        gone = first.pop(rng.randrange(len(first) - 1))
        ops.append(("delete", gone))
        later: list[Op] = [("search", key) for key in rng.sample([*first[1:], gone], min(difficulty, len(first)))]
        later += [("insert", key) for key in keys[len(first) + 1 :]]
        rng.shuffle(later)
        return Problem(self.name, (*ops, *later), (("size", size),))

    def canonical(self, problem: Problem) -> str:
        size = int(problem.params[0][1])  # type: ignore[arg-type]
        number: dict[int, int] = {}
        parts = []
        for op in problem.ops:
            key = int(op[1])
            parts.append(f"{op[0]},{number.setdefault(key, len(number))},{key % size}")
        return f"{self.name}|{size}|{';'.join(parts)}"

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        size = int(problem.params[0][1])  # type: ignore[arg-type]
        table: list[int | None] = [None] * size
        answer: list[int] = []
        steps = []
        for op in problem.ops:
            key = int(op[1])
            order = self._order(key % size, size, bug)
            if op[0] == "insert":
                slot = next((i for i in order if table[i] in (None, DELETED)), order[-1])
                table[slot] = key
            else:
                ends = (key, None, DELETED) if bug == "hash-probing.stops-at-deleted" else (key, None)
                slot = next((i for i in order if table[i] in ends), order[-1])
                if op[0] == "delete" and table[slot] == key:
                    table[slot] = DELETED
            if op[0] != "delete":
                answer.append(slot)
            steps.append(Step(op, (*(None if key == DELETED else key for key in table), slot)))
        return Trace(tuple(steps), tuple(answer))

    @staticmethod
    def _order(home: int, size: int, bug: str | None) -> list[int]:
        """The slots that are looked at, in order."""
        if bug == "hash-probing.overwrite":
            return [home]
        if bug == "hash-probing.first-free":
            return [home, *(i for i in range(size) if i != home)]
        step = -1 if bug == "hash-probing.backward" else 1
        return [(home + step * i) % size for i in range(size)]
