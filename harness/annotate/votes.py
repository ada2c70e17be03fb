"""Votes read back, in terms of systems: the last revision of each, what it is about, and whether it counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import Connection, exists, select

from harness.annotate import schema
from harness.annotate.campaigns import Unit, units
from harness.rubric import NOT_APPLICABLE
from harness.types import Criterion, Rubric

DISAGREE = "annotators disagree"
MAJORITY = 2 / 3
"""The share of votes that a verdict needs to train anything"""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's present answer on one unit. `answers` names x and y, never a side.

    `counted`: it has a slot, on a real unit that is still shown, and its giver is not excluded.
    """

    unit: Unit
    person: str
    token: str
    repeat: bool
    swapped: bool
    slot: int | None
    counted: bool
    answers: Mapping[str, Any]
    guideline: Mapping[str, str]
    seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class Consensus:
    """What people say together. `value` is None with a `reason`, or for a label without one; `n` votes say it."""

    label: str | None
    value: float | None
    n: int
    reason: str = ""


def read(tx: Connection, campaign: str) -> list[Vote]:
    """Every vote of a campaign that was not taken back, oldest first, silent checks and repeats included."""
    by_id = {unit.id: unit for unit in units(tx, campaign)}
    out = excluded(tx, campaign)
    p, r = schema.presentation, schema.revision
    later = r.alias("later")
    newer = exists().where(later.c.presentation == r.c.presentation, later.c.number > r.c.number)
    query = (
        select(p, r.c.answers, r.c.guideline, r.c.seconds, r.c.created, r.c.content)
        .join(r, r.c.presentation == p.c.token)
        .where(p.c.campaign == campaign, p.c.state == "done", r.c.kind == "vote", ~newer)
        .order_by(r.c.created, p.c.number)
    )
    found = []
    for row in tx.execute(query):
        unit = by_id[row.unit]
        counted = row.slot is not None and unit.active and unit.content == row.content and row.person not in out
        found.append(
            Vote(
                unit=unit,
                person=row.person,
                token=row.token,
                repeat=bool(row.repeat),
                swapped=bool(row.swapped),
                slot=row.slot,
                counted=counted,
                answers=row.answers,
                guideline=row.guideline,
                seconds=row.seconds,
                at=row.created,
            )
        )
    return found


def excluded(tx: Connection, campaign: str) -> dict[str, str]:
    """Whose votes are left out of analyses, with the reason last given."""
    table = schema.exclusion
    rows = tx.execute(select(table).where(table.c.campaign == campaign).order_by(table.c.number))
    last = {row.person: row for row in rows}
    return {person: row.reason for person, row in last.items() if row.excluded}


def rulings(tx: Connection, campaign: str) -> dict[int, Mapping[str, Any]]:
    """The last adjudication of each unit."""
    table, unit = schema.adjudication, schema.unit
    rows = tx.execute(select(table).join(unit).where(unit.c.campaign == campaign).order_by(table.c.number))
    return {row.unit: row.answers for row in rows}


def by_unit(votes: Iterable[Vote]) -> dict[int, list[Vote]]:
    """The counted votes of each unit, in the order in which units were made."""
    found: dict[int, list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.counted:
            found[vote.unit.id].append(vote)
    return dict(sorted(found.items()))


def value_of(criterion: Criterion, label: str) -> float | None:
    """The number behind a label; None for "na" and for criteria without numbers."""
    return next((one.get("value") for one in criterion.labels if str(one["id"]) == label), None)


def agreed(votes: Sequence[Vote], ruling: Mapping[str, Any], rubric: Rubric) -> dict[str, Consensus]:
    """What the votes on one text say on each criterion. A ruling decides those that it names.

    Gates and labels without numbers: the majority. Graded: the median. "Does not apply" if more than half say so; half
    and half is no consensus. Satisfaction is not settled by anyone: see `satisfaction`.
    """
    found = {}
    for name, criterion in rubric.criteria.items():
        if criterion.kind == "pairwise":
            continue
        given = [vote.answers["labels"][name] for vote in votes]
        if name in ruling.get("labels", {}):
            given = [ruling["labels"][name]]
        if given:
            found[name] = _together(criterion, given)
    return found


def _together(criterion: Criterion, given: Sequence[str]) -> Consensus:
    top, count = Counter(given).most_common(1)[0]
    not_applicable = given.count(NOT_APPLICABLE)
    if 2 * not_applicable > len(given):
        return Consensus(NOT_APPLICABLE, None, len(given), "not applicable")
    if 2 * not_applicable == len(given):
        return Consensus(None, None, len(given), DISAGREE)
    if criterion.kind == "graded":
        values = [value for label in given if (value := value_of(criterion, label)) is not None]
        middle = float(median(values))
        label = next((str(one["id"]) for one in criterion.labels if one.get("value") == middle), None)
        return Consensus(label, middle, len(given))
    if 2 * count <= len(given):
        return Consensus(None, None, len(given), DISAGREE)
    value = value_of(criterion, top)
    return Consensus(top, None if value is None else float(value), len(given))


def satisfaction(votes: Sequence[Vote]) -> Consensus:
    """The mean over people, 1 to 5."""
    given = [vote.answers["satisfaction"] for vote in votes]
    return Consensus(None, sum(given) / len(given), len(given)) if given else Consensus(None, None, 0, "not rated")


def verdict(votes: Sequence[Vote], ruling: Mapping[str, Any], share: float = 0.5) -> tuple[str | None, float]:
    """x, y, tie, both_bad, or None where no verdict has more than half of the votes (at least `share`, if that is more);
    and the share that the leading one has. A ruling decides."""
    if "verdict" in ruling:
        return str(ruling["verdict"]), 1.0
    if not votes:
        return None, 0.0
    top, count = Counter(vote.answers["verdict"] for vote in votes).most_common(1)[0]
    enough = 2 * count > len(votes) and count / len(votes) >= share - 1e-9
    return (top if enough else None), count / len(votes)
