"""What leaves the store: pairs and labels that people agree on, never test items, nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotate_support import OPEN, SYSTEMS, Office, record_texts, said, speaker
from sqlalchemy import select
from support import item_row, make_task

from harness import annotate, task
from harness.annotate import schema
from harness.errors import UsageError
from harness.types import Task

Desk = Callable[..., Office]


def out(office: Office, form: str) -> annotate.Exported:
    return annotate.export(office.store, office.lead, office.campaign, form)


def counts(verdicts: dict[str, list[str]]) -> Callable[[str], Callable[[annotate.Presentation], dict[str, Any]]]:
    """What each of several people says of each item: {"ann": [verdict on item 0, on item 1, ...]}"""

    def of(name: str) -> Callable[[annotate.Presentation], dict[str, Any]]:
        return lambda shown: {"verdict": verdicts[name][int(shown.left.split(":")[0].split("-")[1])]}

    return of


@pytest.fixture
def three(desk: Desk) -> Office:
    """Six items compared by three people: agreed, two thirds, half, tied, both bad, and one without a majority."""
    office = desk(systems=("good", "poor"), overlap=3, items=None)
    judge = counts(
        {
            "ann": ["good", "good", "good", "tie", "both_bad", "good", *["tie"] * 6],
            "ben": ["good", "good", "tie", "tie", "both_bad", "poor", *["tie"] * 6],
            "eve": ["good", "poor", "both_bad", "tie", "both_bad", "tie", *["tie"] * 6],
        }
    )
    for name in ("ann", "ben", "eve"):
        office.work(office.hire(name), judge(name))
    return office


def test_pairs_need_two_thirds_and_ties_and_both_bad_make_none(three: Office) -> None:
    made = out(three, "dpo")
    assert [row["item"]["id"] for row in made.rows] == ["item-0", "item-1"]
    for row in made.rows:
        assert speaker(row["chosen"][0]["content"]) == "good"
        assert speaker(row["rejected"][0]["content"]) == "poor"
        assert row["prompt"][0]["role"] == "system"
        assert row["prompt"][-1]["role"] == "user"
    assert made.left_out == {"no majority": 2, "tie": 7, "both_bad": 1}


def test_a_bare_majority_is_not_enough(desk: Desk) -> None:
    office = desk(systems=("good", "poor"), overlap=5, items=1)
    for number, verdict in enumerate(("good", "good", "good", "poor", "tie")):
        office.vote(office.hire(f"p{number}"), verdict)
    made = out(office, "dpo")
    assert (made.rows, made.left_out) == ((), {"no majority": 1})


def test_margins_are_signed_strengths(desk: Desk) -> None:
    office = desk(systems=("good", "poor"), overlap=3, items=1)
    for name, verdict, strength in (("ann", "good", 3), ("ben", "good", 2), ("eve", "poor", 1)):
        office.vote(office.hire(name), verdict, strength=strength)
    (row,) = out(office, "reward").rows
    assert row["margin"] == pytest.approx((3 + 2 - 1) / 3)


def test_both_bad_gives_two_false_rows(three: Office) -> None:
    made = out(three, "unpaired")
    assert [(row["item"]["id"], row["label"]) for row in made.rows] == [("item-4", False)] * 2
    assert {speaker(row["completion"][0]["content"]) for row in made.rows} == {"good", "poor"}


def test_ratings_give_unpaired_labels_by_satisfaction(desk: Desk) -> None:
    office = desk("rate", overlap=1)
    mean = {"good": 5, "fair": 3, "poor": 1}
    office.work(office.hire("ann"), lambda shown: {"satisfaction": mean[speaker(shown.left)]})
    made = out(office, "unpaired")
    assert {(speaker(row["completion"][0]["content"]), row["label"]) for row in made.rows} == {
        ("good", True),
        ("poor", False),
    }
    assert made.left_out == {"neither good nor bad": 12}
    with pytest.raises(UsageError, match="comparison"):
        out(office, "dpo")
    with pytest.raises(UsageError, match="unknown format"):
        out(office, "csv")


def test_a_ruling_decides_what_people_could_not(three: Office) -> None:
    case = next(one for one in annotate.cases(three.store, three.lead, three.campaign) if one.item.id == "item-2")
    side = "left" if speaker(case.left) == "poor" else "right"
    annotate.adjudicate(three.store, three.lead, case.unit, annotate.Ruling(verdict=side))  # type: ignore[arg-type]
    made = out(three, "dpo")
    assert [row["item"]["id"] for row in made.rows] == ["item-0", "item-1", "item-2"]
    assert speaker(made.rows[2]["chosen"][0]["content"]) == "poor"
    assert [row["ruled"] for row in made.provenance["rows"]] == [False, False, True]


@pytest.mark.parametrize("split", ["test", "test-unseen"])
def test_test_items_are_refused(store: annotate.Store, runs: Path, tmp_path: Path, split: str) -> None:
    rows = [item_row(i, split=split if i == 11 else "train") for i in range(12)]
    lesson = task.load(str(make_task(tmp_path / "task", rows)))
    found = [record_texts(runs, lesson, name) for name in SYSTEMS]
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(overlap=1, qualify=None, attention=0, repeat=0)
    annotate.create(store, lead, "compare", "compare", lesson, found, options)
    office = Office(store, lesson, runs, "compare", lead, None)  # type: ignore[arg-type]
    office.work(office.hire("ann"), lambda _: {"verdict": "left"})
    for form in annotate.FORMATS:
        with pytest.raises(UsageError, match="Test items never train"):
            out(office, form)


def test_provenance_names_nobody_and_says_where_each_row_came_from(three: Office, tmp_path: Path) -> None:
    made = out(three, "dpo")
    path = tmp_path / "pairs.jsonl"
    beside = annotate.write(made, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 2
    told = json.loads(beside.read_text())
    assert [one["item"] for one in told["rows"]] == ["item-0", "item-1"]
    assert [one["votes"] for one in told["rows"]] == [3, 3]
    assert [one["agreement"] for one in told["rows"]] == [1.0, pytest.approx(2 / 3)]
    assert told["about"]["left_out"] == made.left_out
    people = [one.id for one in annotate.everyone(three.store, three.lead)]
    text = beside.read_text() + path.read_text()
    assert not any(one in text for one in people)
    assert not any(f'"{name}"' in text for name in ("ann", "ben", "eve"))
    assert len({who for row in told["rows"] for who in row["annotators"]}) == 3
    with pytest.raises(UsageError, match="exists already"):
        annotate.write(made, path)
    with three.store.read() as tx:
        actions = tx.execute(select(schema.audit.c.action)).scalars().all()
    assert "export" in actions


def test_excluded_people_train_nothing(three: Office) -> None:
    eve = next(one for one in annotate.everyone(three.store, three.lead) if one.name == "eve")
    annotate.exclude(three.store, three.lead, three.campaign, eve.id, "not awake")
    assert [row["item"]["id"] for row in out(three, "dpo").rows] == ["item-0", "item-1"]
    assert set(out(three, "dpo").provenance["about"]["excluded"].values()) == {"not awake"}
    with pytest.raises(UsageError, match="nothing to export"):
        annotate.write(annotate.Exported((), {}, {"tie": 3}), Path("x"))


def test_the_table_of_votes_runs_in_no_spreadsheet(desk: Desk, lesson: object, runs: Path) -> None:
    """S4"""
    office = desk(systems=("good", "poor"), overlap=1)
    office.work(office.hire("ann"), lambda _: {"verdict": "left", "rationale": '=HYPERLINK("http://x","y")'})
    rows = list(
        csv.DictReader(io.StringIO(annotate.votes_csv(office.store, office.lead, office.campaign).decode("utf-8-sig")))
    )
    assert len(rows) == 12
    for row in rows:
        assert row["rationale"].startswith("'=HYPERLINK")
        assert (row["verdict"] == row["left"]) is True, "left was clicked"
        assert row["x"] == "good"
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


def test_training_data_holds_formulas_as_they_are(store: annotate.Store, lesson: Task, runs: Path) -> None:
    """S4: only what a spreadsheet opens is quoted."""
    found = [record_texts(runs, lesson, name, lambda *key: f"={said(*key)}") for name in ("good", "poor")]
    lead = annotate.operator(store, "lead").id
    made = annotate.create(store, lead, "compare", "compare", lesson, found, annotate.Settings(**OPEN, overlap=1))
    one = Office(store, lesson, runs, "compare", lead, made)
    one.work(lead, lambda _: {"verdict": "left"})
    rows = annotate.export(store, lead, "compare", "dpo").rows
    assert len(rows) == 12
    assert all(row[side][0]["content"].startswith("=item-") for row in rows for side in ("chosen", "rejected"))


def test_texts_that_tell_whose_they_are_are_left_out(store: annotate.Store, lesson: object, runs: Path) -> None:
    def named(system: str, item: str) -> str:
        return said(system[0], item) + {"item-0": " 我是通义千问。", "item-2": " As ppo-7b I think so."}.get(item, "")

    found = [record_texts(runs, lesson, name, named) for name in ("ppo-7b", "dpo-7b")]  # type: ignore[arg-type]
    lead = annotate.operator(store, "lead").id
    made = annotate.create(store, lead, "compare", "compare", lesson, found)  # type: ignore[arg-type]
    assert made.units["real"] == 10
    assert made.left_out == {"names its system": 4}
    same = [record_texts(runs, lesson, name, lambda *_: "The same.", weights=name) for name in ("a", "b")]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing to compare"):
        annotate.create(store, lead, "same", "compare", lesson, same)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="exists already"):
        annotate.create(store, lead, "compare", "compare", lesson, found)  # type: ignore[arg-type]
    for name in ("../../x", "/etc/x", "C:\\x", "x" * 65, "-rf", "Ünicode", ""):
        with pytest.raises(UsageError, match="campaign name"):  # S3
            annotate.create(store, lead, name, "compare", lesson, found)  # type: ignore[arg-type]
