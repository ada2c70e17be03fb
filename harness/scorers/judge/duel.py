"""Two replies to one student side by side: A, B, tie or both bad. Each pair is judged in both orders; a judge that
changes its mind with the order has said nothing about the replies: a tie, and counted.

Position bias of judges: Wang et al. 2024 (arXiv 2305.17926), Zheng et al. 2023 (arXiv 2306.05685).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from harness.scorers.judge.desk import Answer
from harness.scorers.judge.prompt import pairwise
from harness.scorers.judge.scorer import Judge
from harness.scorers.judge.verdict import UNSURE
from harness.stats.intervals import Interval, clustered_mean, wilson
from harness.stats.ranking import WinRate, length_controlled_win_rate
from harness.types import Item, Response

PREFERENCE = "preference"
SWAPPED = {"a": "b", "b": "a"}


@dataclass(frozen=True, slots=True)
class Bout:
    """One item: what was said of (x, y) in that order, and of (y, x) told as of (x, y); `verdict` is what both say.

    `a` is x, `b` is y. None: no verdict in an order.
    """

    item: str
    cluster: str
    first: str | None
    second: str | None
    verdict: str | None
    longer: int


@dataclass(frozen=True, slots=True)
class Duel:
    """System x against y by one judge. `wins` is the share of items that x wins, ties (and both bad) being half.

    `consistent`: share of pairs on which both orders agree. `first_place`: share of decided single verdicts that went
    to the reply shown first; 0.5 without position bias. `controlled`: the win rate at equal length.
    """

    counts: Mapping[str, int]
    wins: Interval | None
    controlled: WinRate | None
    consistent: Interval | None
    first_place: Interval | None
    unscored: int
    bouts: tuple[Bout, ...]


def duel(judge: Judge, items: Mapping[str, Item], x: Sequence[Response], y: Sequence[Response]) -> Duel:
    """Compare the first samples of two systems on their common items. Replies that are the same tie unasked."""
    replies_x, replies_y = ({one.item: one.text for one in some if one.sample == 0} for some in (x, y))
    criterion = judge.rubric.criteria[PREFERENCE]
    asked: list[tuple[Item, list[Future[Answer]] | None]] = []
    for name in (name for name in items if name in replies_x and name in replies_y):
        item, a, b = items[name], replies_x[name], replies_y[name]
        same = a.strip() == b.strip()
        pair = ((item, a, b), (item, b, a))
        questions = [pairwise(*one, criterion) for one in pair]
        asked.append((item, None if same else judge.desk.ask(questions)))
    bouts = [_bout(item, answers, len(replies_x[item.id]) - len(replies_y[item.id])) for item, answers in asked]
    return _summary(bouts)


def _bout(item: Item, answers: list[Future[Answer]] | None, longer: int) -> Bout:
    if answers is None:
        return Bout(item.id, item.cluster, None, None, "tie", longer)
    first, second = (_label(answer.result()) for answer in answers)
    second = SWAPPED.get(second, second) if second else None
    agreed = None if first is None or second is None else first if first == second else "tie"
    return Bout(item.id, item.cluster, first, second, agreed, longer)


def _label(answer: Answer) -> str | None:
    label = answer.verdicts[PREFERENCE].label if answer.verdicts else UNSURE
    return None if label == UNSURE else label


def _summary(bouts: Sequence[Bout]) -> Duel:
    judged = [one for one in bouts if one.verdict is not None]
    shown = [one for one in judged if one.first and one.second]
    scores = [{"a": 1.0, "b": 0.0}.get(str(one.verdict), 0.5) for one in judged]
    clusters = [one.cluster for one in judged]
    enough = len(set(clusters)) >= 2
    firsts = [one.first == "a" for one in shown if one.first in SWAPPED]
    firsts += [one.second == "b" for one in shown if one.second in SWAPPED]  # there y was shown first
    return Duel(
        counts=dict(Counter(str(one.verdict) for one in judged)),
        wins=clustered_mean(scores, clusters) if enough else None,
        controlled=length_controlled_win_rate(scores, [one.longer for one in judged], clusters) if enough else None,
        consistent=wilson(sum(one.first == one.second for one in shown), len(shown)) if shown else None,
        first_place=wilson(sum(firsts), len(firsts)) if firsts else None,
        unscored=len(bouts) - len(judged),
        bouts=tuple(bouts),
    )
