"""An annotator's work: A1, A3 to A6 and A8 of the reference's table, and the order in which units are served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annotate_support import LABELS, Clock, Office, empty_store, record_texts, said
from sqlalchemy import func, select, text

from harness import annotate
from harness.annotate import schema, work
from harness.errors import UsageError

Desk = Callable[..., Office]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[annotate.Store]:
    """An open store: SQLite, and in the slow tests PostgreSQL too."""
    found = annotate.open_store(empty_store(request, tmp_path), clock)
    yield found
    found.close()


def rows(office: Office, table: str) -> list[dict[str, object]]:
    """All rows of a table, in the order in which they came to be."""
    found = schema.metadata.tables[table]
    order = next(found.c[name] for name in ("opened", "created", "saved", "at", "id") if name in found.c)
    with office.store.read() as tx:
        return [dict(row._mapping) for row in tx.execute(select(found).order_by(order))]


def audit(office: Office) -> list[str]:
    return [str(row["action"]) for row in rows(office, "audit")]


def test_a_double_click_a_reload_and_two_tabs_store_one_vote(desk: Desk) -> None:
    """A1"""
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    other_tab = office.next(ann)
    assert other_tab == shown, "a second tab shows the same unit, not another"
    with pytest.raises(UsageError, match="no vote to change"):
        annotate.edit(office.store, ann, shown.token, annotate.Preference("left"))
    assert office.submit(ann, shown, "left") == annotate.Saved(already=False, counted=True)
    assert office.submit(ann, shown, "left") == annotate.Saved(already=True, counted=True)
    assert office.submit(ann, other_tab, "right").already
    (kept,) = rows(office, "revision")
    assert kept["answers"]["clicked"] == "left", "the first vote stands"  # type: ignore[index]


def test_the_schema_itself_refuses_a_vote_twice_and_a_unit_over_its_overlap(desk: Desk) -> None:
    """A1, A2: even code that forgets to check cannot do it."""
    from sqlalchemy.exc import IntegrityError

    office = desk(overlap=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    office.vote(ann, "left")
    (kept,) = rows(office, "revision")
    with pytest.raises(IntegrityError), office.store.write() as tx:
        tx.execute(schema.revision.insert().values({**kept, "id": "another"}))
    (row,) = rows(office, "presentation")
    with pytest.raises(IntegrityError), office.store.write() as tx:  # the same slot for another person
        tx.execute(schema.presentation.insert().values({**row, "token": "t", "person": ben}))
    with pytest.raises(IntegrityError), office.store.write() as tx:  # the same person again
        tx.execute(schema.presentation.insert().values({**row, "token": "t", "slot": None, "number": 9}))
    assert office.next(ann) is not None
    same_number = {**row, "token": "t", "unit": 36, "slot": None}
    with pytest.raises(IntegrityError), office.store.write() as tx:  # two of the same number
        tx.execute(schema.presentation.insert().values(same_number))
    another = {**same_number, "number": 9, "state": "open"}
    with pytest.raises(IntegrityError), office.store.write() as tx:  # two open ones
        tx.execute(schema.presentation.insert().values(another))


def test_who_comes_too_late_for_all_that_was_free_looks_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: the unit was free when ben looked, and ann's when he took it."""
    office = desk(systems=("good", "poor"), overlap=1, items=2)
    ann, ben = office.hire("ann"), office.hire("ben")
    assert office.next(ann) is not None
    looks, look = [[rows(office, "presentation")[0]["unit"]]], work._candidates
    monkeypatch.setattr(work, "_candidates", lambda *key: looks.pop() if looks else look(*key))
    assert office.next(ben) is not None
    assert not looks


def test_a_lease_that_ran_out_frees_the_slot_and_a_late_vote_counts_only_if_it_is_still_free(
    desk: Desk, clock: Clock
) -> None:
    """A3"""
    office = desk(systems=("good", "poor"), overlap=1, items=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    shown = office.next(ann)
    assert shown is not None
    annotate.save_draft(office.store, ann, shown.token, {"rationale": "half a sent"})
    assert office.next(ben) is None, "the slot is leased"
    clock.now += 901
    late = office.next(ben)
    assert late is not None
    assert late.draft is None, "a draft is its writer's alone"
    office.submit(ben, late, "good")
    assert office.submit(ann, shown, "good") == annotate.Saved(already=False, counted=False)
    assert office.next(ann) is None
    assert [row["slot"] for row in rows(office, "presentation")] == [None, 1]
    assert len(rows(office, "revision")) == 2, "the late vote is kept"


def lapsed_lease(desk: Desk, clock: Clock) -> tuple[Office, str, annotate.Presentation]:
    """The office, ann, and what she still has before her after ben took her slot; one more is free."""
    office = desk(systems=("good", "poor"), overlap=2, items=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    shown = office.next(ann)
    assert shown is not None
    clock.now += 901
    office.vote(ben, "left")
    return office, ann, shown


def test_a_late_vote_counts_while_nobody_took_the_slot(desk: Desk, clock: Clock) -> None:
    """A3"""
    office, ann, shown = lapsed_lease(desk, clock)
    assert [row["slot"] for row in rows(office, "presentation")] == [None, 1], "ann's slot went to ben"
    assert office.submit(ann, shown, "left").counted
    assert [row["slot"] for row in rows(office, "presentation")] == [2, 1]


def test_a_draft_is_restored_and_keeps_the_lease(desk: Desk, clock: Clock) -> None:
    """A3: in another session, another browser, after a crash."""
    office = desk(systems=("good", "poor"), overlap=1, items=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    shown = office.next(ann)
    assert shown is not None
    clock.now += 800
    annotate.save_draft(office.store, ann, shown.token, {"verdict": "left", "rationale": "weil …"})
    clock.now += 800
    assert office.next(ben) is None, "who types keeps the slot"
    again = office.next(ann)
    assert again is not None
    assert (again.token, again.draft) == (shown.token, {"verdict": "left", "rationale": "weil …"})
    clock.now += 5000
    lapsed = office.next(ann)
    assert lapsed is not None
    assert (lapsed.token, lapsed.draft) == (again.token, again.draft), "its slot was still free"
    assert office.submit(ann, lapsed, "left").counted
    assert not rows(office, "draft")


def test_what_is_typed_after_the_lease_ran_out_is_kept(desk: Desk, clock: Clock) -> None:
    """A3"""
    office, ann, shown = lapsed_lease(desk, clock)
    annotate.save_draft(office.store, ann, shown.token, {"rationale": "late"})
    again = office.next(ann)
    assert again is not None
    assert (again.token, again.draft) == (shown.token, {"rationale": "late"})


def test_a_draft_without_end_is_refused(desk: Desk) -> None:
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    with pytest.raises(UsageError, match="too long"):
        annotate.save_draft(office.store, ann, shown.token, {"rationale": "x" * 20_001})
    assert not rows(office, "draft")


@pytest.mark.parametrize(
    "answers",
    [
        annotate.Preference("a_better"),  # type: ignore[arg-type]
        annotate.Preference("x"),  # type: ignore[arg-type]
        annotate.Preference("left", strength=0),
        annotate.Preference("left", strength=4),
        annotate.Preference("left", strength=True),
        annotate.Preference("left", rationale="x" * 4001),
        annotate.Preference("left", rationale=["x"]),  # type: ignore[arg-type]
        annotate.Rating(LABELS, 5),
        {"verdict": "left"},
    ],
)
def test_a_verdict_that_the_form_does_not_have_is_refused(desk: Desk, answers: annotate.Answers) -> None:
    """A4"""
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    with pytest.raises(UsageError):
        annotate.submit(office.store, ann, shown.token, answers)
    assert not rows(office, "revision")


@pytest.mark.parametrize(
    ("labels", "satisfaction"),
    [
        ({**LABELS, "D1": "maybe"}, 4),
        ({**LABELS, "G1": "na"}, 4),
        ({**LABELS, "preference": "a"}, 4),
        ({name: label for name, label in LABELS.items() if name != "D8"}, 4),
        (LABELS, 0),
        (LABELS, 6),
        (LABELS, 4.5),
        (LABELS, True),
    ],
)
def test_a_rating_that_the_rubric_does_not_have_is_refused(
    desk: Desk, labels: dict[str, str], satisfaction: int
) -> None:
    """A4"""
    office = desk("rate")
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    with pytest.raises(UsageError):
        annotate.submit(office.store, ann, shown.token, annotate.Rating(labels, satisfaction))
    with pytest.raises(UsageError, match="another form"):
        annotate.submit(office.store, ann, shown.token, annotate.Preference("left"))
    assert not rows(office, "revision")


def test_a_token_that_was_not_served_to_this_person_is_refused_and_audited(desk: Desk) -> None:
    """A4, S12"""
    office = desk()
    ann, ben = office.hire("ann"), office.hire("ben")
    shown = office.next(ann)
    assert shown is not None
    for call in (
        lambda token: annotate.submit(office.store, ben, token, annotate.Preference("left")),
        lambda token: annotate.edit(office.store, ben, token, annotate.Preference("left")),
        lambda token: annotate.save_draft(office.store, ben, token, {"verdict": "left"}),
        lambda token: annotate.skip(office.store, ben, token, "other"),
        lambda token: annotate.flag(office.store, ben, token, "item"),
    ):
        for token in (shown.token, "made up", "' OR 1=1 --"):
            before = len(audit(office))
            with pytest.raises(annotate.Refused):
                call(token)
            assert len(audit(office)) == before + 1
            assert audit(office)[-1].startswith("refused: ")
    assert not rows(office, "revision")
    assert not rows(office, "flag")
    office.submit(ann, shown, "left")
    assert annotate.history(office.store, ben, office.campaign) == []


def test_what_is_shown_does_not_tell_whose_it_is_nor_what_is_a_check(desk: Desk) -> None:
    office = desk(attention=2)
    ann = office.hire("ann")
    seen = 0
    while (shown := office.next(ann)) is not None:
        office.submit(ann, shown, "tie")
        assert (shown.item.id, shown.item.cluster, shown.item.split, shown.item.meta) == ("", "", "", {})
        seen += 1
    assert seen > 36
    assert set(annotate.Presentation.__slots__) == {
        "token",
        "campaign",
        "kind",
        "item",
        "left",
        "right",
        "draft",
        "done",
    }


def test_a_role_that_is_taken_stops_the_next_write(desk: Desk) -> None:
    """A5"""
    office = desk()
    ann = office.hire("ann")
    shown = office.vote(ann, "left")
    following = office.next(ann)
    assert following is not None
    annotate.set_role(office.store, office.lead, ann, "revoked")
    for call in (
        lambda: office.submit(ann, following, "left"),
        lambda: office.next(ann),
        lambda: annotate.edit(office.store, ann, shown.token, annotate.Preference("tie")),
        lambda: annotate.undo(office.store, ann, office.campaign),
        lambda: annotate.skip(office.store, ann, following.token, "other"),
        lambda: annotate.flag(office.store, ann, following.token, "item"),
        lambda: annotate.save_draft(office.store, ann, following.token, {}),
        lambda: annotate.exam(office.store, ann, office.campaign, "en"),
    ):
        before = len(audit(office))
        with pytest.raises(annotate.Refused, match="not active any more"):
            call()
        assert len(audit(office)) == before + 1
    assert len(rows(office, "revision")) == 1
    with pytest.raises(annotate.Refused, match="not active any more"):
        annotate.history(office.store, ann, office.campaign)


def test_a_text_that_was_regenerated_gets_no_old_votes(desk: Desk) -> None:
    """A6"""
    office = desk(systems=("good", "poor"), overlap=2)
    ann, ben = office.hire("ann"), office.hire("ben")
    office.work(ann, lambda _: {"verdict": "good"}, limit=5)
    waiting = office.next(ann)
    assert waiting is not None
    good = record_texts(office.runs, office.task, "good", lambda *key: said(*key) + " Anew.", weights="2")
    poor = next(run for run in annotate_runs(office) if run.manifest["system"] == "poor")
    made = annotate.refresh(office.store, office.lead, office.campaign, office.task, [good, poor])
    assert made.units == {"real": 12}
    with pytest.raises(annotate.Refused, match="replaced"):
        office.submit(ann, waiting, "good")
    assert annotate.progress(office.store, ben, office.campaign) == annotate.Progress(0, 0, 24)
    assert annotate.by_people(office.store, office.campaign).n == 0
    assert office.work(ben, lambda _: {"verdict": "good"}) == 12
    assert annotate.progress(office.store, ben, office.campaign) == annotate.Progress(12, 12, 24)
    assert len(rows(office, "revision")) == 5 + 12, "the old votes are kept"
    back = [run for run in annotate_runs(office) if run.id != good.id]
    annotate.refresh(office.store, office.lead, office.campaign, office.task, back)
    assert annotate.progress(office.store, ben, office.campaign).given == 5, "the old text has its own votes again"
    assert annotate.by_people(office.store, office.campaign).n == 5


def test_a_text_that_was_replaced_is_neither_shown_again_nor_repeated_nor_taken_back(desk: Desk) -> None:
    """A6"""
    office = desk(systems=("good", "poor"), overlap=1, repeat=2)
    ann = office.hire("ann")
    office.work(ann, lambda _: {"verdict": "good"}, limit=5)
    assert office.next(ann) is not None
    good = record_texts(office.runs, office.task, "good", lambda *key: said(*key) + " Anew.", weights="2")
    poor = next(run for run in annotate_runs(office) if run.manifest["system"] == "poor")
    annotate.refresh(office.store, office.lead, office.campaign, office.task, [good, poor])
    with pytest.raises(UsageError, match="replaced"):
        annotate.undo(office.store, ann, office.campaign)
    while (shown := office.next(ann)) is not None:
        assert "Anew." in f"{shown.left} {shown.right}"
        office.submit(ann, shown, "good")


def annotate_runs(office: Office) -> list[object]:
    from harness.record import find_runs

    return find_runs(office.runs)  # type: ignore[return-value]


def test_undo_and_edit_are_revisions_and_the_last_one_counts(desk: Desk) -> None:
    """A8"""
    office = desk(systems=("good", "poor"), overlap=1)
    ann = office.hire("ann")
    first = office.vote(ann, "good", strength=3, rationale="clear")
    waiting = office.next(ann)
    assert waiting is not None
    back = annotate.undo(office.store, ann, office.campaign)
    assert (back.token, back.left, back.right) == (first.token, first.left, first.right)
    assert back.draft == {"verdict": office.answers(first, "good").verdict, "strength": 3, "rationale": "clear"}  # type: ignore[union-attr]
    assert annotate.progress(office.store, ann, office.campaign).given == 0, "a vote taken back does not count"
    again = office.next(ann)
    assert again == back, "a reload shows what was taken back"
    assert office.submit(ann, again, "poor").counted
    resumed = office.next(ann)
    assert resumed is not None
    assert resumed.token == waiting.token, "what waited comes back"
    annotate.edit(office.store, ann, first.token, annotate.Preference("tie"))
    kinds = [(row["number"], row["kind"], row["answers"]["verdict"]) for row in rows(office, "revision")]  # type: ignore[index]
    assert sorted(kinds) == [(1, "vote", "x"), (2, "withdrawn", "x"), (3, "vote", "y"), (4, "vote", "tie")]
    (past,) = annotate.history(office.store, ann, office.campaign)
    assert past.answers == annotate.Preference("tie")


def test_only_the_last_ten_can_be_taken_back(desk: Desk) -> None:
    office = desk()
    ann = office.hire("ann")
    tokens = [office.vote(ann, "left").token for _ in range(11)]
    with pytest.raises(UsageError, match="last 10"):
        annotate.undo(office.store, ann, office.campaign, tokens[0])
    assert annotate.undo(office.store, ann, office.campaign, tokens[1]).token == tokens[1]
    with pytest.raises(UsageError, match="nothing to take back"):
        annotate.undo(office.store, office.hire("ben"), office.campaign)


def test_a_skip_leaves_the_unit_to_others_and_is_no_vote(desk: Desk) -> None:
    office = desk(systems=("good", "poor"), overlap=1, items=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    shown = office.next(ann)
    assert shown is not None
    with pytest.raises(UsageError, match="reason"):
        annotate.skip(office.store, ann, shown.token, "bored")  # type: ignore[arg-type]
    annotate.skip(office.store, ann, shown.token, "recognised", "I know this style")
    annotate.skip(office.store, ann, shown.token, "other")
    assert office.next(ann) is None
    assert annotate.progress(office.store, ann, office.campaign) == annotate.Progress(0, 0, 1)
    assert office.vote(ben, "left")
    assert [row["kind"] for row in rows(office, "revision")] == ["skip", "vote"]
    assert annotate.history(office.store, ann, office.campaign)[0].answers is None


def test_a_flag_is_kept_once_for_each_reason_and_the_vote_goes_on(desk: Desk) -> None:
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    for said_now in ("the key point is wrong", "line 3"):
        annotate.flag(office.store, ann, shown.token, "key_points", said_now)
    assert [row["comment"] for row in rows(office, "flag")] == ["line 3"]
    assert office.submit(ann, shown, "left").counted


def test_least_judged_first_and_each_person_in_an_order_of_their_own(desk: Desk) -> None:
    office = desk(systems=("good", "poor"), overlap=2)
    ann, ben, eve = (office.hire(name) for name in ("ann", "ben", "eve"))
    office.work(ann, lambda _: {"verdict": "tie"}, limit=6)
    office.work(ben, lambda _: {"verdict": "tie"}, limit=6)
    with office.store.read() as tx:
        taken = (
            tx.execute(select(func.count()).select_from(schema.presentation).group_by(schema.presentation.c.unit))
            .scalars()
            .all()
        )
    assert Counter(taken) == {1: 12}, "no unit got a second vote before each had one"
    orders = []
    for person in (ann, eve):
        office.work(person, lambda _: {"verdict": "tie"})
        orders.append([row["unit"] for row in rows(office, "presentation") if row["person"] == person])
    assert Counter(row["slot"] for row in rows(office, "presentation")) == {1: 12, 2: 12}
    assert orders[0][:6] != sorted(orders[0][:6]), "not the order in which they were made"


def test_silent_checks_and_repeats_come_in_between_and_take_no_slot(desk: Desk) -> None:
    from harness import qualifying

    lesson_gold = [one for one in qualifying.load(_rubric()) if one.part == "test"][:40]
    office = desk(overlap=1, attention=4, gold=5, repeat=6, exercises_as_gold=lesson_gold)
    ann = office.hire("ann")
    total = office.work(ann, lambda _: {"verdict": "left"})
    kinds = Counter()
    units = {row["id"]: row["purpose"] for row in rows(office, "unit")}
    for row in rows(office, "presentation"):
        kinds["repeat" if row["repeat"] else units[row["unit"]]] += 1
        assert (row["slot"] is None) == (row["repeat"] == 1 or units[row["unit"]] != "real")
    assert kinds["real"] == 36
    assert kinds["gold"] > 0
    assert kinds["attention"] > 0
    assert kinds["repeat"] > 0
    assert sum(kinds.values()) == total
    sides = {(row["unit"], row["repeat"]): row["swapped"] for row in rows(office, "presentation")}
    assert all(sides[unit, 0] != swapped for (unit, repeat), swapped in sides.items() if repeat), "swapped sides"


def _rubric():  # type: ignore[no-untyped-def]
    from harness import rubric

    return rubric.load("guidance")


def test_sides_are_drawn_from_the_seed_and_about_even(desk: Desk) -> None:
    office = desk()
    people = [office.hire(f"p{i}") for i in range(2)]
    for person in people:
        office.work(person, lambda _: {"verdict": "left"})
    swapped = [row["swapped"] for row in rows(office, "presentation")]
    assert len(swapped) == 72
    assert 20 <= sum(swapped) <= 52  # type: ignore[arg-type]


def test_every_vote_carries_the_guideline_that_was_read_and_the_content_it_was_for(desk: Desk) -> None:
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    annotate.submit(office.store, ann, shown.token, annotate.Preference("left"), read="zh")
    (row,) = rows(office, "revision")
    guide = row["guideline"]
    assert guide["language"] == "zh"  # type: ignore[index]
    assert len(guide["digest"]) == 64  # type: ignore[index,arg-type]
    assert row["content"] in {unit["content"] for unit in rows(office, "unit")}


def test_a_closed_campaign_takes_nothing(desk: Desk) -> None:
    office = desk()
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    annotate.set_open(office.store, office.lead, office.campaign, False)
    with pytest.raises(UsageError, match="closed"):
        office.submit(ann, shown, "left")
    annotate.set_open(office.store, office.lead, office.campaign, True)
    assert office.submit(ann, shown, "left").counted


def test_hostile_text_survives_storing(desk: Desk) -> None:
    """S15: NUL, half a surrogate pair and direction overrides in a text or a rationale."""
    office = desk()
    ann = office.hire("ann")
    evil = "\x00 \ud83d ‮ <script>alert(1)</script> ' OR 1=1 --"
    shown = office.next(ann)
    assert shown is not None
    annotate.submit(office.store, ann, shown.token, annotate.Preference("left", 1, evil))
    (past,) = annotate.history(office.store, ann, office.campaign)
    assert past.answers == annotate.Preference("left", 1, evil)
    with office.store.read() as tx:
        assert tx.execute(text("select count(*) from revision")).scalar() == 1
