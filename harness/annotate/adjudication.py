"""Settling what annotators disagree on: lowest agreement first, blind as they were, their votes kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from sqlalchemy import func, insert, select

from harness.annotate import people, schema, votes
from harness.annotate.answers import LONGEST, Answers, Verdict, by_side, by_system, shown
from harness.annotate.campaigns import Campaign, Kind, Unit, load, to_unit
from harness.annotate.store import Refused, Store, pseudonym
from harness.annotate.votes import Vote
from harness.errors import UsageError
from harness.rubric import label_ids
from harness.types import Item, Rubric


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one person answered, by the sides as the lead sees them. `who` is a pseudonym."""

    who: str
    answers: Answers


@dataclass(frozen=True, slots=True)
class Ruling:
    """A lead's decision: labels of the criteria that it settles (rate), or a verdict by side (compare), and why."""

    labels: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict | None = None
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A unit on which counted votes differ. `agreement` is the mean over criteria and pairs of people, from 0 to 1."""

    unit: int
    kind: Kind
    item: Item
    left: str
    right: str | None
    opinions: tuple[Opinion, ...]
    agreement: float
    disputed: tuple[str, ...]
    ruling: Ruling | None


def cases(store: Store, lead: str, campaign: str, settled: bool = False) -> list[Case]:
    """Units with at least two counted votes that differ, the lowest agreement first; with `settled` those ruled on too."""
    with store.read() as tx:
        people.require(tx, lead, "lead", "cases")
        found = load(tx, campaign)
        rulings = votes.rulings(tx, campaign)
        result = []
        for given in votes.by_unit(votes.read(tx, campaign)).values():
            unit = given[0].unit
            shares = _shares(given, found.rubric)
            disputed = tuple(name for name, share in shares.items() if share < 1)
            if len(given) < 2 or not disputed or (unit.id in rulings and not settled):
                continue
            swapped = _swapped(unit)
            opinions = tuple(Opinion(pseudonym(tx, vote.person), shown(vote.answers, swapped)) for vote in given)
            left, right = (unit.x.text, None) if unit.y is None else (unit.x.text, unit.y.text)
            if swapped and right is not None:
                left, right = right, left
            agreement = sum(shares.values()) / len(shares)
            ruling = _ruling(rulings.get(unit.id), swapped)
            result.append(Case(unit.id, found.kind, unit.item, left, right, opinions, agreement, disputed, ruling))
    return sorted(result, key=lambda case: (case.agreement, case.unit))


def adjudicate(store: Store, lead: str, unit: int, ruling: Ruling) -> None:
    """Settle a unit. The votes stay; a later ruling replaces this one and keeps it in the store."""
    table = schema.adjudication
    with store.write() as tx:
        people.require(tx, lead, "lead", "adjudicate", lock=True)
        row = tx.execute(select(schema.unit).where(schema.unit.c.id == unit)).first()
        if row is None:
            raise Refused("there is no such unit.", "adjudicate", lead, {"unit": unit})
        found = to_unit(row)
        answers = _stored(ruling, load(tx, found.campaign), found)
        last = tx.execute(select(func.max(table.c.number)).where(table.c.unit == unit)).scalar() or 0
        key = {"id": secrets.token_hex(16), "unit": unit, "number": last + 1, "person": lead}
        tx.execute(insert(table).values(**key, answers=answers, created=store.clock()))
        store.audit(tx, lead, "adjudicate", {"unit": unit, "number": last + 1})


def _swapped(unit: Unit) -> bool:
    """Which side x stands on for leads: drawn from the content, so that it tells nothing and never changes."""
    return unit.y is not None and int(unit.content[:2], 16) % 2 == 1


def _shares(given: Sequence[Vote], rubric: Rubric) -> dict[str, float]:
    """For each question, how alike the answers of two people are on average: 1 the same, 0 as far apart as can be."""
    if "verdict" in given[0].answers:
        pairs = list(combinations([vote.answers["verdict"] for vote in given], 2))
        return {"preference": _mean([float(a == b) for a, b in pairs])}
    found = {}
    for name, criterion in rubric.criteria.items():
        if criterion.kind == "pairwise":
            continue
        labels = [vote.answers["labels"][name] for vote in given]
        values = {label: votes.value_of(criterion, label) for label in labels}
        most = 2.0 if criterion.kind == "graded" else 1.0
        found[name] = _mean([_alike(values[a], values[b], a == b, most) for a, b in combinations(labels, 2)])
    return found


def _alike(a: float | None, b: float | None, same: bool, most: float) -> float:
    if same or a is None or b is None:
        return float(same)
    return 1 - abs(a - b) / most


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0


def _stored(ruling: Ruling, campaign: Campaign, unit: Unit) -> dict[str, Any]:
    if len(ruling.rationale) > LONGEST:
        raise UsageError(f"a rationale has at most {LONGEST} characters.")
    if campaign.kind == "compare":
        if ruling.labels or ruling.verdict not in ("left", "right", "tie", "both_bad"):
            raise UsageError("a comparison is settled by a verdict: left, right, tie or both_bad.")
        return {"verdict": by_system(ruling.verdict, _swapped(unit)), "rationale": ruling.rationale.strip()}
    if ruling.verdict is not None or not ruling.labels:
        raise UsageError("a rating is settled by labels of the criteria in dispute.")
    for name, label in ruling.labels.items():
        criterion = campaign.rubric.criteria.get(name)
        if criterion is None or criterion.kind == "pairwise" or label not in label_ids(criterion):
            raise UsageError(f"'{label}' is no label of {name} in this form.")
    return {"labels": dict(ruling.labels), "rationale": ruling.rationale.strip()}


def _ruling(row: Mapping[str, Any] | None, swapped: bool) -> Ruling | None:
    if row is None:
        return None
    given = by_side(row["verdict"], swapped) if "verdict" in row else None
    return Ruling(row.get("labels", {}), given, row["rationale"])
