"""Queue: enqueues, dequeues and peeks; asked for the returned values in order, then the contents from rear to front.

The state of a step is the value that the operation returned (None for an enqueue), then the queue from front to rear.
"""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class Queue(Family):
    name = "queue"
    knowledge_point = "queue.operations"
    bugs = ("queue.dequeue-rear", "queue.dequeue-keeps", "queue.enqueue-front", "queue.peek-removes")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        enqueues = difficulty + 3
        others = ["dequeue"] * rng.randint(1, difficulty + 1) + ["peek"] * rng.randint(1, 1 + difficulty // 2)
        rng.shuffle(others)
        values = iter(rng.sample(range(100), enqueues))
        ops: list[Op] = []
        size = 0
        while enqueues or others:
            if enqueues and (size == 0 or not others or rng.random() < enqueues / (enqueues + len(others))):
                ops.append(("enqueue", next(values)))
                enqueues, size = enqueues - 1, size + 1
            else:
                ops.append((others.pop(),))
                size -= ops[-1][0] == "dequeue"
        return Problem(self.name, tuple(ops))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        queue: list[int] = []
        returned: list[int] = []
        steps = []
        end = -1 if bug == "queue.dequeue-rear" else 0
        for op in problem.ops:
            out = None
            if op[0] == "enqueue":
                queue.insert(0 if bug == "queue.enqueue-front" else len(queue), int(op[1]))
            elif queue:
                out = queue[end]
                returned.append(out)
                if bug == "queue.peek-removes" if op[0] == "peek" else bug != "queue.dequeue-keeps":
                    del queue[end]
            steps.append(Step(op, (out, *queue)))
        return Trace(tuple(steps), (*returned, *reversed(queue)))
