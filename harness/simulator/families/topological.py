"""Topological sort by Kahn's algorithm, smallest number first; asked for the order. Step n is the n-th output."""

from __future__ import annotations

from random import Random

from harness.simulator import graphs
from harness.simulator.core import Family, Op, Problem, Step, Trace


class Topological(Family):
    name = "topological"
    knowledge_point = "graph.topological-sort"
    bugs = ("topological.any-predecessor", "topological.reversed", "topological.rounds")

    def sample(self, rng: Random, difficulty: int) -> Problem:
        size = 4 + difficulty
        labels = rng.sample(range(1, 21), size)
        pairs = {(rng.randrange(max(1, i - 3), i) if i > 2 else 0, i) for i in range(1, size)}
        while len(pairs) < size + difficulty:
            a, b = sorted(rng.sample(range(size), 2))
            pairs.add((a, b))
        edges: list[Op] = [("edge", labels[a], labels[b]) for a, b in pairs]
        rng.shuffle(edges)
        return Problem(self.name, tuple(edges))

    def canonical(self, problem: Problem) -> str:
        return graphs.canonical(problem, directed=True)

    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        following = graphs.adjacency(problem, directed=True)
        if bug == "topological.reversed":
            backward: dict[int, list[int]] = {vertex: [] for vertex in following}
            for vertex, ends in following.items():
                for end in ends:
                    backward[end].append(vertex)
            following = backward
        waiting = dict.fromkeys(following, 0)
        for ends in following.values():
            for end in ends:
                waiting[end] += 1
        free = sorted(vertex for vertex, count in waiting.items() if not count)
        order: list[int] = []
        coming: list[int] = []
        while free:
            vertex = free.pop(0)
            order.append(vertex)
            for end in following[vertex]:
                waiting[end] = 0 if bug == "topological.any-predecessor" else waiting[end] - 1
                if not waiting[end] and end not in order and end not in free:
                    coming.append(end)
            if bug != "topological.rounds" or not free:
                free = sorted([*free, *coming])
                coming = []
        steps = tuple(Step(("output", vertex), tuple(order[: i + 1])) for i, vertex in enumerate(order))
        return Trace(steps, tuple(order))
