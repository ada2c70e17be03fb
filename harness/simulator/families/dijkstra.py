"""Dijkstra's algorithm on a weighted digraph; asked for the final distances. Step n settles the n-th vertex."""

from __future__ import annotations

from random import Random

from harness.simulator import graphs
from harness.simulator.core import Family, Op, Problem, Step, Trace


class Dijkstra(Family):
    name = "dijkstra"
    knowledge_point = "graph.shortest-path"
    bugs = ("dijkstra.edge-only", "dijkstra.keeps-first", "dijkstra.latest-wins")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 3 + difficulty
        labels = [1, *rng.sample(range(2, size + 1), size - 1)]
        pairs = {(max(0, i - rng.randint(1, 2)), i) for i in range(1, size)}
        while len(pairs) < size + difficulty:
            a, b = sorted(rng.sample(range(size), 2))
            pairs.add((a, b))
        edges: list[Op] = [
            ("edge", labels[a], labels[b], rng.randint(1, 6) + (b - a - 1) * rng.randint(2, 7)) for a, b in pairs
        ]
        rng.shuffle(edges)
        return Problem(self.name, tuple(edges), (("start", 1),))

    def canonical(self, problem: Problem) -> str:
        return graphs.canonical(problem, directed=True)

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        names = graphs.vertices(problem)
        edges: dict[int, list[tuple[int, int]]] = {vertex: [] for vertex in names}
        for op in problem.ops:
            edges[int(op[1])].append((int(op[2]), int(op[3])))
        distance = {int(problem.params[0][1]): 0}  # type: ignore[arg-type]
        settled: set[int] = set()
        steps = []
        while open_ := [(d, vertex) for vertex, d in distance.items() if vertex not in settled]:
            vertex = min(open_)[1]
            settled.add(vertex)
            for end, weight in edges[vertex]:
                if end in settled:
                    continue
                through = weight if bug == "dijkstra.edge-only" else distance[vertex] + weight
                known = distance.get(end)
                if (
                    known is None
                    or bug == "dijkstra.latest-wins"
                    or (through < known and bug != "dijkstra.keeps-first")
                ):
                    distance[end] = through
            steps.append(Step(("settle", vertex), tuple(map(distance.get, names))))
        return Trace(tuple(steps), tuple(distance[vertex] for vertex in names if vertex in distance))
