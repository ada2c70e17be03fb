"""Hash table with separate chaining, insertion at the head; asked for the keys of the table, chain by chain."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class HashChaining(Family):
    name = "hash-chaining"
    knowledge_point = "hash.separate-chaining"
    bugs = ("hash-chaining.overwrite", "hash-chaining.moves-on", "hash-chaining.delete-cuts")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 3 + difficulty
        homes = rng.sample(range(size), size - 1)
        crowded = homes[:difficulty]
        homes += [rng.choice(crowded) for _ in range(1 + difficulty)]
        homes.append(crowded[0])
        rng.shuffle(homes)
        keys: list[int] = []
        for home in homes:
            key = home + size * rng.randrange(99 // size)
            while key in keys:
                key = home + size * rng.randrange(99 // size)
            keys.append(key)
        ops: list[Op] = [("insert", key) for key in keys]
        gone = [key for key in keys if key % size in crowded]
        for key in rng.sample(gone, (1, 1, 2)[difficulty - 1]):
            ops.insert(rng.randint(max(ops.index(("insert", key)) + 1, len(keys) - 2), len(ops)), ("delete", key))
        return Problem(self.name, tuple(ops), (("size", size),))

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
        table: list[list[int]] = [[] for _ in range(size)]
        steps = []
        for op in problem.ops:
            key = int(op[1])
            home = key % size
            if op[0] == "insert":
                if bug == "hash-chaining.overwrite":
                    table[home].clear()
                elif bug == "hash-chaining.moves-on":
                    home = next(((home + i) % size for i in range(size) if not table[(home + i) % size]), home)
                table[home].insert(0, key)
            else:
                chain = next((chain for chain in table if key in chain), [])
                if bug == "hash-chaining.delete-cuts" and key in chain:
                    del chain[chain.index(key) :]
                elif key in chain:
                    chain.remove(key)
            steps.append(Step(op, tuple(item for chain in table for item in (*chain, None))))
        return Trace(tuple(steps), tuple(key for chain in table for key in chain))
