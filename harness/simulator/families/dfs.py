"""Depth-first search of an undirected graph; asked for the visiting order. Step n is the n-th visited vertex."""

from __future__ import annotations

from random import Random

from harness.simulator import graphs
from harness.simulator.core import Family, Problem, Step, Trace


class Dfs(Family):
    name = "dfs"
    knowledge_point = "graph.dfs"
    bugs = ("dfs.level-by-level", "dfs.no-backtrack", "dfs.back-to-start")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        return graphs.connected(rng, self.name, 4 + 2 * difficulty - (difficulty > 1), difficulty - 1, 3)

    def canonical(self, problem: Problem) -> str:
        return graphs.canonical(problem, directed=False)

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        neighbours = graphs.adjacency(problem, directed=False)
        start = int(problem.params[0][1])  # type: ignore[arg-type]
        order = [start]
        path = [start]
        while path:
            at = 0 if bug == "dfs.level-by-level" else -1
            following = next((other for other in neighbours[path[at]] if other not in order), None)
            if following is not None:
                order.append(following)
                path.append(following)
            elif bug == "dfs.no-backtrack":
                break
            elif bug == "dfs.back-to-start" and len(path) > 1:
                path = self._restart(neighbours, order)
            else:
                del path[at]
        steps = tuple(Step(("visit", vertex), tuple(order[: i + 1])) for i, vertex in enumerate(order))
        return Trace(steps, tuple(order))

    @staticmethod
    def _restart(neighbours: dict[int, list[int]], order: list[int]) -> list[int]:
        """The first visited vertex, beginning with the start, that still has an unvisited neighbour."""
        seen = set(order)
        return next(([vertex] for vertex in order if not seen.issuperset(neighbours[vertex])), [])
