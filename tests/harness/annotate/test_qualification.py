"""The qualifying test: who may rate, in which language, after how many attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from annotate_support import LABELS, Office
from sqlalchemy import select

from harness import annotate, qualifying
from harness.annotate import schema
from harness.errors import UsageError
from harness.record import find_runs

Desk = Callable[..., Office]


def agreed(office: Office, exercise: str) -> dict[str, str]:
    rubric = annotate.get(office.store, office.campaign).rubric
    (found,) = (one for one in qualifying.load(rubric) if one.id == exercise)
    return {name: label.label for name, label in found.labels.items()}


def sit(office: Office, person: str, language: str, labels: Callable[[dict[str, str]], Mapping[str, str]] = dict):  # type: ignore[no-untyped-def]
    """Take the test to its end, answering what is agreed, changed by `labels`."""
    exam = annotate.exam(office.store, person, office.campaign, language)  # type: ignore[arg-type]
    while exam.exercise is not None:
        given = labels(agreed(office, exam.exercise.id))
        exam = annotate.answer(office.store, person, office.campaign, exam.attempt, exam.exercise.id, given)
    return exam


def wrong(labels: dict[str, str]) -> dict[str, str]:
    return {"preference": {"a": "b"}.get(labels["preference"], "a")}


def test_nobody_rates_before_the_test_and_then_in_its_language_only(desk: Desk) -> None:
    office = desk("rate", qualify=0.75, exercises=2)
    ann = office.hire("ann")
    with pytest.raises(UsageError, match="qualifying test"):
        office.next(ann)
    exam = sit(office, ann, "en")
    assert (exam.passed, exam.agreement, exam.done, exam.total) == (True, 1.0, 2, 2)
    assert [(one.language, one.passed) for one in annotate.standings(office.store, ann, office.campaign)] == [
        ("en", True),
        ("zh", False),
    ]
    languages = set()
    while (shown := office.next(ann)) is not None:
        languages.add(shown.item.language)
        office.submit(ann, shown)
    assert languages == {"en"}
    with pytest.raises(UsageError, match="qualifying test"):
        office.next(office.hire("ben"))


def test_a_test_is_marked_by_the_labels_that_are_as_agreed(desk: Desk) -> None:
    office = desk("rate", qualify=0.95, exercises=3)
    ann = office.hire("ann")
    exam = sit(office, ann, "zh", lambda labels: {**labels, "G1": {"pass": "fail"}.get(labels["G1"], "pass")})
    assert exam.agreement == pytest.approx(12 / 13)
    assert not exam.passed
    assert exam.attempts_left == 1


def test_two_attempts_on_other_exercises_then_a_lead_must_grant_it(desk: Desk) -> None:
    office = desk(qualify=0.75, exercises=2)
    ann = office.hire("ann")
    first, second = sit(office, ann, "en", wrong), sit(office, ann, "en", wrong)
    assert (first.passed, second.passed, first.attempts_left, second.attempts_left) == (False, False, 1, 0)
    third = annotate.exam(office.store, ann, office.campaign, "en")
    assert third.exercise is None, "there is no third one"
    with pytest.raises(UsageError, match="why"):
        annotate.grant(office.store, office.lead, office.campaign, ann, "en", " ")
    annotate.grant(office.store, office.lead, office.campaign, ann, "en", "wrote the guideline")
    assert office.next(ann) is not None


def test_a_test_goes_on_where_it_was_left_and_an_answer_stands(desk: Desk) -> None:
    office = desk(qualify=0.75, exercises=2)
    ann = office.hire("ann")
    exam = annotate.exam(office.store, ann, office.campaign, "en")
    assert exam.exercise is not None
    assert not exam.exercise.labels, "the agreed labels are not shown"
    right = agreed(office, exam.exercise.id)
    after = annotate.answer(office.store, ann, office.campaign, exam.attempt, exam.exercise.id, right)
    again = annotate.answer(office.store, ann, office.campaign, exam.attempt, exam.exercise.id, wrong(right))
    assert annotate.exam(office.store, ann, office.campaign, "en") == after == again
    with office.store.read() as tx:
        assert [row.labels for row in tx.execute(select(schema.attempt_answer))] == [right]


def test_what_is_not_in_the_test_is_refused(desk: Desk) -> None:
    """A4, S12"""
    office = desk(qualify=0.75, exercises=2)
    ann, ben = office.hire("ann"), office.hire("ben")
    exam = annotate.exam(office.store, ann, office.campaign, "en")
    assert exam.exercise is not None
    right = agreed(office, exam.exercise.id)
    with pytest.raises(annotate.Refused):
        annotate.answer(office.store, ben, office.campaign, exam.attempt, exam.exercise.id, right)
    with pytest.raises(annotate.Refused):
        annotate.answer(office.store, ann, office.campaign, exam.attempt, "p-preorder", right)
    with pytest.raises(UsageError, match="no label"):
        annotate.answer(office.store, ann, office.campaign, exam.attempt, exam.exercise.id, {"preference": "left"})
    annotate.create(office.store, office.lead, "rate", "rate", office.task, find_runs(office.runs))
    with pytest.raises(annotate.Refused, match="not yours"):
        annotate.answer(office.store, ann, "rate", exam.attempt, exam.exercise.id, LABELS)
    annotate.set_role(office.store, office.lead, ann, "revoked")
    with pytest.raises(annotate.Refused, match="not active any more"):  # A5
        annotate.answer(office.store, ann, office.campaign, exam.attempt, exam.exercise.id, right)


def test_a_short_test_does_not_open_a_campaign_that_asks_for_the_whole_one(desk: Desk) -> None:
    office = desk(qualify=0.75, exercises=2)
    ann = office.hire("ann")
    assert sit(office, ann, "en").passed
    settings = annotate.Settings(qualify=0.75)
    annotate.create(office.store, office.lead, "whole", "compare", office.task, find_runs(office.runs), settings)
    assert not any(one.passed for one in annotate.standings(office.store, ann, "whole"))


def test_an_exercise_of_the_test_is_no_silent_check_afterwards(desk: Desk) -> None:
    from harness import rubric

    known = qualifying.load(rubric.load("guidance"))
    office = desk(qualify=0.75, exercises=3, gold=2, exercises_as_gold=known)
    ann = office.hire("ann")
    exam = annotate.exam(office.store, ann, office.campaign, "en")
    asked = set()
    while exam.exercise is not None:
        asked.add(exam.exercise.id)
        given = agreed(office, exam.exercise.id)
        exam = annotate.answer(office.store, ann, office.campaign, exam.attempt, exam.exercise.id, given)
    while (shown := office.next(ann)) is not None:
        annotate.submit(office.store, ann, shown.token, annotate.Preference("tie"))
    with office.store.read() as tx:
        joined = select(schema.unit.c.x).join(schema.presentation).where(schema.unit.c.purpose == "gold")
        served = {row.x["run"] for row in tx.execute(joined)}
    there = {one.id for one in known if one.part == "test" and len(one.replies) == 2 and one.item.language == "en"}
    assert served == there - asked


def test_training_tells_the_reasons(desk: Desk) -> None:
    office = desk("rate", qualify=0.75)
    exercises = annotate.training(office.store, office.campaign, "zh")
    assert len(exercises) == 8
    told = annotate.feedback(exercises[0], {"G1": "fail"})
    assert [one.criterion for one in told][:1] == ["G1"]
    assert all(one.reason and one.agreed for one in told)
