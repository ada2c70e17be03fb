"""From a log to a campaign: which turns are taken, what is never taken, and that a kill neither loses nor doubles one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop_support import feedback, served, turn_id, write_log
from support import command, easyds, read_jsonl

from harness import annotate, task
from harness.errors import GateFailed, Incomplete, UsageError
from harness.loop.choose import Wanted, choose, differ
from harness.loop.collect import TURNS, Order, _campaign, collect, taken
from harness.loop.served import read
from harness.record import Run, write_json
from harness.simulator.items import Plan, build
from harness.types import Item, Message, Task

WORKED: dict[str, Any] = {
    "families": ("queue",),
    "difficulties": (1,),
    "hint_levels": (0,),
    "register": "worked",
}


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return list(build(Plan("train", 12, seed=3, **WORKED)))


@pytest.fixture(scope="module")
def benchmark() -> Task:
    return task.load("ds-trace-demo")


def rows(items: list[Item]) -> list[dict[str, Any]]:
    """24 turns: 0 fell back, 1 failed a gate, 2 and 3 are rated low, 4 was asked for twice; 5 is 6's question again."""
    found = [served(number, item, f"Reply {number}: look at the step.") for number, item in enumerate(items)]
    found[0] |= {"fallback": True, "regenerated": True, "gates": [{"G2": True, "G3": False}] * 2}
    found[1] |= {"gates": [{"G2": False, "G3": True}]}
    found[4] |= {"regenerated": True}
    return [*found, feedback(2, rating=1), feedback(3, thumbs="down"), feedback(8, rating=5)]


def chosen(log: Path, known: list[Item], before: int = 0, **wanted: Any) -> tuple[dict[str, str], dict[str, int]]:
    turns = read(log)
    found = choose(turns, turns[:before], known, Wanted(**{"novel": 0.0, **wanted}))
    return {one.id: why for one, why in found.turns}, dict(found.left_out)


def test_poor_turns_are_taken_with_their_reasons(items: list[Item], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", rows(items))
    reasons, left_out = chosen(log, [])
    assert reasons == {
        turn_id(0): "fallback",
        turn_id(1): "gate",
        turn_id(2): "rating",
        turn_id(3): "rating",
        turn_id(4): "regenerated",
    }
    assert left_out == {"no reason": 19}
    assert list(chosen(log, [], turns=2)[0]) == [turn_id(0), turn_id(1)], "the dearest reasons first"
    assert chosen(log, [], before=2)[1]["taken before"] == 2
    assert Counter(chosen(log, [], uncertain=3)[0].values())["uncertain"] == 3


def test_test_items_and_copies_are_left_out(items: list[Item], benchmark: Task, tmp_path: Path) -> None:
    asked = next(item for item in benchmark.items if item.language == "en")
    said = rows(items)
    said[1]["messages"] = [{"role": "user", "content": f"{asked.messages[-1].content}!"}]
    around = "I have been at this the whole evening and my friend says something else than what the book says, " * 4
    said[2]["messages"] = [{"role": "user", "content": f"{around}\n{asked.messages[-1].content}\n{around}"}]
    said[3]["messages"] = [*said[4]["messages"]]
    reasons, left_out = chosen(write_log(tmp_path / "log.jsonl", said), list(benchmark.items))
    assert set(reasons) == {turn_id(0), turn_id(3)}
    assert left_out["test item"] == 2
    assert left_out["asked before"] == 1


def test_turns_like_nothing_known_are_new(items: list[Item], benchmark: Task, tmp_path: Path) -> None:
    said = rows(items)
    said[7]["messages"] = [
        {"role": "user", "content": "Why does my red-black tree turn its root black after a rotation?"}
    ]
    reasons, _ = chosen(write_log(tmp_path / "log.jsonl", said), list(benchmark.items), novel=0.1)
    assert reasons[turn_id(7)] == "novel"
    assert Counter(reasons.values())["novel"] == 1


def test_samples_differ_by_what_they_say() -> None:
    assert not differ("Which end does it leave from?", "Which end does it leave from")
    assert differ("Which end does it leave from?", "Great effort, keep going with the next one!")


@pytest.fixture
def checkpoint(tiny: Path) -> Path:
    """The tiny checkpoint as a package that is told no hint level."""
    from harness.models.server import weights_digest

    about = {"alias": "tiny", "digest": weights_digest(str(tiny)), "precision": "float32", "task": "ds-trace-demo"}
    system = {"zh": "辅导。", "en": "Tutor."}
    write_json(tiny / "package.json", {**about, "system": system, "hint": None, "max_new_tokens": 12})
    return tiny


@pytest.fixture
def order(checkpoint: Path, items: list[Item], benchmark: Task, tmp_path: Path) -> Order:
    log = write_log(tmp_path / "log.jsonl", rows(items))
    wanted = Wanted(novel=0.0, uncertain=4)
    return Order(log, tmp_path / "collected", "first", checkpoint, (benchmark,), wanted, batch_size=8)


def test_a_campaign_compares_what_was_served_with_fresh_samples(order: Order, store: annotate.Store) -> None:
    lead = annotate.operator(store, "lead").id
    made = collect(store, lead, order)
    assert made.reasons["rating"] == 2
    assert made.units >= 3
    (campaign,) = annotate.listed(store)
    assert campaign.kind == "compare"
    assert campaign.task["system"]["en"] == "Tutor."
    lesson = task.load(str(order.place / "task" / "task.yaml"))
    assert {item.split for item in lesson.items} == {"served"}
    assert lesson.items[0].messages == (Message("user", lesson.items[0].messages[0].content),)
    said = {one.item: one.text for one in Run(order.place / "runs" / "served").responses()}
    assert said[turn_id(1)] == "Reply 1: look at the step."
    texts = [
        {one.item: one.text for one in Run(order.place / "runs" / name).responses()} for name in ("again-1", "again-2")
    ]
    assert texts[0] != texts[1]
    assert set(texts[0]) == set(said)

    again = collect(store, lead, order)
    assert (again.reasons, again.units) == (made.reasons, made.units)
    assert len(annotate.listed(store)) == 1


def test_no_turn_is_taken_twice_and_a_grown_log_changes_no_campaign(
    order: Order, store: annotate.Store, items: list[Item]
) -> None:
    lead = annotate.operator(store, "lead").id
    order = replace(order, wanted=Wanted(novel=0.0))
    collect(store, lead, order)
    first = read_jsonl(order.place / TURNS)
    second = replace(order, campaign="second")
    with pytest.raises(Incomplete, match="nothing new to collect"):
        collect(store, lead, second)
    assert not second.place.exists()
    more = [*rows(items), feedback(10, rating=1), feedback(11, rating=2)]
    write_log(order.log, more)
    collect(store, lead, order)
    assert read_jsonl(order.place / TURNS) == first
    collect(store, lead, second)
    counts = Counter(one.id for one in taken(order.folder))
    assert set(counts.values()) == {1}
    assert set(counts) == {turn_id(n) for n in (0, 1, 2, 3, 4, 10, 11)}


def test_a_campaign_of_another_task_is_not_taken_over(order: Order, store: annotate.Store, items: list[Item]) -> None:
    lead = annotate.operator(store, "lead").id
    collect(store, lead, order)
    elsewhere = replace(order, folder=order.folder.with_name("elsewhere"), wanted=Wanted(novel=0.0, turns=4))
    with pytest.raises(UsageError, match="is on another task"):
        collect(store, lead, elsewhere)


def test_samples_that_say_what_was_served_are_no_campaign(order: Order, store: annotate.Store) -> None:
    lead = annotate.operator(store, "lead").id
    collect(store, lead, replace(order, wanted=Wanted(novel=0.0)))
    lesson = task.load(str(order.place / "task" / "task.yaml"))
    served = Run(order.place / "runs" / "served")
    with pytest.raises(GateFailed, match="nothing to compare"):
        _campaign(store, lead, replace(order, campaign="alike"), lesson, [served, served, served])
    assert [one.id for one in annotate.listed(store)] == ["first"]


@pytest.mark.slow
def test_killed_at_every_step_it_goes_on(order: Order, tmp_path: Path) -> None:
    """SIGKILL as soon as each thing lies there; the last call ends well, with every turn once."""
    args = ("collect", order.log, "--into", "first", "--checkpoint", order.checkpoint, "--folder", order.folder)
    args = (
        *args,
        "--task",
        "ds-trace-demo",
        "--novel",
        "0",
        "--uncertain",
        "4",
        "--store",
        tmp_path / "annotations.db",
    )
    place = order.place
    steps = [
        place / TURNS,
        place / "probe" / "probe" / "manifest.json",
        place / "task" / "task.yaml",
        place / "runs" / "served" / "manifest.json",
        place / "runs" / "again-1" / "responses.jsonl",
        place / "runs" / "again-2" / "responses.jsonl",
    ]
    for step in steps:
        process = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not step.exists() and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it ended before {step} was there"
    before = read_jsonl(place / TURNS)
    done = easyds(*args)
    assert done.returncode == 0, done.stderr
    assert read_jsonl(place / TURNS) == before
    assert easyds(*args).stdout == done.stdout
    for name in ("served", "again-1", "again-2"):
        keys = [(row["item"], row["sample"]) for row in read_jsonl(place / "runs" / name / "responses.jsonl")]
        assert len(keys) == len(set(keys)) == len(read_jsonl(place / "task" / "items.jsonl"))
    store = annotate.open_store(tmp_path / "annotations.db")
    (campaign,) = annotate.listed(store)
    assert campaign.id == "first"
    store.close()
