"""What the graph families share: adjacency lists, random connected graphs, and the structure of a graph exercise."""

from __future__ import annotations

from random import Random

from harness.simulator.core import Op, Problem


def vertices(problem: Problem) -> list[int]:
    """The vertices of the listed edges, in ascending order."""
    return sorted({int(end) for op in problem.ops for end in op[1:3]})


def adjacency(problem: Problem, directed: bool) -> dict[int, list[int]]:
    """The neighbours (or successors) of every vertex, in ascending order."""
    neighbours: dict[int, list[int]] = {vertex: [] for op in problem.ops for vertex in (int(op[1]), int(op[2]))}
    for op in problem.ops:
        a, b = int(op[1]), int(op[2])
        neighbours[a].append(b)
        if not directed:
            neighbours[b].append(a)
    for ends in neighbours.values():
        ends.sort()
    return neighbours


def connected(rng: Random, family: str, size: int, extra: int, reach: int) -> Problem:
    """A random connected undirected graph: a tree whose vertices hang on one of the `reach` vertices before them,
    and `extra` edges more."""
    labels = rng.sample(range(1, 21), size)
    pairs = {(rng.randrange(max(0, i - reach), i), i) for i in range(1, size)}
    while len(pairs) < size - 1 + extra:
        a, b = sorted(rng.sample(range(size), 2))
        pairs.add((a, b))
    edges: list[Op] = [("edge", *sorted((labels[a], labels[b]))) for a, b in pairs]
    rng.shuffle(edges)
    return Problem(family, tuple(edges), (("start", labels[0]),))


def canonical(problem: Problem, directed: bool) -> str:
    """The edges between the ranks of the vertices, whatever the order of the listing; weights as they are."""
    rank = {vertex: i for i, vertex in enumerate(vertices(problem))}
    edges = []
    for op in problem.ops:
        a, b = rank[int(op[1])], rank[int(op[2])]
        edges.append((a, b, *op[3:]) if directed or a < b else (b, a, *op[3:]))
    params = tuple((name, rank[value] if isinstance(value, int) else value) for name, value in problem.params)
    return f"{problem.family}|{params}|{';'.join(','.join(map(str, edge)) for edge in sorted(edges, key=str))}"
