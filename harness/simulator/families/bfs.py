"""Breadth-first search of an undirected graph; asked for the visiting order. Step n is the n-th visited vertex."""

from __future__ import annotations

from collections import deque
from random import Random

from harness.simulator import graphs
from harness.simulator.core import Family, Problem, Step, Trace


class Bfs(Family):
    name = "bfs"
    knowledge_point = "graph.bfs"
    bugs = ("bfs.goes-deep", "bfs.late-mark", "bfs.sorts-level")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        return graphs.connected(rng, self.name, 4 + 2 * difficulty - (difficulty > 1), difficulty, 3)

    def canonical(self, problem: Problem) -> str:
        return graphs.canonical(problem, directed=False)

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        neighbours = graphs.adjacency(problem, directed=False)
        start = int(problem.params[0][1])  # type: ignore[arg-type]
        if bug == "bfs.goes-deep":
            order = self._deep(neighbours, start)
        elif bug == "bfs.sorts-level":
            order = self._levels(neighbours, start)
        else:
            order = self._queue(neighbours, start, late=bug == "bfs.late-mark")
        steps = tuple(Step(("visit", vertex), tuple(order[: i + 1])) for i, vertex in enumerate(order))
        return Trace(steps, tuple(order))

    @staticmethod
    def _queue(neighbours: dict[int, list[int]], start: int, late: bool) -> list[int]:
        """First come, first served. `late` marks a vertex when it is taken from the queue, not when it enters."""
        queue, marked = deque([start]), {start}
        order: list[int] = []
        while queue and len(order) < 3 * len(neighbours):
            vertex = queue.popleft()
            marked.add(vertex)
            order.append(vertex)
            for other in neighbours[vertex]:
                if other not in marked:
                    queue.append(other)
                    if not late:
                        marked.add(other)
        return order

    @staticmethod
    def _deep(neighbours: dict[int, list[int]], start: int) -> list[int]:
        """Follows one branch to its end before the next one."""
        stack, order = [start], dict[int, None]()
        while stack:
            vertex = stack.pop()
            if vertex not in order:
                order[vertex] = None
                stack.extend(reversed(neighbours[vertex]))
        return list(order)

    @staticmethod
    def _levels(neighbours: dict[int, list[int]], start: int) -> list[int]:
        """Visits every level in ascending order of its numbers."""
        level, order = [start], [start]
        while level:
            level = sorted({other for vertex in level for other in neighbours[vertex]} - set(order))
            order += level
        return order
