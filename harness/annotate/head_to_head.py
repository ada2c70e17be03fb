"""Who wins against whom: the votes of a comparison, or the scores of runs, as a table, strengths and pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from harness.annotate import votes
from harness.annotate.campaigns import load
from harness.annotate.store import Store
from harness.annotate.votes import Vote
from harness.board import Frame, rubric_values, voice
from harness.board import read as read_table
from harness.errors import UsageError
from harness.record import Run
from harness.stats.intervals import Interval, clustered_rate
from harness.stats.ranking import WinRate, bradley_terry_bootstrap, length_controlled_win_rate
from harness.types import Task

Table = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One judgement of two systems on one item: verdict x (first), y (second), tie or both_bad. `left`: who stood left."""

    first: str
    second: str
    verdict: str
    cluster: str
    length_gap: int
    left: str | None = None

    @property
    def score(self) -> float:
        return {"x": 1.0, "y": 0.0}.get(self.verdict, 0.5)


@dataclass(frozen=True, slots=True)
class Strength:
    """Bradley-Terry log-strength (mean 0 over systems) with its 95 % interval."""

    system: str
    value: float
    low: float
    high: float
    surely_beats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duel:
    """System `a` against `b`. `rate`: how often a wins, ties half; `controlled`: were both texts equally long.

    The interval of `rate` is clustered by problem; None with fewer than two.
    """

    a: str
    b: str
    n: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    rate: Interval | None
    controlled: WinRate | None

    @property
    def turned(self) -> Duel:
        """The same pair as `b` against `a`."""
        rate, controlled = self.rate, self.controlled
        return replace(
            self,
            a=self.b,
            b=self.a,
            wins=self.losses,
            losses=self.wins,
            rate=rate and Interval(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.n),
            controlled=controlled
            and WinRate(
                1 - controlled.value, 1 - controlled.high, 1 - controlled.low, controlled.n, 1 - controlled.raw
            ),
        )


@dataclass(frozen=True, slots=True)
class HeadToHead:
    """`wins[i][j]`: times system i beat system j; `ties` and `both_bad` are symmetric. `left`: how often the side that

    stood left won, of what was decided (people only); 0.5 is no bias. `strengths` is empty with fewer than two problems:
    resampling one says nothing of its spread.
    """

    systems: tuple[str, ...]
    wins: Table
    ties: Table
    both_bad: Table
    strengths: tuple[Strength, ...]
    duels: tuple[Duel, ...]
    left: Interval | None
    n: int


def by_people(store: Store, campaign: str) -> HeadToHead:
    """The counted votes of a comparison. Shows no vote of anyone, so it asks for no role."""
    with store.read() as tx:
        if load(tx, campaign).kind != "compare":
            raise UsageError(f"campaign '{campaign}' rates texts one by one: there is no head-to-head.")
        counted = [vote for vote in votes.read(tx, campaign) if vote.counted]
    return summary([_outcome(vote) for vote in counted])


def by_scores(task: Task, runs: Sequence[Run], metric: str = "gold_score") -> HeadToHead:
    """Each two runs on each item and sample that both answered: the higher value of a metric wins, equal ones tie.

    `NAME@judge/X` is the metric by a further judge, as the board calls it.
    """
    return summary(list(_scored(task, runs, metric)))


def _outcome(vote: Vote) -> Outcome:
    x, y = vote.unit.x, vote.unit.y
    assert y is not None
    left = y.system if vote.swapped else x.system
    verdict = vote.answers["verdict"]
    return Outcome(x.system, y.system, verdict, vote.unit.item.cluster, len(x.text) - len(y.text), left)


def _scored(task: Task, runs: Sequence[Run], metric: str) -> Iterator[Outcome]:
    frame, clusters = Frame.of(task), {item.id: item.cluster for item in task.items}
    found = []
    for run in runs:
        table = read_table(run)
        frame.rows(table)  # refuses items that the task does not have
        said, name = voice(table, metric)
        values = None if said is None else rubric_values(said, task.rubric).get(name, said.values.get(name))
        lengths = {(one.item, one.sample): len(one.text) for one in run.responses()}
        keys = [(table.items[item], int(sample)) for item, sample in zip(table.item, table.sample)]
        known = {} if values is None else {key: float(v) for key, v in zip(keys, values) if v == v and key in lengths}
        found.append((run.manifest["system"], known, lengths))
    for (a, first, long), (b, second, short) in combinations(found, 2):
        for key in sorted(first.keys() & second.keys()) if a != b else ():
            gap = first[key] - second[key]
            verdict = "tie" if gap == 0 else "x" if gap > 0 else "y"
            yield Outcome(a, b, verdict, clusters[key[0]], long[key] - short[key])


def summary(outcomes: Sequence[Outcome], resamples: int = 1000, seed: int = 0) -> HeadToHead:
    """The table, strengths and pairs of judgements. Order does not matter: (a, b, x) says what (b, a, y) says."""
    outcomes = sorted(map(_canonical, outcomes), key=lambda one: (one.first, one.second, one.cluster, one.verdict))
    systems = tuple(sorted({name for one in outcomes for name in (one.first, one.second)}))
    number = {name: place for place, name in enumerate(systems)}
    tables = {name: np.zeros((len(systems), len(systems)), dtype=int) for name in ("wins", "tie", "both_bad")}
    for one in outcomes:
        i, j = number[one.first], number[one.second]
        if one.verdict in ("x", "y"):
            winner, loser = (i, j) if one.verdict == "x" else (j, i)
            tables["wins"][winner, loser] += 1
        else:
            tables[one.verdict][i, j] += 1
            tables[one.verdict][j, i] += 1
    wins, ties, bad = (_rows(tables[name]) for name in ("wins", "tie", "both_bad"))
    duels = tuple(_duel(a, b, outcomes) for a, b in combinations(systems, 2))
    strengths = _strengths(systems, number, outcomes, resamples, seed)
    return HeadToHead(systems, wins, ties, bad, strengths, duels, _left(outcomes), len(outcomes))


def _canonical(one: Outcome) -> Outcome:
    if one.first <= one.second:
        return one
    verdict = {"x": "y", "y": "x"}.get(one.verdict, one.verdict)
    return Outcome(one.second, one.first, verdict, one.cluster, -one.length_gap, one.left)


def _rows(table: np.ndarray) -> Table:
    return tuple(tuple(int(cell) for cell in row) for row in table)


def _duel(a: str, b: str, outcomes: Sequence[Outcome]) -> Duel:
    ours = [one for one in outcomes if (one.first, one.second) == (a, b)]
    count = {name: sum(one.verdict == name for one in ours) for name in ("x", "y", "tie", "both_bad")}
    scores, clusters = [one.score for one in ours], [one.cluster for one in ours]
    rate = controlled = None
    if len(set(clusters)) >= 2:
        rate = clustered_rate(scores, clusters)
        controlled = length_controlled_win_rate(scores, [one.length_gap for one in ours], clusters)
    return Duel(a, b, len(ours), count["x"], count["y"], count["tie"], count["both_bad"], rate, controlled)


def _strengths(
    systems: Sequence[str], number: dict[str, int], outcomes: Sequence[Outcome], resamples: int, seed: int
) -> tuple[Strength, ...]:
    if len({one.cluster for one in outcomes}) < 2:
        return ()
    found = bradley_terry_bootstrap(
        [number[one.first] for one in outcomes],
        [number[one.second] for one in outcomes],
        [one.score for one in outcomes],
        [one.cluster for one in outcomes],
        resamples=resamples,
        seed=seed,
    )
    made = [
        Strength(
            name,
            float(found.value[i]),
            float(found.low[i]),
            float(found.high[i]),
            tuple(other for j, other in enumerate(systems) if found.better[i, j]),
        )
        for i, name in enumerate(systems)
    ]
    return tuple(sorted(made, key=lambda one: -one.value))


def _left(outcomes: Iterable[Outcome]) -> Interval | None:
    """How often the left side won, of decided votes by people."""
    decided = [one for one in outcomes if one.left is not None and one.verdict in ("x", "y")]
    if not decided:
        return None
    won = [float(one.left == (one.first if one.verdict == "x" else one.second)) for one in decided]
    return clustered_rate(won, [one.cluster for one in decided])
