"""What leads watch: how far a campaign is, who passes the silent checks, what was flagged, whose votes are left out."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import func, insert, select

from harness.annotate import people, schema, votes
from harness.annotate.campaigns import load, units
from harness.annotate.store import Store
from harness.annotate.votes import Vote
from harness.errors import UsageError

READ_PER_S = {"zh": 30.0, "en": 60.0}
"""Characters a second above which nobody has read the texts (several times the usual speed of reading)"""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a campaign is. `wanted` votes on `units` active units; `given` count, `extra` came late and do not.

    `complete` units have all their votes; `stuck` have a free slot although everyone who may rate has had them.
    """

    campaign: str
    open: bool
    units: int
    wanted: int
    given: int
    extra: int
    complete: int
    stuck: int
    skipped: dict[str, int]
    flagged: int
    ruled: int
    gold: int
    attention: int


@dataclass(frozen=True, slots=True)
class Share:
    """Hits of n; `value` is None for n = 0."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        return self.hits / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Annotator:
    """One person's work in a campaign, for a lead. Shares: labels of gold units as agreed, attention checks passed,

    repeated units with the same answer, votes faster than the texts can be read, winners that stood left.
    `excluded` is the reason why the votes are left out of analyses, "" if they are not.
    """

    id: str
    name: str
    votes: int
    extra: int
    skips: int
    flags: int
    seconds: float | None
    gold: Share
    attention: Share
    repeats: Share
    hasty: Share
    left: Share
    excluded: str


@dataclass(frozen=True, slots=True)
class Flag:
    """An item that someone found at fault."""

    unit: int
    item: str
    person: str
    reason: str
    comment: str
    at: float


def status(store: Store, lead: str, campaign: str) -> Status:
    """How far a campaign is. For leads."""
    p, r, u = schema.presentation, schema.revision, schema.unit
    with store.read() as tx:
        people.require(tx, lead, "lead", "status")
        found = load(tx, campaign)
        all_units = units(tx, campaign)
        given = votes.read(tx, campaign)
        query = select(r.c.answers).join(p).where(p.c.campaign == campaign, p.c.state == "skipped", r.c.kind == "skip")
        skipped = Counter(row.answers["reason"] for row in tx.execute(query))
        flagged = tx.execute(
            select(func.count()).select_from(schema.flag.join(u)).where(u.c.campaign == campaign)
        ).scalar_one()
        had = Counter(
            row.unit
            for row in tx.execute(
                select(p.c.unit).where(p.c.campaign == campaign, p.c.repeat == 0, p.c.state.in_(("done", "skipped")))
            )
        )
        crowd = tx.execute(select(func.count(p.c.person.distinct())).where(p.c.campaign == campaign)).scalar_one()
        ruled = len(votes.rulings(tx, campaign))
    real = [unit for unit in all_units if unit.purpose == "real" and unit.active]
    full = Counter(vote.unit.id for vote in given if vote.slot is not None and vote.unit.active)
    overlap = found.settings.overlap
    extra = sum(
        vote.slot is None and vote.unit.purpose == "real" and not vote.repeat and vote.unit.active for vote in given
    )
    return Status(
        campaign=campaign,
        open=found.open,
        units=len(real),
        wanted=len(real) * overlap,
        given=sum(full.values()),
        extra=extra,
        complete=sum(full[unit.id] >= overlap for unit in real),
        stuck=sum(crowd > 0 and full[unit.id] < overlap and had[unit.id] >= crowd for unit in real),
        skipped=dict(skipped),
        flagged=flagged,
        ruled=ruled,
        gold=sum(unit.purpose == "gold" for unit in all_units),
        attention=sum(unit.purpose == "attention" for unit in all_units),
    )


def annotators(store: Store, lead: str, campaign: str) -> list[Annotator]:
    """Everyone who has done something in a campaign, most votes first. For leads."""
    p = schema.presentation
    with store.read() as tx:
        people.require(tx, lead, "lead", "annotators")
        given = votes.read(tx, campaign)
        out = votes.excluded(tx, campaign)
        names = {row.id: row.name for row in tx.execute(select(schema.person))}
        skips = Counter(
            tx.execute(select(p.c.person).where(p.c.campaign == campaign, p.c.state == "skipped")).scalars()
        )
        flag_query = select(schema.flag.c.person).join(schema.unit).where(schema.unit.c.campaign == campaign)
        flagged = Counter(tx.execute(flag_query).scalars())
    found = []
    for person in {vote.person for vote in given} | set(skips) | set(flagged):
        mine = [vote for vote in given if vote.person == person]
        counts = (skips[person], flagged[person])
        found.append(_annotator(person, names[person], mine, counts, out.get(person, "")))
    return sorted(found, key=lambda one: (-one.votes, one.name, one.id))


def _annotator(person: str, name: str, mine: Sequence[Vote], counts: tuple[int, int], excluded: str) -> Annotator:
    real = [vote for vote in mine if vote.unit.purpose == "real" and not vote.repeat]
    decided = [vote.answers["clicked"] for vote in real if vote.answers.get("clicked") in ("left", "right")]
    return Annotator(
        id=person,
        name=name,
        votes=sum(vote.slot is not None for vote in real),
        extra=sum(vote.slot is None for vote in real),
        skips=counts[0],
        flags=counts[1],
        seconds=median(vote.seconds for vote in real) if real else None,
        gold=_expected([vote for vote in mine if vote.unit.purpose == "gold"]),
        attention=_expected([vote for vote in mine if vote.unit.purpose == "attention"]),
        repeats=_repeats(mine),
        hasty=Share(sum(_hasty(vote) for vote in real), len(real)),
        left=Share(decided.count("left"), len(decided)),
        excluded=excluded,
    )


def _expected(mine: Sequence[Vote]) -> Share:
    """Labels as expected, over the labels of silent checks."""
    hits = [_label(vote, name) == label for vote in mine for name, label in (vote.unit.expected or {}).items()]
    return Share(sum(hits), len(hits))


def _label(vote: Vote, name: str) -> Any:
    return vote.answers["verdict"] if name == "preference" else vote.answers["labels"].get(name)


def _repeats(mine: Sequence[Vote]) -> Share:
    """Answers that were the same the second time: the verdict, or each label."""
    first = {vote.unit.id: vote for vote in mine if not vote.repeat}
    hits = []
    for vote in mine:
        if vote.repeat and vote.unit.id in first:
            before, after = (_compared(one) for one in (first[vote.unit.id], vote))
            hits += [before[name] == after[name] for name in before]
    return Share(sum(hits), len(hits))


def _compared(vote: Vote) -> dict[str, Any]:
    return vote.answers["labels"] if "labels" in vote.answers else {"verdict": vote.answers["verdict"]}


def _hasty(vote: Vote) -> bool:
    length = len(vote.unit.x.text) + (0 if vote.unit.y is None else len(vote.unit.y.text))
    return vote.seconds < length / READ_PER_S[vote.unit.item.language]


def flags(store: Store, lead: str, campaign: str) -> list[Flag]:
    """What was flagged, newest first. For leads."""
    f, u = schema.flag, schema.unit
    with store.read() as tx:
        people.require(tx, lead, "lead", "flags")
        rows = tx.execute(select(f, u.c.item).join(u).where(u.c.campaign == campaign).order_by(f.c.created.desc()))
        return [Flag(row.unit, row.item["id"], row.person, row.reason, row.comment, row.created) for row in rows]


def exclude(store: Store, lead: str, campaign: str, person: str, reason: str, out: bool = True) -> None:
    """Leave a person's votes out of analyses (or take them in again), with the reason. Nothing is deleted."""
    if not reason.strip():
        raise UsageError("say why.")
    table = schema.exclusion
    with store.write() as tx:
        people.require(tx, lead, "lead", "exclude", lock=True)
        load(tx, campaign)
        if tx.execute(select(schema.person.c.id).where(schema.person.c.id == person)).first() is None:
            raise UsageError("there is no such person.")
        last = select(func.max(table.c.number)).where(table.c.campaign == campaign, table.c.person == person)
        row = {
            "id": secrets.token_hex(16),
            "campaign": campaign,
            "person": person,
            "number": (tx.execute(last).scalar() or 0) + 1,
            "excluded": int(out),
            "reason": reason.strip(),
            "by": lead,
            "created": store.clock(),
        }
        tx.execute(insert(table).values(row))
        store.audit(tx, lead, "exclude", {"campaign": campaign, "person": person, "out": out, "reason": reason})
