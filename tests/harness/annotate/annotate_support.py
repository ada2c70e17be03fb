"""What the annotation tests share: runs with known texts, an office around a campaign, a clock that is told the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import record

from harness import annotate
from harness.record import Run, read_lines, write_text
from harness.types import Task

LABELS = {
    **dict.fromkeys(("G1", "G2", "G3"), "pass"),
    **dict.fromkeys(("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "fluency"), "yes"),
    "tone": "neutral",
}
SYSTEMS = ("good", "fair", "poor")
OPEN: Mapping[str, Any] = {"qualify": None, "attention": 0, "gold": 0, "repeat": 0}
"""A campaign without silent checks, repeats and test: everyone may begin, each vote is a real one."""


class Clock:
    """The store's clock."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def empty_store(request: pytest.FixtureRequest, folder: Path) -> str:
    """Path or URL of an empty store of the kind that a fixture is parametrised with."""
    if request.param == "sqlite":
        return str(folder / "annotations.db")
    return str(request.getfixturevalue("postgres").empty())


def said(system: str, item: str) -> str:
    """The text of a system on an item; a test reads from it whose it is, which nobody in a campaign can."""
    if int(item.split("-")[1]) % 2:  # these items are zh
        return f"{item}: {system} 的引导：新元素从哪一端进入？下一个元素又从哪一端离开？"
    return f"{item}: {system} guidance. Which end does the next one leave from?"


def speaker(text: str) -> str:
    return text.split(": ")[1].split(" ")[0]


def record_texts(root: Path, the_task: Task, system: str, text: Callable[[str, str], str] = said, **fields: Any) -> Run:
    """A complete run whose texts are known."""
    name = record(root, the_task, system, fields.pop("values", lambda *_: {}), **fields)
    path = root / name / "responses.jsonl"
    rows = [{**row, "text": text(system, row["item"])} for row in read_lines(path)]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return Run(root / name)


@dataclass
class Office:
    """A campaign with its people. `work` lets a person vote until there is nothing left (or `limit`)."""

    store: annotate.Store
    task: Task
    runs: Path
    campaign: str
    lead: str
    made: annotate.Made

    def hire(self, name: str, role: str = "annotator") -> str:
        token = annotate.invite(self.store, self.lead, role)  # type: ignore[arg-type]
        return annotate.redeem(self.store, token, "https://sign.in", name, name).id

    def next(self, person: str) -> annotate.Presentation | None:
        return annotate.next_task(self.store, person, self.campaign)

    def vote(self, person: str, verdict: str | None = None, **labels: Any) -> annotate.Presentation:
        """The next unit, judged: a verdict by side ("left"), or by system ("good"), or a rating."""
        shown = self.next(person)
        assert shown is not None
        self.submit(person, shown, verdict, **labels)
        return shown

    def submit(
        self, person: str, shown: annotate.Presentation, verdict: str | None = None, **labels: Any
    ) -> annotate.Saved:
        return annotate.submit(self.store, person, shown.token, self.answers(shown, verdict, **labels))

    def answers(self, shown: annotate.Presentation, verdict: str | None = None, **labels: Any) -> annotate.Answers:
        if shown.kind == "rate":
            satisfaction = labels.pop("satisfaction", 4)
            return annotate.Rating({**LABELS, **labels}, satisfaction)
        assert shown.right is not None
        if verdict not in ("left", "right", "tie", "both_bad"):
            verdict = "left" if speaker(shown.left) == verdict else "right"
        return annotate.Preference(verdict, **labels)  # type: ignore[arg-type]

    def work(self, person: str, judge: Callable[[annotate.Presentation], dict[str, Any]], limit: int = 10_000) -> int:
        """Votes given by a person who judges by `judge`."""
        count = 0
        while count < limit and (shown := self.next(person)) is not None:
            self.submit(person, shown, **judge(shown))
            count += 1
        return count


def office(
    store: annotate.Store, the_task: Task, runs: Path, kind: str, systems: tuple[str, ...] = SYSTEMS, **settings: Any
) -> Office:
    gold = settings.pop("exercises_as_gold", ())
    found = [record_texts(runs, the_task, name) for name in systems]
    lead = annotate.operator(store, "lead").id
    options = annotate.Settings(**{**OPEN, **settings})
    made = annotate.create(store, lead, kind, kind, the_task, found, options, gold=gold)  # type: ignore[arg-type]
    return Office(store, the_task, runs, kind, lead, made)
