"""What votes say: sides (A7), agreement (A10), rulings, checks, judge against people, and what the board shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from annotate_support import LABELS, OPEN, Office, record_texts, said, speaker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support import GOOD, item_row, make_task, record

from harness import annotate, board, task
from harness.annotate import schema, votes
from harness.annotate.head_to_head import Outcome, summary
from harness.errors import UsageError
from harness.record import Run, find_runs
from harness.stats.agreement import krippendorff_alpha
from harness.types import Score, Task

Desk = Callable[..., Office]


WISHES = st.lists(st.sampled_from(["good", "poor", "tie", "both_bad"]), min_size=12, max_size=12)


@given(wishes=WISHES, seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_database_export_and_board_credit_whom_the_person_meant(
    lesson: Task, runs: Path, tmp_path: Path, wishes: list[str], seed: int
) -> None:
    """A7: whatever was wished for each item, on whatever side each text stood."""
    found = find_runs(runs) or [record_texts(runs, lesson, name) for name in ("good", "poor")]
    store = annotate.open_store(tmp_path / f"{uuid4()}.db")
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=1, seed=seed, qualify=None, attention=0, repeat=0)
    annotate.create(store, lead, "compare", "compare", lesson, found, options)
    office = Office(store, lesson, runs, "compare", lead, None)  # type: ignore[arg-type]
    clicked: list[str] = []
    while (shown := office.next(lead)) is not None:
        wish = wishes[number(shown)]
        if wish in ("good", "poor"):
            clicked.append("left" if speaker(shown.left) == wish else "right")
        office.submit(lead, shown, wish)
    with store.read() as tx:
        kept = votes.read(tx, "compare")
    assert len(kept) == 12
    for vote in kept:  # the database
        verdict = vote.answers["verdict"]
        side = {"x": vote.unit.x, "y": vote.unit.y}.get(verdict)
        assert (side.system if side else verdict) == wishes[int(vote.unit.item.id.split("-")[1])]
    pairs = annotate.export(store, lead, "compare", "dpo").rows  # the export
    assert {row["item"]["id"]: speaker(row["chosen"][0]["content"]) for row in pairs} == {
        f"item-{place}": wish for place, wish in enumerate(wishes) if wish in ("good", "poor")
    }
    assert all(speaker(row["chosen"][0]["content"]) != speaker(row["rejected"][0]["content"]) for row in pairs)
    (duel,) = annotate.by_people(store, "compare").duels  # the board's table
    assert (duel.a, duel.b) == ("good", "poor")
    assert [duel.wins, duel.losses, duel.ties, duel.both_bad] == [
        wishes.count(one) for one in ("good", "poor", "tie", "both_bad")
    ]
    left = annotate.by_people(store, "compare").left
    assert (left.value if left else None) == (pytest.approx(clicked.count("left") / len(clicked)) if clicked else None)
    store.close()


@given(
    wishes=st.tuples(WISHES, WISHES),
    runs_turned=st.booleans(),
    doubts=st.sets(st.integers(0, 11)),
    seed=st.integers(0, 99),
)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_people_any_order_of_runs_repeats_and_second_thoughts(
    lesson: Task,
    runs: Path,
    tmp_path: Path,
    wishes: tuple[list[str], list[str]],
    runs_turned: bool,
    doubts: set[int],
    seed: int,
) -> None:
    """A7: which run was named first, a repeat with its sides swapped, or a vote that was given anew moves no credit."""
    found = find_runs(runs) or [record_texts(runs, lesson, name) for name in ("good", "poor")]
    store = annotate.open_store(tmp_path / f"{uuid4()}.db")
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=2, seed=seed, qualify=None, attention=0, gold=0, repeat=4)
    annotate.create(store, lead, "compare", "compare", lesson, found[::-1] if runs_turned else found, options)
    office = Office(store, lesson, runs, "compare", lead, None)  # type: ignore[arg-type]
    for name, mine in zip(("ann", "ben"), wishes, strict=True):
        person, sides = office.hire(name), dict[int, str]()
        while (shown := office.next(person)) is not None:
            item = number(shown)
            if item in sides:
                assert sides[item] != shown.left, "a repeat swaps the sides"
            sides[item] = shown.left
            if item in doubts:
                office.submit(person, shown, "left")
                shown = annotate.undo(store, person, "compare")
            office.submit(person, shown, mine[item])
    both = list(zip(*wishes, strict=True))
    (duel,) = annotate.by_people(store, "compare").duels
    every = [*wishes[0], *wishes[1]]
    assert (duel.a, duel.b, duel.n) == ("good", "poor", 24)
    assert [duel.wins, duel.losses, duel.ties, duel.both_bad] == [
        every.count(one) for one in ("good", "poor", "tie", "both_bad")
    ]
    pairs = annotate.export(store, lead, "compare", "dpo").rows
    assert {row["item"]["id"]: speaker(row["chosen"][0]["content"]) for row in pairs} == {
        f"item-{place}": one for place, (one, other) in enumerate(both) if one == other and one in ("good", "poor")
    }
    store.close()


@given(
    marks=st.lists(st.integers(1, 5), min_size=24, max_size=24),
    runs_turned=st.booleans(),
    doubts=st.sets(st.integers(0, 23)),
)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_published_scores_credit_the_text_that_was_rated(
    lesson: Task, runs: Path, tmp_path: Path, marks: list[int], runs_turned: bool, doubts: set[int]
) -> None:
    """A7: satisfaction and labels stand in the run whose text was on the screen, whichever run was named first."""
    found = find_runs(runs) or [record_texts(runs, lesson, name, values=lambda *_: GOOD) for name in ("good", "poor")]
    store = annotate.open_store(tmp_path / f"{uuid4()}.db")
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(**{**OPEN, "repeat": 5}, overlap=1)
    annotate.create(store, lead, "rate", "rate", lesson, found[::-1] if runs_turned else found, options)
    office = Office(store, lesson, runs, "rate", lead, None)  # type: ignore[arg-type]
    while (shown := office.next(lead)) is not None:
        place = number(shown) + 12 * (speaker(shown.left) == "poor")
        if place in doubts:
            office.submit(lead, shown, satisfaction=6 - marks[place], D3="partial")
            shown = annotate.undo(store, lead, "rate")
        office.submit(lead, shown, satisfaction=marks[place], D3="yes" if marks[place] > 2 else "no")
    annotate.publish(store, lead, lesson, found)
    rows = {row.system: row for row in board.from_folder(lesson, runs).rows}
    for system, mine in (("good", marks[:12]), ("poor", marks[12:])):
        (run,) = [run for run in found if run.manifest["system"] == system]
        published = {(one.item, one.criterion): one.value for one in run.people()}
        assert [published[f"item-{place}", "satisfaction"] for place in range(12)] == mine
        assert [published[f"item-{place}", "D3"] for place in range(12)] == [2.0 * (mark > 2) for mark in mine]
        assert rows[system].metrics["satisfaction"].value == pytest.approx(sum(mine) / 12)
    store.close()


def test_edits_history_and_undo_keep_the_side_that_was_clicked(desk: Desk) -> None:
    """A7, A8: twelve times, so that some texts stand on either side."""
    office = desk(systems=("good", "poor"), overlap=1)
    ann = office.hire("ann")
    while (shown := office.next(ann)) is not None:
        office.submit(ann, shown, "tie")
        clicked = office.answers(shown, "good")
        annotate.edit(office.store, ann, shown.token, clicked)
        assert annotate.history(office.store, ann, office.campaign, 1)[0].answers == clicked
        back = annotate.undo(office.store, ann, office.campaign)
        assert back.draft is not None
        assert annotate.Preference(**back.draft) == clicked
        annotate.submit(office.store, ann, back.token, annotate.Preference(**back.draft))
    (duel,) = annotate.by_people(office.store, office.campaign).duels
    assert (duel.a, duel.wins, duel.n) == ("good", 12, 12)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_swapping_every_side_changes_no_result(data: st.DataObject) -> None:
    """A7: (a, b, x) says what (b, a, y) says; only who stood left differs."""
    names, verdicts = st.sampled_from("abc"), st.sampled_from(["x", "y", "tie", "both_bad"])
    drawn = data.draw(st.lists(st.tuples(names, names, verdicts, st.integers(0, 5), st.integers(-9, 9)), min_size=1))
    outcomes = [Outcome(a, b, v, f"c{c}", gap, a) for a, b, v, c, gap in drawn if a != b]
    turned = [
        Outcome(
            one.second,
            one.first,
            {"x": "y", "y": "x"}.get(one.verdict, one.verdict),
            one.cluster,
            -one.length_gap,
            one.left,
        )
        if data.draw(st.booleans())
        else one
        for one in outcomes
    ]
    assert summary(outcomes, resamples=20) == summary(turned, resamples=20)


@given(verdict=st.sampled_from(["left", "right", "tie", "both_bad"]), swapped=st.booleans(), strength=st.integers(1, 3))
def test_what_is_stored_comes_back_as_it_was_clicked(verdict: str, swapped: bool, strength: int) -> None:
    from harness import rubric
    from harness.annotate.answers import shown, stored

    decided = verdict in ("left", "right")
    given_now = annotate.Preference(verdict, strength if decided else None, "why")  # type: ignore[arg-type]
    row = stored(given_now, "compare", rubric.load("guidance"), swapped)
    assert shown(row, swapped) == given_now
    if decided:
        assert (row["verdict"] == "x") == ((verdict == "left") != swapped)


def test_head_to_head_counts_ties_strengths_and_the_left_side(desk: Desk) -> None:
    office = desk(overlap=1)
    ann = office.hire("ann")
    order = {"good": 2, "fair": 1, "poor": 0}

    def judge(shown: annotate.Presentation) -> dict[str, Any]:
        a, b = speaker(shown.left), speaker(shown.right or "")
        if {a, b} == {"fair", "poor"}:
            return {"verdict": "tie" if "item-1:" in shown.left else "both_bad"}
        return {"verdict": max((a, b), key=order.__getitem__)}

    office.work(ann, judge)
    table = annotate.by_people(office.store, office.campaign)
    assert table.systems == ("fair", "good", "poor")
    assert table.wins == ((0, 0, 0), (12, 0, 12), (0, 0, 0))
    assert table.ties[0][2] == table.ties[2][0] == 1
    assert table.both_bad[0][2] == 11
    assert table.strengths[0].system == "good"
    assert set(table.strengths[0].surely_beats) == {"fair", "poor"}
    duel = next(one for one in table.duels if (one.a, one.b) == ("fair", "poor"))
    assert duel.rate is not None
    assert duel.controlled is not None
    assert (duel.n, duel.rate.value) == (12, 0.5)
    assert table.n == 36


def test_a_pair_turned_is_the_pair_named_the_other_way_round() -> None:
    verdicts = ["x", "x", "y", "tie", "x", "both_bad"]
    asked = [Outcome("a", "b", one, f"c{n % 3}", 3 * n - 5) for n, one in enumerate(verdicts)]
    swapped = {"x": "y", "y": "x"}
    answered = [Outcome("a", "b", swapped.get(one.verdict, one.verdict), one.cluster, -one.length_gap) for one in asked]
    (duel,), (other,) = summary(asked, resamples=5).duels, summary(answered, resamples=5).duels
    turned = duel.turned
    assert (turned.a, turned.b, turned.wins, turned.losses) == ("b", "a", other.wins, other.losses) == ("b", "a", 1, 3)
    assert turned.rate is not None
    assert other.rate is not None
    assert turned.controlled is not None
    assert other.controlled is not None
    for ours, theirs in ((turned.rate, other.rate), (turned.controlled, other.controlled)):
        assert [ours.value, ours.low, ours.high] == pytest.approx([theirs.value, theirs.low, theirs.high], abs=1e-6)
    assert turned.turned.rate is not None
    assert duel.rate is not None
    assert turned.turned.rate.value == pytest.approx(duel.rate.value)


def test_votes_on_one_problem_give_no_strengths() -> None:
    """Resampling one problem would draw the same table each time: an interval without width."""
    found = summary([Outcome("a", "b", "x", "only", 0)] * 3, resamples=5)
    assert found.strengths == ()
    assert found.duels[0].rate is None
    assert found.duels[0].turned.rate is None
    assert found.wins == ((0, 3), (0, 0))


def test_the_judge_has_a_table_of_the_same_form(lesson: Task, runs: Path) -> None:
    for name, d3 in (("a", 2.0), ("b", 0.0), ("c", 2.0)):
        record(runs, lesson, name, lambda *_, d3=d3: {**GOOD, "D3": d3})
    table = annotate.by_scores(lesson, find_runs(runs))
    assert {(one.a, one.b): (one.wins, one.losses, one.ties) for one in table.duels} == {
        ("a", "b"): (12, 0, 0),
        ("a", "c"): (0, 0, 12),
        ("b", "c"): (0, 12, 0),
    }
    assert table.left is None


def test_a_further_judge_has_its_own_table_and_slices(lesson: Task, runs: Path) -> None:
    """By the names that the board gives: the check says that a is good, the judge that b is."""
    for name, check, judge in (("a", GOOD, 0.0), ("b", {**GOOD, "D3": 0.0}, 2.0)):
        said = [(item.id, key, {**GOOD, "D3": judge}[key]) for item in lesson.items for key in GOOD]
        extra = tuple(Score(item, 0, key, "judge/x@1", value) for item, key, value in said)
        record(runs, lesson, name, lambda *_, check=check: check, extra=extra)
    found = find_runs(runs)
    assert "gold_score@judge/x" in board.from_folder(lesson, runs).rows[0].metrics
    tables = {
        metric: annotate.by_scores(lesson, found, metric)
        for metric in ("gold_score", "gold_score@judge/x", "D3@judge/x")
    }
    assert {metric: (one.duels[0].wins, one.duels[0].losses) for metric, one in tables.items()} == {
        "gold_score": (12, 0),
        "gold_score@judge/x": (0, 12),
        "D3@judge/x": (0, 12),
    }
    assert annotate.by_scores(lesson, found, "gold_score@judge/y").n == 0
    of = {
        metric: board.slices(lesson, found, metric, ("language",))
        for metric in ("guidance_accuracy", "guidance_accuracy@judge/x", "D3@judge/y")
    }
    assert [one.metric and one.metric.value for one in of["guidance_accuracy"]] == [1.0, 0.0, 1.0, 0.0]
    assert [one.metric and one.metric.value for one in of["guidance_accuracy@judge/x"]] == [0.0, 1.0, 0.0, 1.0]
    assert [one.metric for one in of["D3@judge/y"]] == [None] * 4


def test_agreement_is_krippendorffs_on_the_counted_votes(desk: Desk) -> None:
    office = desk("rate", systems=("good",), overlap=2)
    ann, ben = office.hire("ann"), office.hire("ben")
    grades = {"ann": ["yes", "partial", "no"] * 4, "ben": ["yes", "yes", "no"] * 4}

    def judge(name: str) -> Callable[[annotate.Presentation], dict[str, Any]]:
        return lambda shown: {"D3": grades[name][number(shown)], "satisfaction": 1 + number(shown) % 5}

    office.work(ann, judge("ann"))
    office.work(ben, judge("ben"))
    rows = {
        (row.criterion, row.language): row for row in annotate.agreement(office.store, office.lead, office.campaign)
    }
    value = {"yes": 2, "partial": 1, "no": 0}
    table = [[value[a], value[b]] for a, b in zip(grades["ann"], grades["ben"])]
    wanted = krippendorff_alpha(table, "ordinal")
    found = rows["D3", ""]
    assert found.alpha.value == pytest.approx(wanted.value)
    assert found.alpha.low is not None
    assert found.alpha.high is not None
    assert found.alpha.low <= found.alpha.value <= found.alpha.high  # type: ignore[operator]
    assert (found.raters, found.labels, found.kappa_name) == (2, 24, "cohen")
    assert found.share == pytest.approx(2 / 3)
    assert {language for _, language in rows} == {"", "en", "zh"}
    assert rows["satisfaction", ""].alpha.value == pytest.approx(1.0)


def number(shown: annotate.Presentation) -> int:
    return int(shown.left.split(":")[0].split("-")[1])


def test_agreement_that_is_not_defined_says_why(desk: Desk) -> None:
    """A10"""
    office = desk(overlap=3)
    ann, ben = office.hire("ann"), office.hire("ben")

    def state() -> tuple[str, float | None, str]:
        row = annotate.agreement(office.store, office.lead, office.campaign)[0]
        return row.state, row.alpha.value, row.alpha.reason

    assert state()[:2] == ("no_votes", None)
    office.work(ann, lambda _: {"verdict": "tie"}, limit=18)
    assert state()[:2] == ("one_annotator", None)
    office.work(ben, lambda _: {"verdict": "tie"}, limit=18)  # least judged first: none of ann's
    assert state()[:2] == ("no_overlap", None)
    office.work(ben, lambda _: {"verdict": "tie"})
    assert state() == (
        "no_variation",
        None,
        "all labels are of one category, so no disagreement could be expected",
    )


def test_rulings_come_lowest_agreement_first_blind_and_keep_the_votes(desk: Desk) -> None:
    office = desk("rate", systems=("good",), overlap=2, items=3)
    ann, ben = office.hire("ann"), office.hire("ben")
    bad = {name: "no" for name in LABELS if name.startswith("D")}
    office.work(ann, lambda _: {})
    seen: list[int] = []

    def differ(shown: annotate.Presentation) -> dict[str, Any]:
        seen.append(number(shown))
        return [{}, {"D3": "partial"}, bad][len(seen) - 1]

    office.work(ben, differ)
    cases = annotate.cases(office.store, office.lead, office.campaign)
    assert [number_of(case.left) for case in cases] == [seen[2], seen[1]], "what all agree on needs no ruling"
    assert cases[0].agreement < cases[1].agreement < 1
    assert cases[1].disputed == ("D3",)
    annotate.adjudicate(office.store, office.lead, cases[1].unit, annotate.Ruling({"D3": "no"}, rationale="see page 4"))
    assert len(annotate.cases(office.store, office.lead, office.campaign)) == 1
    annotate.adjudicate(office.store, office.lead, cases[1].unit, annotate.Ruling({"D3": "yes"}))
    (_, settled) = annotate.cases(office.store, office.lead, office.campaign, settled=True)
    assert settled.ruling == annotate.Ruling({"D3": "yes"})
    assert len(settled.opinions) == 2
    with office.store.read() as tx:
        assert len(tx.execute(select(schema.adjudication)).all()) == 2, "the first ruling is kept"
        assert len(votes.read(tx, office.campaign)) == 6
    for ruling in (annotate.Ruling(), annotate.Ruling(verdict="left"), annotate.Ruling({"D3": "maybe"})):
        with pytest.raises(UsageError):
            annotate.adjudicate(office.store, office.lead, cases[0].unit, ruling)
    with pytest.raises(annotate.Refused):
        annotate.adjudicate(office.store, ann, cases[0].unit, annotate.Ruling({"D3": "no"}))
    with pytest.raises(annotate.Refused):
        annotate.cases(office.store, ann, office.campaign)


def number_of(text: str) -> int:
    return int(text.split(":")[0].split("-")[1])


def test_a_ruling_by_side_credits_the_system_that_stood_there(desk: Desk) -> None:
    office = desk(overlap=2, systems=("good", "poor"))
    ann, ben = office.hire("ann"), office.hire("ben")
    office.work(ann, lambda _: {"verdict": "good"})
    office.work(ben, lambda _: {"verdict": "poor"})
    cases = annotate.cases(office.store, office.lead, office.campaign)
    assert len(cases) == 12
    lefts, meant = set(), set()
    for case in cases:
        left = speaker(case.left)
        for opinion in case.opinions:  # opinions are told by the sides as the lead sees them
            assert isinstance(opinion.answers, annotate.Preference)
            meant.add((opinion.who, (opinion.answers.verdict == "left") == (left == "good")))
        lefts.add(left)
        verdict = "left" if left == "good" else "right"
        annotate.adjudicate(office.store, office.lead, case.unit, annotate.Ruling(verdict=verdict))  # type: ignore[arg-type]
    assert lefts == {"good", "poor"}
    assert sorted(good for _, good in meant) == [False, True], "each always meant the same system"
    rows = annotate.export(office.store, office.lead, office.campaign, "dpo").rows
    assert len(rows) == 12
    assert {speaker(row["chosen"][0]["content"]) for row in rows} == {"good"}


def test_checks_repeats_and_haste_are_counted_and_exclusion_is_a_filter(desk: Desk) -> None:
    office = desk("rate", systems=("good", "poor"), overlap=2, attention=3, repeat=4)
    ann, ben = office.hire("ann"), office.hire("ben")

    def careful(shown: annotate.Presentation) -> dict[str, Any]:
        strange = ("引导" in shown.left) != (shown.item.language == "zh")
        return {"G3": "fail"} if strange else {}

    office.work(ann, careful)
    office.work(ben, lambda _: {"satisfaction": 2})
    found = {one.id: one for one in annotate.annotators(office.store, office.lead, office.campaign)}
    assert found[ann].attention.n == found[ben].attention.n > 0
    assert (found[ann].attention.value, found[ben].attention.value) == (1.0, 0.0)
    assert found[ann].repeats.value == 1.0
    assert found[ann].repeats.n > 0
    assert found[ann].hasty.value == 1.0, "the clock of the tests stands nearly still"
    status = annotate.status(office.store, office.lead, office.campaign)
    assert (status.units, status.wanted, status.given, status.complete, status.stuck) == (24, 48, 48, 24, 0)
    before = annotate.agreement(office.store, office.lead, office.campaign)[0]
    annotate.exclude(office.store, office.lead, office.campaign, ben, "attention checks failed")
    after = annotate.agreement(office.store, office.lead, office.campaign)[0]
    assert (before.raters, after.raters) == (2, 1)
    named = {one.id: one.excluded for one in annotate.annotators(office.store, office.lead, office.campaign)}
    assert named == {ann: "", ben: "attention checks failed"}
    annotate.exclude(office.store, office.lead, office.campaign, ben, "talked it over", out=False)
    assert annotate.agreement(office.store, office.lead, office.campaign)[0] == before
    with pytest.raises(UsageError, match="why"):
        annotate.exclude(office.store, office.lead, office.campaign, ben, " ")


def test_status_counts_skips_flags_and_what_is_stuck(desk: Desk) -> None:
    office = desk(systems=("good", "poor"), overlap=1, items=2)
    ann = office.hire("ann")
    shown = office.next(ann)
    assert shown is not None
    annotate.flag(office.store, ann, shown.token, "key_points", "the step is wrong")
    annotate.skip(office.store, ann, shown.token, "subject")
    office.vote(ann, "left")
    status = annotate.status(office.store, office.lead, office.campaign)
    assert (status.given, status.complete, status.stuck, status.skipped, status.flagged) == (1, 1, 1, {"subject": 1}, 1)
    (flag,) = annotate.flags(office.store, office.lead, office.campaign)
    assert (flag.reason, flag.comment, flag.item[:5]) == ("key_points", "the step is wrong", "item-")


def test_judge_against_people(store: annotate.Store, lesson: Task, runs: Path) -> None:
    judged = {number: 2.0 if number % 2 else 1.0 for number in range(12)}
    run = record_texts(
        runs, lesson, "good", values=lambda n, _: {**GOOD, "D3": judged[n], "D4": None}, source="judge/x@1"
    )
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=1, qualify=None, attention=0, repeat=0)
    annotate.create(store, lead, "rate", "rate", lesson, [run], options)
    one = Office(store, lesson, runs, "rate", lead, None)  # type: ignore[arg-type]
    ann = one.hire("ann")
    one.work(ann, lambda shown: {"D3": "yes" if number(shown) % 2 or number(shown) == 0 else "partial", "G2": "fail"})
    found = {match.criterion: match for match in annotate.against_people(store, lead, "rate", [run])}
    d3 = found["D3"]
    assert d3.source == "judge/x@1"
    assert d3.confusion == {("yes", "yes"): 6, ("partial", "partial"): 5, ("yes", "partial"): 1}
    assert d3.accuracy == pytest.approx(11 / 12)
    assert d3.kappa.low is not None
    (different,) = d3.disagreements
    assert (different.item, different.people, different.judge) == ("item-0", "yes", "partial")
    assert found["D4"].unscored == 12
    assert found["G2"].accuracy == 0
    changed = record_texts(runs, lesson, "good", lambda *key: said(*key) + " Anew.", weights="2")
    assert annotate.against_people(store, lead, "rate", [changed]) == [], "another run's texts were not seen by anyone"


def test_judge_against_people_on_pairs(store: annotate.Store, lesson: Task, runs: Path) -> None:
    found = [
        record_texts(runs, lesson, name, values=lambda *_, d3=d3: {**GOOD, "D3": d3}, source="judge/x@1")
        for name, d3 in (("good", 2.0), ("poor", 1.0))
    ]
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=1, qualify=None, attention=0, repeat=0)
    annotate.create(store, lead, "compare", "compare", lesson, found, options)
    one = Office(store, lesson, runs, "compare", lead, None)  # type: ignore[arg-type]
    ann = one.hire("ann")
    one.work(ann, lambda shown: {"verdict": "poor" if "item-3:" in shown.left else "good"})
    (match,) = annotate.against_people(store, lead, "compare", found)
    assert match.confusion == {("x", "x"): 11, ("y", "x"): 1}
    assert [one.item for one in match.disagreements] == ["item-3"]


def rated(
    store: annotate.Store, the_task: Task, runs: Path, satisfaction: dict[str, int], d3: dict[int, str]
) -> Office:
    """Two systems on twelve items, scored D3 = 2 by a check; people rate the first six items."""
    for name in satisfaction:
        record_texts(runs, the_task, name, values=lambda *_: dict(GOOD))
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=1, qualify=None, attention=0, repeat=0)
    annotate.create(store, lead, "rate", "rate", the_task, find_runs(runs), options)
    one = Office(store, the_task, runs, "rate", lead, None)  # type: ignore[arg-type]
    ann = one.hire("ann")
    while (shown := one.next(ann)) is not None:
        if number(shown) < 6:
            system = speaker(shown.left)
            one.submit(ann, shown, satisfaction=satisfaction[system], D3=d3.get(number(shown), "yes"))
        else:
            annotate.skip(store, ann, shown.token, "other")
    return one


def test_the_board_shows_satisfaction_and_corrected_scores(store: annotate.Store, lesson: Task, runs: Path) -> None:
    """A7, A8: votes as scores; the latest revision counts."""
    one = rated(store, lesson, runs, {"good": 5, "poor": 2}, {0: "no", 1: "no"})
    before = board.from_folder(lesson, runs)
    assert all("satisfaction" not in row.metrics for row in before.rows), "not rated"
    assert annotate.publish(store, one.lead, lesson, find_runs(runs)) == {run.id: 6 for run in find_runs(runs)}
    rows = {row.system: row.metrics for row in board.from_folder(lesson, runs).rows}
    assert {name: metrics["satisfaction"].value for name, metrics in rows.items()} == {"good": 5.0, "poor": 2.0}
    good = rows["good"]
    assert good["satisfaction"].n == 6
    assert good["guidance_accuracy"].value == 1.0
    assert good["guidance_accuracy_people"].value == pytest.approx(4 / 6)
    assert good["guidance_accuracy_corrected"].value == pytest.approx(4 / 6), (
        "the check says 1 of all: nothing to weigh"
    )
    assert good["guidance_accuracy_corrected"].low is not None
    assert before.digest != board.from_folder(lesson, runs).digest
    ann = next(person for person in annotate.everyone(store, one.lead) if person.name == "ann")
    past = [one for one in annotate.history(store, ann.id, "rate") if one.answers and speaker(one.left) == "poor"]
    annotate.edit(store, ann.id, past[0].token, annotate.Rating(LABELS, 5))
    annotate.publish(store, one.lead, lesson, find_runs(runs))
    (poor,) = (row.metrics for row in board.from_folder(lesson, runs).rows if row.system == "poor")
    assert poor["satisfaction"].value == pytest.approx((2 * 5 + 5) / 6)


def test_votes_on_another_text_are_not_shown(store: annotate.Store, lesson: Task, runs: Path) -> None:
    """A6: neither for a run with other texts, nor for a run whose file was changed."""
    one = rated(store, lesson, runs, {"good": 5}, {})
    other = record_texts(runs, lesson, "good", lambda *key: said(*key) + " Anew.", weights="2")
    assert annotate.publish(store, one.lead, lesson, find_runs(runs))[other.id] == 0
    first = next(run for run in find_runs(runs) if run.id != other.id)
    path = first.folder / "responses.jsonl"
    path.write_text(path.read_text().replace("guidance. Which", "guidance! Which"))
    assert {score.item for score in Run(first.folder).people()} == {"item-1", "item-3", "item-5"}


def test_a_published_board_keeps_what_people_said(
    store: annotate.Store, lesson: Task, runs: Path, tmp_path: Path
) -> None:
    one = rated(store, lesson, runs, {"good": 5}, {})
    annotate.publish(store, one.lead, lesson, find_runs(runs))
    packed = tmp_path / "packed"
    board.publish_runs(lesson, find_runs(runs), packed)
    assert board.from_folder(lesson, packed).digest == board.from_folder(lesson, runs).digest
    copied = board.merge(runs, tmp_path / "elsewhere").copied
    assert len(copied) == 1
    (tmp_path / "elsewhere" / copied[0] / "people.jsonl").unlink()
    assert board.merge(runs, tmp_path / "elsewhere").known == copied, "the same run, whatever people have said since"


def test_half_and_half_is_no_consensus(desk: Desk) -> None:
    office = desk("rate", systems=("good",), overlap=2, items=1)
    ann, ben = office.hire("ann"), office.hire("ben")
    office.vote(ann, G1="pass", D1="na", D3="yes", tone="neutral", satisfaction=5)
    office.vote(ben, G1="fail", D1="yes", D3="no", tone="neutral", satisfaction=2)
    with office.store.read() as tx:
        given_now = votes.read(tx, office.campaign)
    rubric = annotate.get(office.store, office.campaign).rubric
    found = votes.agreed(given_now, {}, rubric)
    assert (found["G1"].value, found["G1"].reason) == (None, "annotators disagree")
    assert (found["D1"].value, found["D1"].reason) == (None, "annotators disagree")
    assert (found["D3"].value, found["D3"].label) == (1.0, "partial")
    assert found["tone"].label == "neutral"
    assert votes.satisfaction(given_now).value == 3.5
    assert votes.agreed(given_now, {"labels": {"G1": "fail"}}, rubric)["G1"].value == 0.0


def test_slices_say_where_and_grey_what_is_few(runs: Path, tmp_path: Path) -> None:
    rows = [item_row(i, difficulty=1 + i % 2, knowledge_point="heap" if i < 8 else "queue") for i in range(80)]
    the_task = task.load(str(make_task(tmp_path / "task", rows)))
    record(runs, the_task, "a", lambda n, _: {**GOOD, "D3": 0.0} if n < 8 else GOOD)
    found = board.slices(the_task, find_runs(runs), "guidance_accuracy", ("knowledge_point",))
    assert [(one.values, one.items, one.metric and one.metric.value, one.few) for one in found] == [
        (("heap",), 8, 0.0, True),
        (("queue",), 72, 1.0, False),
    ]
    both = board.slices(the_task, find_runs(runs), "guidance_accuracy", ("knowledge_point", "language", "difficulty"))
    assert sum(one.items for one in both) == 80
    assert [one.metric for one in board.slices(the_task, find_runs(runs), "satisfaction", ("language",))] == [
        None,
        None,
    ]
    with pytest.raises(UsageError, match="slice"):
        board.slices(the_task, find_runs(runs), "guidance_accuracy", ("colour",))


def test_reading_other_peoples_votes_needs_a_lead(desk: Desk) -> None:
    """S12"""
    office = desk("rate")
    ann = office.hire("ann")
    for call in (
        lambda: annotate.status(office.store, ann, office.campaign),
        lambda: annotate.annotators(office.store, ann, office.campaign),
        lambda: annotate.flags(office.store, ann, office.campaign),
        lambda: annotate.agreement(office.store, ann, office.campaign),
        lambda: annotate.cases(office.store, ann, office.campaign),
        lambda: annotate.against_people(office.store, ann, office.campaign, []),
        lambda: annotate.export(office.store, ann, office.campaign, "unpaired"),
        lambda: annotate.votes_csv(office.store, ann, office.campaign),
        lambda: annotate.publish(office.store, ann, office.task, []),
        lambda: annotate.exclude(office.store, ann, office.campaign, ann, "why"),
    ):
        with pytest.raises(annotate.Refused, match="not a lead"):
            call()
