"""Which served turns are worth people's time, and which may never be taken: test items, copies, what was taken before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.data.likeness import Copies, Items, shingles
from harness.loop.served import Turn
from harness.types import Item

REASONS = ("fallback", "gate", "rating", "regenerated", "novel", "uncertain")
"""Why a turn is taken, the dearest first"""
POOR = 2
"""Rating up to which a turn is poorly rated; a thumb down is one too"""
HELD = 0.5
"""Share of a test item's n-grams from which a turn holds it (as `easyds data contamination`)"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Up to `turns` turns. `novel`: likeness (Jaccard, of 3-grams) to every known item below which a turn is new;
    `uncertain`: so many turns without another reason are sampled twice, and taken if the samples differ."""

    turns: int = 200
    novel: float = 0.1
    uncertain: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The turns to take, each with its reason, and how many were left out, by why."""

    turns: tuple[tuple[Turn, str], ...]
    left_out: Mapping[str, int]


def choose(turns: Sequence[Turn], before: Iterable[Turn], known: Sequence[Item], wanted: Wanted) -> Chosen:
    """Turns of a log for people to compare. `before` were taken earlier, `known` are items of tasks that test.

    A turn that holds a known item, or is nearly one or nearly one taken already, is left out. Of those with a reason the
    dearest reasons come first, the oldest turns first among them.
    """
    before = list(before)
    gone, left_out = {one.id for one in before}, Counter[str]()
    fresh = [one for one in turns if one.id not in gone]
    left_out["taken before"] = len(turns) - len(fresh)
    free = list(_free(fresh, before, known, left_out))
    likeness = [shingles(asked(item)) for item in known]
    reasons = [(one, reason(one) or ("novel" if _novel(one, likeness, wanted.novel) else "")) for one in free]
    marked = sorted((pair for pair in reasons if pair[1]), key=lambda pair: REASONS.index(pair[1]))
    left_out["more than wanted"] = max(0, len(marked) - wanted.turns)
    marked = marked[: wanted.turns]
    rest = [(one, "uncertain") for one, why in reasons if not why][: min(wanted.uncertain, wanted.turns - len(marked))]
    left_out["no reason"] = sum(not why for _, why in reasons) - len(rest)
    return Chosen((*marked, *rest), dict(left_out + Counter()))


def reason(turn: Turn) -> str:
    """Why the log alone says that a turn is worth a look; "" if it does not."""
    if turn.fallback:
        return "fallback"
    if turn.failed:
        return "gate"
    if turn.thumbs == "down" or (turn.rating is not None and turn.rating <= POOR):
        return "rating"
    return "regenerated" if turn.regenerated else ""


def asked(one: Turn | Item) -> str:
    """What the student said."""
    return one.messages[-1].content


def differ(first: str, second: str) -> bool:
    """Whether two samples are different answers: they share less than half of their 3-grams."""
    a, b = shingles(first), shingles(second)
    return 2 * len(a & b) < len(a | b)


def _novel(turn: Turn, known: Sequence[frozenset[str]], bar: float) -> bool:
    own = shingles(asked(turn))
    return bool(known) and all(len(own & one) < bar * len(own | one) for one in known)


def _free(
    turns: Sequence[Turn], before: Sequence[Turn], known: Sequence[Item], left_out: Counter[str]
) -> Iterable[Turn]:
    """Turns that hold no known item and copy none, nor an earlier turn."""
    copies, items = Copies(), Items({item.id: _whole(item) for item in known})
    for item in known:
        copies.add("item", asked(item))
    for one in before:
        copies.add("turn", asked(one))
    since = len(copies)
    for one in turns:
        copies.add("turn", asked(one))
    found = copies.found(since)
    for number, one in enumerate(turns, since):
        if items.overlap(one.id, _whole(one), HELD) or (number in found and found[number].like == "item"):
            left_out["test item"] += 1
        elif number in found:
            left_out["asked before"] += 1
        else:
            yield one


def _whole(one: Turn | Item) -> str:
    return "\n".join(turn.content for turn in one.messages)
