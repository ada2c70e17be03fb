"""Circular queue in an array that keeps one slot empty; asked for front, rear, then the contents from the front.

The state of a step is front, rear, then the slots from 0.
"""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class CircularQueue(Family):
    name = "circular-queue"
    knowledge_point = "queue.circular"
    bugs = (
        "circular-queue.no-wrap",
        "circular-queue.shift",
        "circular-queue.uses-all-slots",
        "circular-queue.overwrites",
    )

    def sample(self, rng: Random, difficulty: int) -> Problem:
        capacity = difficulty + 3
        enqueues = capacity + rng.randint(0, difficulty)
        dequeues = rng.randint(1, difficulty + 1)
        refusals = int(rng.random() < 0.7)
        values = iter(rng.sample(range(100), enqueues))
        ops: list[Op] = []
        size = 0
        while enqueues:
            full = size == capacity - 1
            chance = dequeues / (enqueues + dequeues) / (2 if refusals else 1)
            if size and dequeues and ((full and not refusals) or rng.random() < chance):
                ops.append(("dequeue",))
                dequeues, size = dequeues - 1, size - 1
                continue
            if full and not refusals:
                break
            ops.append(("enqueue", next(values)))
            enqueues, size, refusals = enqueues - 1, size + (not full), refusals - full
        ops.extend([("dequeue",)] * min(dequeues, size - 1))
        return Problem(self.name, tuple(ops), (("capacity", capacity), ("last", capacity - 1)))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        capacity = problem.params[0][1]
        assert isinstance(capacity, int)
        slots: list[int | None] = [None] * capacity
        front = rear = size = 0
        room = capacity if bug == "circular-queue.uses-all-slots" else capacity - 1
        steps = []
        for op in problem.ops:
            if op[0] == "enqueue":
                if size == room and bug == "circular-queue.overwrites":
                    slots[front] = None
                    front, size = (front + 1) % capacity, size - 1
                if size < room and rear < capacity:
                    slots[rear] = int(op[1])
                    rear = rear + 1 if bug == "circular-queue.no-wrap" else (rear + 1) % capacity
                    size += 1
            elif size and bug == "circular-queue.shift":
                slots = [*slots[1:], None]
                rear, size = rear - 1, size - 1
            elif size:
                slots[front] = None
                front, size = (front + 1) % capacity, size - 1
            steps.append(Step(op, (front, rear, *slots)))
        contents = (slots[(front + i) % capacity] for i in range(size))
        return Trace(tuple(steps), (front, rear, *(value for value in contents if value is not None)))
