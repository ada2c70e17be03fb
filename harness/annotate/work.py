"""An annotator's work: what to judge next, drafts, votes, skips, flags, and taking back. One call, one transaction.

A *presentation* is one person in front of one unit; its token is the only thing that a page sends back. Which text
stands left is drawn from the campaign's seed when it is served, and stays with it. A *lease* holds one of the unit's
`overlap` slots; when it runs out another person may take the slot, and a vote that comes too late is kept, uncounted.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, or_, select, update

from harness.annotate import people, schema
from harness.annotate.answers import Answers, FlagReason, SkipReason, comment, shown, stored
from harness.annotate.campaigns import Campaign, Kind, Unit, load, to_unit
from harness.annotate.qualification import exercises_met, languages
from harness.annotate.store import Refused, Store, StoreBusy
from harness.errors import UsageError
from harness.rubric import guideline
from harness.types import Item, Language

UNDO = 10
"""How many of their last votes and skips a person may take back"""
_SPREAD, _WIDE = 0x9E3779B97F4A7C15, 1 << 64  # an order of units for each person; a digest of each would take longer
TRIES = 200
CANDIDATES = 32
"""Units looked at when the next one is served, of those that are free"""
_P, _U = schema.presentation, schema.unit


@dataclass(frozen=True, slots=True)
class Presentation:
    """What is on the screen: an item, one text or two, and where the person stands. Nothing in it tells whose a text is.

    `draft` is what was typed before, or what is being taken back; `language` that of the item.
    """

    token: str
    campaign: str
    kind: Kind
    item: Item
    left: str
    right: str | None
    draft: Mapping[str, Any] | None
    done: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a vote. `already`: it had been saved before, and the first one stands. `counted`: it has a slot."""

    already: bool
    counted: bool


@dataclass(frozen=True, slots=True)
class Past:
    """One of a person's own last votes or skips. `answers` is None for a skip."""

    token: str
    item: Item
    left: str
    right: str | None
    answers: Answers | None
    at: float
    may_undo: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a person is, and the campaign: votes wanted and given (within the overlap)."""

    mine: int
    given: int
    wanted: int


def next_task(store: Store, person: str, campaign: str) -> Presentation | None:
    """What this person judges next: what they left open, else something new. None when there is nothing left for them.

    Least-judged units come first, in an order of its own for each person. Raises Refused for
    who may not work here, and UsageError for who has not qualified in any language yet.
    """
    for _ in range(TRIES):
        candidates = _candidates(store, person, campaign)
        try:
            return _next(store, person, campaign, candidates)
        except _Contended:  # others were served all of them meanwhile
            time.sleep(random.uniform(0.001, 0.01))
    raise StoreBusy("too many people are being served at this moment. Try again.")


class _Contended(Exception):
    """Nothing was served, though there was something when we looked. Left to the next try."""


def _next(store: Store, person: str, campaign: str, candidates: Sequence[int]) -> Presentation | None:
    with store.write() as tx:
        people.require(tx, person, "annotator", "next_task", lock=True)
        found = _open_campaign(tx, campaign)
        if not languages(tx, person, found):
            raise UsageError("pass the qualifying test of one language first.")
        _reclaim(store, tx, found)
        token = _resumed(store, tx, person, found) or _fresh(store, tx, person, found, candidates)
        return None if token is None else _shown(tx, found, token)


def save_draft(store: Store, person: str, token: str, answers: Mapping[str, Any]) -> None:
    """Keep what is typed so far, and the lease with it. Any JSON of the page's own; it counts for nothing."""
    with store.write() as tx:
        row, unit, campaign = _mine(tx, person, token, "save_draft")
        if row.state not in ("open", "lapsed"):
            return
        if len(str(answers)) > 20_000:
            raise UsageError("the draft is too long.")
        _put_draft(store, tx, token, answers)
        if row.state == "open":
            _renew(store, tx, row, unit, campaign)


def submit(store: Store, person: str, token: str, answers: Answers, read: Language | None = None) -> Saved:
    """Save a vote. A second time (double click, reload, two tabs) nothing changes and `already` is true.

    `read` is the language of the guideline that the person had at hand, the item's by default. Raises UsageError for
    answers that do not fit the form (nothing is lost: the draft stays), and Refused for what was not served to them.
    """
    with store.write() as tx:
        row, unit, campaign = _mine(tx, person, token, "submit")
        if row.state in ("done", "skipped"):
            return Saved(already=True, counted=row.slot is not None)
        if not unit.active:
            raise Refused(
                "this text was replaced after it was shown to you, so the vote has nothing to count for. Go to the next.",
                "submit",
                person,
                {"token": token},
            )
        values = stored(answers, campaign.kind, campaign.rubric, bool(row.swapped))
        slot = _slot(tx, row, unit, campaign)
        _revise(store, tx, row, unit, "vote", values, read)
        tx.execute(update(_P).where(_P.c.token == token).values(state="done", slot=slot))
        tx.execute(delete(schema.draft).where(schema.draft.c.presentation == token))
        return Saved(already=False, counted=slot is not None)


def edit(store: Store, person: str, token: str, answers: Answers, read: Language | None = None) -> None:
    """Change a vote that was given: a further revision, the last of which counts."""
    with store.write() as tx:
        row, unit, campaign = _mine(tx, person, token, "edit")
        if row.state != "done":
            raise UsageError("there is no vote to change: give it first.")
        _revise(store, tx, row, unit, "vote", stored(answers, campaign.kind, campaign.rubric, bool(row.swapped)), read)


def undo(store: Store, person: str, campaign: str, token: str | None = None) -> Presentation:
    """Take back the last vote or skip (or the one of `token`, among the last 10) and show it again, answers filled in.

    What was on the screen waits meanwhile. Raises UsageError if there is nothing to take back.
    """
    with store.write() as tx:
        people.require(tx, person, "annotator", "undo", lock=True)
        found = _open_campaign(tx, campaign)
        last = {one.presentation: one for one in _last(tx, person, campaign)}
        chosen = token or next(iter(last), "")
        if chosen not in last:
            raise UsageError(f"there is nothing to take back: only your last {UNDO} votes and skips can be.")
        row, unit, _ = _mine(tx, person, chosen, "undo")
        if not unit.active:
            raise UsageError("this text was replaced meanwhile: the old vote stays as it is.")
        tx.execute(
            update(_P)
            .where(_P.c.person == person, _P.c.campaign == campaign, _P.c.state == "open")
            .values(state="lapsed", slot=None)
        )
        before = last[chosen].answers
        _revise(store, tx, row, unit, "withdrawn", before, None)
        slot = _slot(tx, row, unit, found)
        _open(store, tx, chosen, found, slot)
        if last[chosen].kind == "vote":
            _put_draft(store, tx, chosen, _draft_of(before, bool(row.swapped)))
        return _shown(tx, found, chosen)


def skip(store: Store, person: str, token: str, reason: SkipReason, text: str = "") -> None:
    """Leave a unit to others, with the reason. It can be taken back like a vote."""
    values = {"reason": reason, "comment": comment(reason, SkipReason, text)}
    with store.write() as tx:
        row, unit, _ = _mine(tx, person, token, "skip")
        if row.state in ("done", "skipped"):
            return
        _revise(store, tx, row, unit, "skip", values, None)
        tx.execute(update(_P).where(_P.c.token == token).values(state="skipped", slot=None))
        tx.execute(delete(schema.draft).where(schema.draft.c.presentation == token))


def flag(store: Store, person: str, token: str, reason: FlagReason, text: str = "") -> None:
    """Tell the leads that the item itself is at fault. The vote goes on; the same reason is kept once."""
    values = comment(reason, FlagReason, text)
    with store.write() as tx:
        _, unit, _ = _mine(tx, person, token, "flag")
        table = schema.flag
        same = (table.c.unit == unit.id, table.c.person == person, table.c.reason == reason)
        if tx.execute(update(table).where(*same).values(comment=values)).rowcount == 0:
            key = {"id": secrets.token_hex(16), "unit": unit.id, "person": person, "reason": reason}
            tx.execute(insert(table).values(**key, comment=values, created=store.clock()))


def history(store: Store, person: str, campaign: str, limit: int = 50) -> list[Past]:
    """A person's own last votes and skips, newest first."""
    with store.read() as tx:
        people.require(tx, person, "annotator", "history")
        found = []
        for number, one in enumerate(_last(tx, person, campaign, limit)):
            row = tx.execute(select(_P).where(_P.c.token == one.presentation)).one()
            unit = _unit(tx, row.unit)
            left, right = _sides(unit, bool(row.swapped))
            answers = shown(one.answers, bool(row.swapped)) if one.kind == "vote" else None
            may_undo = number < UNDO and unit.active
            found.append(Past(row.token, _blind(unit.item), left, right, answers, one.created, may_undo))
        return found


def progress(store: Store, person: str, campaign: str) -> Progress:
    """How far this person and the whole campaign are. Silent checks and repeats are in `mine` alone."""
    with store.read() as tx:
        found = load(tx, campaign)
        counted = select(func.count()).select_from(_P.join(_U)).where(_P.c.campaign == campaign, _U.c.active == 1)
        given = tx.execute(counted.where(_P.c.slot.is_not(None), _P.c.state == "done")).scalar_one()
        real = select(func.count()).where(_U.c.campaign == campaign, _U.c.purpose == "real", _U.c.active == 1)
        return Progress(_done(tx, person, campaign), given, tx.execute(real).scalar_one() * found.settings.overlap)


def _open_campaign(tx: Connection, name: str) -> Campaign:
    found = load(tx, name)
    if not found.open:
        raise UsageError(f"the campaign '{name}' is closed.")
    return found


def _mine(tx: Connection, person: str, token: str, action: str) -> tuple[Row[Any], Unit, Campaign]:
    """A presentation of this person, locked, with its unit (locked too). Refused for any other token."""
    people.require(tx, person, "annotator", action, lock=True)
    row = tx.execute(select(_P).where(_P.c.token == token).with_for_update(key_share=True)).first()
    if row is None or row.person != person:
        raise Refused("that was not served to you.", action, person, {"token": token[:64]})
    campaign = _open_campaign(tx, row.campaign)
    return row, _unit(tx, row.unit, lock=True), campaign


def _unit(tx: Connection, number: int, lock: bool = False) -> Unit:
    query = select(_U).where(_U.c.id == number)
    return to_unit(tx.execute(query.with_for_update(key_share=True) if lock else query).one())


def _reclaim(store: Store, tx: Connection, campaign: Campaign) -> None:
    """Free the slots of leases that ran out. Their drafts stay, and so does the right to submit if a slot is free."""
    late = select(_P.c.token).where(_P.c.campaign == campaign.id, _P.c.state == "open", _P.c.until < store.clock())
    tokens = list(tx.execute(late.with_for_update(skip_locked=True)).scalars())
    if tokens:
        tx.execute(update(_P).where(_P.c.token.in_(tokens)).values(state="lapsed", slot=None))


def _resumed(store: Store, tx: Connection, person: str, campaign: Campaign) -> str | None:
    """What the person has open, or left while a slot is free for it (silent checks and repeats need none)."""
    waiting = select(_P).where(_P.c.person == person, _P.c.campaign == campaign.id, _P.c.state.in_(("open", "lapsed")))
    for row in tx.execute(waiting.order_by(_P.c.state.desc(), _P.c.number.desc())).all():  # open first
        unit = _unit(tx, row.unit, lock=True)
        slot = _slot(tx, row, unit, campaign)
        if unit.active and (slot is not None or not _takes_slot(row, unit)):
            _open(store, tx, row.token, campaign, slot)
            return str(row.token)
        if row.state == "open":
            tx.execute(update(_P).where(_P.c.token == row.token).values(state="lapsed", slot=None))
    return None


def _takes_slot(row: Any, unit: Unit) -> bool:
    return unit.purpose == "real" and row.repeat == 0


def _slot(tx: Connection, row: Any, unit: Unit, campaign: Campaign) -> int | None:
    """The slot that this presentation has, or the lowest free one of its unit; None if all are taken or none is needed."""
    if row.slot is not None or not _takes_slot(row, unit):
        return None if row.slot is None else int(row.slot)
    taken = set(tx.execute(select(_P.c.slot).where(_P.c.unit == unit.id, _P.c.slot.is_not(None))).scalars())
    return next((slot for slot in range(1, campaign.settings.overlap + 1) if slot not in taken), None)


def _open(store: Store, tx: Connection, token: str, campaign: Campaign, slot: int | None) -> None:
    now = store.clock()
    values = {"state": "open", "slot": slot, "until": now + campaign.settings.lease_s, "opened": now}
    tx.execute(update(_P).where(_P.c.token == token).values(values))


def _renew(store: Store, tx: Connection, row: Any, unit: Unit, campaign: Campaign) -> None:
    slot = _slot(tx, row, unit, campaign)
    until = store.clock() + campaign.settings.lease_s
    tx.execute(update(_P).where(_P.c.token == row.token).values(slot=slot, until=until))


def _fresh(store: Store, tx: Connection, person: str, campaign: Campaign, candidates: Sequence[int]) -> str | None:
    """A new presentation: a silent check or a repeat where one is due, else the first candidate that is still free."""
    number = tx.execute(select(func.count()).where(_P.c.person == person, _P.c.campaign == campaign.id)).scalar_one()
    settings = campaign.settings
    for purpose, every in (("attention", settings.attention), ("gold", settings.gold)):
        if _due(settings.seed, person, purpose, number, every):
            check = _silent(tx, person, campaign, purpose)
            if check is not None:
                return _present(store, tx, person, campaign, check, number, 0, None)
    if _due(settings.seed, person, "repeat", number, settings.repeat):
        earlier = _repeatable(tx, person, campaign)
        if earlier is not None:
            return _present(store, tx, person, campaign, earlier.unit, number, 1, None, 1 - earlier.swapped)
    for unit in candidates:
        slot = _free_slot(tx, person, campaign, unit)
        if slot is not None:
            return _present(store, tx, person, campaign, unit, number, 0, slot)
    if candidates:
        raise _Contended
    return None


def _free_slot(tx: Connection, person: str, campaign: Campaign, unit: int) -> int | None:
    """A slot of a unit for someone who has not had it, the unit locked; None if others have or are being served it."""
    query = select(_U).where(_U.c.id == unit).with_for_update(skip_locked=True, key_share=True)
    row = tx.execute(query).first()
    if row is None or not row.active:
        return None
    if tx.execute(select(_P.c.token).where(_P.c.unit == unit, _P.c.person == person)).first():
        return None
    return _slot(tx, _Unserved(), to_unit(row), campaign)


@dataclass(frozen=True, slots=True)
class _Unserved:
    slot: None = None
    repeat: int = 0


def _draw(*parts: Any) -> int:
    """A number drawn from the parts alone: the same in every process and at every time."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, parts)).encode()).digest()[:8])


def _due(seed: int, person: str, what: str, number: int, every: int) -> bool:
    """Whether the how manieth presentation is one of `every`: one at a place drawn anew in each stretch of that length."""
    return every > 0 and number % every == _draw(seed, person, what, number // every) % every


def _silent(tx: Connection, person: str, campaign: Campaign, purpose: str) -> int | None:
    """A check that this person has not had, nor met in a qualifying test."""
    had = exists().where(_P.c.unit == _U.c.id, _P.c.person == person)
    allowed = languages(tx, person, campaign)
    query = select(_U.c.id, _U.c.x).where(
        _U.c.campaign == campaign.id, _U.c.purpose == purpose, _U.c.active == 1, _U.c.language.in_(allowed), ~had
    )
    met = exercises_met(tx, person)
    found = [row.id for row in tx.execute(query) if row.x["run"] not in met]
    return min(found, key=lambda unit: _draw(campaign.settings.seed, person, unit), default=None)


def _repeatable(tx: Connection, person: str, campaign: Campaign) -> Any:
    """The oldest vote of this person that counts and was not repeated yet."""
    again = _P.alias("again")
    repeated = exists().where(again.c.unit == _P.c.unit, again.c.person == person, again.c.repeat == 1)
    query = (
        select(_P)
        .join(_U)
        .where(
            _P.c.person == person,
            _P.c.campaign == campaign.id,
            _P.c.state == "done",
            _P.c.slot.is_not(None),
            _U.c.active == 1,
            ~repeated,
        )
    )
    return tx.execute(query.order_by(_P.c.number).limit(1)).first()


def _candidates(store: Store, person: str, name: str) -> list[int]:
    """Units that the person may be served next, best first: the least judged, in the person's own order.

    Read outside of the writing transaction, so that nobody waits for it; `_free_slot` looks again.
    """
    leased = or_(_P.c.state != "open", _P.c.until >= store.clock())
    with store.read() as tx:
        campaign = load(tx, name)
        allowed = languages(tx, person, campaign)
        real = (_U.c.campaign == name, _U.c.purpose == "real", _U.c.active == 1, _U.c.language.in_(allowed))
        free = list(tx.execute(select(_U.c.id).where(*real)).scalars())
        mine = set(tx.execute(select(_P.c.unit).where(_P.c.campaign == name, _P.c.person == person)).scalars())
        counts = select(_P.c.unit, func.count()).where(_P.c.campaign == name, _P.c.slot.is_not(None), leased)
        taken = {unit: int(count) for unit, count in tx.execute(counts.group_by(_P.c.unit))}
    groups: dict[int, list[int]] = {}
    for unit in free:
        if unit not in mine and (count := taken.get(unit, 0)) < campaign.settings.overlap:
            groups.setdefault(count, []).append(unit)
    found: list[int] = []
    own = _draw(campaign.settings.seed, person)
    for count in sorted(groups):
        if len(found) < CANDIDATES:
            found += sorted(groups[count], key=lambda unit: (unit * _SPREAD ^ own) * _SPREAD % _WIDE)
    return found[:CANDIDATES]


def _present(
    store: Store,
    tx: Connection,
    person: str,
    campaign: Campaign,
    unit: int,
    number: int,
    repeat: int,
    slot: int | None,
    swapped: int | None = None,
) -> str:
    token, now = secrets.token_urlsafe(32), store.clock()
    row = {
        "token": token,
        "campaign": campaign.id,
        "unit": unit,
        "person": person,
        "repeat": repeat,
        "swapped": _draw("side", campaign.settings.seed, campaign.id, unit, person) % 2 if swapped is None else swapped,
        "state": "open",
        "slot": slot,
        "until": now + campaign.settings.lease_s,
        "opened": now,
        "number": number,
    }
    tx.execute(insert(_P).values(row))
    return token


def _revise(store: Store, tx: Connection, row: Any, unit: Unit, kind: str, answers: Any, read: Language | None) -> None:
    """Append a revision. The constraint on its number is what makes the second of two equal submits fail."""
    table = schema.revision
    last = tx.execute(select(func.max(table.c.number)).where(table.c.presentation == row.token)).scalar()
    guide = guideline(read or unit.item.language)
    values = {
        "id": secrets.token_hex(16),
        "presentation": row.token,
        "number": (last or 0) + 1,
        "kind": kind,
        "answers": answers,
        "content": unit.content,
        "guideline": {"language": guide.language, "version": guide.version, "digest": guide.digest},
        "seconds": max(0.0, store.clock() - row.opened),
        "created": store.clock(),
    }
    tx.execute(insert(table).values(values))


def _put_draft(store: Store, tx: Connection, token: str, answers: Mapping[str, Any]) -> None:
    table, values = schema.draft, {"answers": dict(answers), "saved": store.clock()}
    if tx.execute(update(table).where(table.c.presentation == token).values(values)).rowcount == 0:
        tx.execute(insert(table).values(presentation=token, **values))


def _draft_of(answers: Mapping[str, Any], swapped: bool) -> dict[str, Any]:
    given = shown(answers, swapped)
    return {name: getattr(given, name) for name in given.__slots__}


def _last(tx: Connection, person: str, campaign: str, limit: int = UNDO) -> list[Any]:
    """The present revision of each vote and skip of a person, newest first."""
    later = schema.revision.alias("later")
    table = schema.revision
    newer = exists().where(later.c.presentation == table.c.presentation, later.c.number > table.c.number)
    query = (
        select(table)
        .join(_P)
        .where(_P.c.person == person, _P.c.campaign == campaign, _P.c.state.in_(("done", "skipped")), ~newer)
    )
    return list(tx.execute(query.order_by(table.c.created.desc(), _P.c.number.desc()).limit(limit)).all())


def _done(tx: Connection, person: str, campaign: str) -> int:
    query = select(func.count()).where(_P.c.person == person, _P.c.campaign == campaign, _P.c.state == "done")
    return int(tx.execute(query).scalar_one())


def _shown(tx: Connection, campaign: Campaign, token: str) -> Presentation:
    row = tx.execute(select(_P).where(_P.c.token == token)).one()
    unit = _unit(tx, row.unit)
    left, right = _sides(unit, bool(row.swapped))
    draft = tx.execute(select(schema.draft.c.answers).where(schema.draft.c.presentation == token)).scalar()
    done = _done(tx, row.person, campaign.id)
    return Presentation(token, campaign.id, campaign.kind, _blind(unit.item), left, right, draft, done)


def _sides(unit: Unit, swapped: bool) -> tuple[str, str | None]:
    if unit.y is None:
        return unit.x.text, None
    return (unit.y.text, unit.x.text) if swapped else (unit.x.text, unit.y.text)


def _blind(item: Item) -> Item:
    """An item without what tells a silent check from the rest, or one split from another."""
    return replace(item, id="", cluster="", split="", claims=(), references=(), meta={})
