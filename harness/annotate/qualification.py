"""Learning the rubric and showing it: the training part with reasons, the test part that decides who may rate.

A test belongs to a person, a rubric, a kind of campaign and a language. It goes on where it was left; each exercise
is answered once. Whether an attempt suffices is asked of a campaign's settings each time, not stored.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import Connection, insert, select, update

from harness import qualifying
from harness.annotate import people, schema
from harness.annotate.answers import check_labels
from harness.annotate.campaigns import Campaign, get, load
from harness.annotate.store import Refused, Store
from harness.errors import UsageError
from harness.qualifying import Exercise
from harness.types import Language, Rubric

_A, _ANSWER = schema.attempt, schema.attempt_answer
_LOADED: dict[str, tuple[Exercise, ...]] = {}


@dataclass(frozen=True, slots=True)
class Exam:
    """A qualifying test under way or ended. `exercise` is the next one, without its labels; None when it has ended.

    `agreement` is the share of labels as agreed, once it has ended; `passed` says whether it suffices.
    """

    attempt: str
    language: Language
    exercise: Exercise | None
    done: int
    total: int
    agreement: float | None
    passed: bool
    attempts_left: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """One label of a training exercise: what was given, what was agreed, and why."""

    criterion: str
    given: str
    agreed: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person may work on a campaign's items of a language, and with what result."""

    language: Language
    needed: bool
    passed: bool
    agreement: float | None
    attempts_left: int


def training(store: Store, campaign: str, language: Language) -> list[Exercise]:
    """The training exercises, labels and reasons included (show them by `feedback` once answered)."""
    return _exercises(get(store, campaign), language, "training")


def feedback(exercise: Exercise, labels: Mapping[str, str]) -> list[Feedback]:
    """Label by label what was given and what was agreed, for a training exercise. A pair's labels are a and b."""
    return [
        Feedback(name, labels.get(name, ""), agreed.label, agreed.reason) for name, agreed in exercise.labels.items()
    ]


def exam(store: Store, person: str, campaign: str, language: Language) -> Exam:
    """The person's test in a language: the one under way, the one passed, else a new attempt while there are any left."""
    with store.write() as tx:
        people.require(tx, person, "annotator", "exam", lock=True)
        found = load(tx, campaign)
        rows = _attempts(tx, person, found, language)
        best = max((row for row in rows if row.agreement is not None), key=lambda row: row.agreement, default=None)
        current = next((row for row in rows if row.agreement is None), None)
        if best is not None and (_enough(best, found) or (current is None and not _left(rows, found))):
            current = best
        if current is None:
            current = _begin(store, tx, person, found, language, 1 + max((row.number for row in rows), default=0))
            rows.append(current)
        return _state(tx, found, current, rows)


def answer(store: Store, person: str, campaign: str, attempt: str, exercise: str, labels: Mapping[str, str]) -> Exam:
    """Save the labels of the exercise that the test shows now (a and b of a pair as shown, a first) and go on.

    An exercise that was answered stays as it was. After the last one the test is marked. Raises Refused for an attempt
    of someone else, UsageError for labels that are not the rubric's.
    """
    with store.write() as tx:
        people.require(tx, person, "annotator", "answer", lock=True)
        found = load(tx, campaign)
        row = tx.execute(select(_A).where(_A.c.id == attempt)).first()
        if row is None or row.person != person or (row.rubric_digest, row.kind) != (found.rubric.digest, found.kind):
            raise Refused("that test is not yours.", "answer", person, {"attempt": attempt[:64]})
        if exercise not in row.exercises:
            raise Refused("that exercise is not part of your test.", "answer", person, {"exercise": exercise[:64]})
        check_labels(labels, found.rubric, pair=found.kind == "compare")
        given = _given(tx, attempt)
        if exercise not in given and row.agreement is None:
            values = {"attempt": attempt, "exercise": exercise, "labels": dict(labels), "created": store.clock()}
            tx.execute(insert(_ANSWER).values(values))
            given[exercise] = dict(labels)
            if len(given) == len(row.exercises):
                share = _agreement(found, row.language, given)
                tx.execute(update(_A).where(_A.c.id == attempt).values(agreement=share))
                store.audit(tx, person, "exam", {"language": row.language, "kind": row.kind, "agreement": share})
        rows = _attempts(tx, person, found, row.language)
        return _state(tx, found, next(one for one in rows if one.id == attempt), rows)


def standings(store: Store, person: str, campaign: str) -> list[Standing]:
    """For each language of the campaign's units: whether the person may work in it."""
    with store.read() as tx:
        people.require(tx, person, "annotator", "standings")
        found = load(tx, campaign)
        result = []
        for language in _languages(tx, found):
            rows = _attempts(tx, person, found, language)
            shares = [row.agreement for row in rows if row.agreement is not None]
            passed = found.settings.qualify is None or any(_enough(row, found) for row in rows)
            needed = found.settings.qualify is not None
            result.append(Standing(language, needed, passed, max(shares, default=None), _left(rows, found)))
        return result


def grant(store: Store, lead: str, campaign: str, person: str, language: Language, reason: str) -> None:
    """Let someone rate without the test, with the reason: an author of the guideline, or an expert."""
    if not reason.strip():
        raise UsageError("say why the test is not needed.")
    with store.write() as tx:
        people.require(tx, lead, "lead", "grant")
        found = load(tx, campaign)
        if not any(row.number == 0 for row in _attempts(tx, person, found, language)):
            row = _row(store, person, found, language, 0, [])
            tx.execute(insert(_A).values({**row, "agreement": 1.0, "note": {"granted by": lead, "reason": reason}}))
        store.audit(tx, lead, "grant", {"person": person, "language": language, "reason": reason})


def languages(tx: Connection, person: str, campaign: Campaign) -> set[str]:
    """The languages of the campaign in which the person may work."""
    return {
        language
        for language in _languages(tx, campaign)
        if campaign.settings.qualify is None
        or any(_enough(row, campaign) for row in _attempts(tx, person, campaign, language))
    }


def exercises_met(tx: Connection, person: str) -> set[str]:
    """The exercises that a person has had in tests: these cannot be silent checks for them."""
    return {one for row in tx.execute(select(_A.c.exercises).where(_A.c.person == person)) for one in row.exercises}


def _languages(tx: Connection, campaign: Campaign) -> list[Language]:
    table = schema.unit
    query = select(table.c.language).distinct().where(table.c.campaign == campaign.id, table.c.purpose == "real")
    return sorted(tx.execute(query).scalars())


def _all(rubric: Rubric) -> tuple[Exercise, ...]:
    if rubric.digest not in _LOADED:
        _LOADED[rubric.digest] = qualifying.load(rubric)
    return _LOADED[rubric.digest]


def _exercises(campaign: Campaign, language: str, part: str) -> list[Exercise]:
    """The exercises of a part that are of the campaign's kind and language."""
    pair = campaign.kind == "compare"
    return [
        one
        for one in _all(campaign.rubric)
        if one.part == part and one.item.language == language and (len(one.replies) == 2) == pair
    ]


def _attempts(tx: Connection, person: str, campaign: Campaign, language: str) -> list[Any]:
    query = select(_A).where(
        _A.c.person == person,
        _A.c.rubric_digest == campaign.rubric.digest,
        _A.c.kind == campaign.kind,
        _A.c.language == language,
    )
    return list(tx.execute(query.order_by(_A.c.number)).all())


def _enough(row: Any, campaign: Campaign) -> bool:
    """Whether an attempt suffices here: enough labels as agreed, on as many exercises as this campaign asks for."""
    settings = campaign.settings
    if row.agreement is None or settings.qualify is None or row.agreement < settings.qualify:
        return False
    return row.number == 0 or len(row.exercises) >= _wanted(campaign, row.language)


def _wanted(campaign: Campaign, language: str) -> int:
    there = len(_exercises(campaign, language, "test"))
    return there if campaign.settings.exercises is None else min(there, campaign.settings.exercises)


def _left(rows: Sequence[Any], campaign: Campaign) -> int:
    """Attempts left, the one under way included."""
    return max(0, campaign.settings.attempts - sum(row.number > 0 and row.agreement is not None for row in rows))


def _begin(store: Store, tx: Connection, person: str, campaign: Campaign, language: Language, number: int) -> Any:
    there = [one.id for one in _exercises(campaign, language, "test")]
    if not there:
        raise UsageError(f"there is no qualifying test in '{language}': the lead can grant the right to rate.")
    chosen = Random(f"{person} {language} {number}").sample(there, _wanted(campaign, language))
    row = _row(store, person, campaign, language, number, chosen)
    tx.execute(insert(_A).values(row))
    return tx.execute(select(_A).where(_A.c.id == row["id"])).one()


def _row(
    store: Store, person: str, campaign: Campaign, language: str, number: int, exercises: list[str]
) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(16),
        "person": person,
        "rubric_digest": campaign.rubric.digest,
        "kind": campaign.kind,
        "language": language,
        "number": number,
        "exercises": exercises,
        "note": {},
        "created": store.clock(),
    }


def _given(tx: Connection, attempt: str) -> dict[str, dict[str, str]]:
    rows = tx.execute(select(_ANSWER).where(_ANSWER.c.attempt == attempt))
    return {row.exercise: row.labels for row in rows}


def _agreement(campaign: Campaign, language: str, given: Mapping[str, Mapping[str, str]]) -> float:
    """The share of labels that are as agreed, over all exercises and criteria."""
    hits = [
        labels.get(name) == agreed.label
        for one in _exercises(campaign, language, "test")
        if (labels := given.get(one.id)) is not None
        for name, agreed in one.labels.items()
    ]
    return sum(hits) / len(hits) if hits else 0.0


def _state(tx: Connection, campaign: Campaign, row: Any, rows: Sequence[Any]) -> Exam:
    given = _given(tx, row.id)
    by_id = {one.id: one for one in _exercises(campaign, row.language, "test")}
    following = next((one for one in row.exercises if one not in given), None) if row.agreement is None else None
    exercise = None
    if following is not None:
        full = by_id[following]
        exercise = Exercise(full.id, full.part, full.item, full.replies, {})
    passed = _enough(row, campaign)
    total, left = len(row.exercises), _left(rows, campaign)
    return Exam(row.id, row.language, exercise, len(given), total, row.agreement, passed, left)
