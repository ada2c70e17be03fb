"""Stack: pushes and pops; asked for the popped values in order, then the contents from bottom to top."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Family, Op, Problem, Step, Trace


class Stack(Family):
    name = "stack"
    knowledge_point = "stack.operations"
    bugs = ("stack.pop-bottom", "stack.pop-keeps", "stack.push-replaces")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        pushes, pops = difficulty + 3, rng.randint(1 + (rng.random() < 0.8), difficulty + 1)
        values = rng.sample(range(100), pushes)
        ops: list[Op] = []
        stack: list[int] = []
        popped: list[int] = []
        while len(popped) < pops or len(popped) + len(stack) < pushes:
            left = pushes - len(popped) - len(stack)
            chance = left / (left + pops - len(popped)) if stack and ops[-1][0] == "push" else 0.9
            if left and (not stack or len(popped) == pops or rng.random() < chance):
                stack.append(values[pushes - left])
                ops.append(("push", stack[-1]))
            else:
                popped.append(stack.pop())
                ops.append(("pop",))
        return self.sample(rng, difficulty) if popped + stack == values else Problem(self.name, tuple(ops))

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        stack: list[int] = []
        popped: list[int] = []
        steps = []
        for op in problem.ops:
            if op[0] == "push":
                if bug == "stack.push-replaces" and stack:
                    stack.pop()
                stack.append(int(op[1]))
            elif stack:
                popped.append(stack[0] if bug == "stack.pop-bottom" else stack[-1])
                if bug != "stack.pop-keeps":
                    del stack[0 if bug == "stack.pop-bottom" else -1]
            steps.append(Step(op, tuple(stack)))
        return Trace(tuple(steps), (*popped, *stack))
