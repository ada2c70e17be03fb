"""Whose votes train: liars are found while they are fewer than the others, and votes that do not agree train nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from loop_support import Annotator, vote
from support import item_row, make_task, record

from harness import annotate, task
from harness.errors import GateFailed, Incomplete
from harness.loop.votes import settle, write
from harness.record import Run, read_lines, write_text

SETTINGS = annotate.Settings(overlap=3, qualify=None, gold=0, attention=10, repeat=0)
TEXTS = {
    ("en", "good"): "Which end does the next one leave from?",
    ("en", "poor"): "Well done, carry on!",
    ("zh", "good"): "下一个元素从哪一端离开？请再走一遍。",
    ("zh", "poor"): "做得很好，继续加油吧！",
}


@pytest.fixture
def lead(store: annotate.Store, tmp_path: Path) -> str:
    """Two campaigns of 36 comparisons of a good and a poor system: `duel` has silent checks, `unchecked` none."""
    lesson = task.load(str(make_task(tmp_path / "task", [item_row(i, split="served") for i in range(36)])))
    language = {item.id: item.language for item in lesson.items}
    runs = []
    for system in ("good", "poor"):
        path = tmp_path / "runs" / record(tmp_path / "runs", lesson, system, lambda *_: {}) / "responses.jsonl"
        rows = [{**row, "text": f"{row['item']}: {TEXTS[language[row['item']], system]}"} for row in read_lines(path)]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        runs.append(Run(path.parent))
    me = annotate.operator(store, "lead").id
    annotate.create(store, me, "duel", "compare", lesson, runs, SETTINGS)
    annotate.create(store, me, "unchecked", "compare", lesson, runs, replace(SETTINGS, attention=0))
    return me


def worth(shown: annotate.Presentation, text: str) -> float:
    said = text.partition(": ")[2]
    return float(said == TEXTS[shown.item.language, "good"])


def crowd(honest: int, liars: int, skill: float = 0.9) -> list[Annotator]:
    return [
        *(Annotator(f"honest-{n}", skill) for n in range(honest)),
        *(Annotator(f"liar-{n}", 1 - skill) for n in range(liars)),
    ]


def test_a_third_of_liars_is_found_and_no_honest_person_with_them(store: annotate.Store, lead: str) -> None:
    ids = vote(store, lead, "duel", crowd(4, 2), worth)
    settled = settle(store, lead, "duel")
    assert set(settled.excluded) == {ids["liar-0"], ids["liar-1"]}
    chosen = [row["chosen"][0]["content"].partition(": ")[2] for row in settled.exported.rows]
    good = sum(text in (TEXTS["en", "good"], TEXTS["zh", "good"]) for text in chosen)
    assert good >= 0.95 * len(chosen)
    assert len(chosen) >= 18
    assert settle(store, lead, "duel").exported.rows == settled.exported.rows, "a second time nothing changes"


def test_without_checks_a_liar_is_found_by_the_others(store: annotate.Store, lead: str) -> None:
    ids = vote(store, lead, "unchecked", crowd(3, 1), worth)
    settled = settle(store, lead, "unchecked")
    assert set(settled.excluded) == {ids["liar-0"]}
    assert "agreed with others" in settled.excluded[ids["liar-0"]]


def test_good_annotators_lose_nobody(store: annotate.Store, lead: str) -> None:
    vote(store, lead, "duel", crowd(4, 0), worth)
    settled = settle(store, lead, "duel")
    assert settled.excluded == {}
    assert settled.agreement.low > 0.6


def test_people_who_toss_coins_train_nothing(store: annotate.Store, lead: str) -> None:
    vote(store, lead, "duel", [Annotator(f"coin-{n}", 0.5) for n in range(4)], worth)
    with pytest.raises(GateFailed, match="do not agree beyond chance"):
        settle(store, lead, "duel")


def test_votes_are_waited_for_unless_the_campaign_is_closed(store: annotate.Store, lead: str, tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="waits for 108 of 108 votes"):
        settle(store, lead, "duel")
    vote(store, lead, "duel", crowd(2, 0, skill=1.0), worth)
    with pytest.raises(Incomplete, match="waits for 36"):
        settle(store, lead, "duel")
    annotate.set_open(store, lead, "duel", False)
    settled = settle(store, lead, "duel")
    with pytest.raises(GateFailed, match="fewer than 37"):
        write(settled, tmp_path / "pairs.jsonl", 37)
    (tmp_path / "pairs.jsonl").write_text("torn")
    write(settled, tmp_path / "pairs.jsonl", 36)
    assert len(list(read_lines(tmp_path / "pairs.jsonl"))) == 36
