"""A team at work: two campaigns, three annotators who do not agree, a judge's scores; for the tests of a lead's pages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from support import GOOD, item_row, make_task

from app.components.words import catalogue
from harness import annotate, task
from harness.record import Run, find_runs
from harness.types import Task

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness" / "annotate"))
from annotate_support import OPEN, Office, record_texts

ISSUER = "https://sign.in"
"""Whom the annotators sign in with; `Office.hire` says so."""


Page = Callable[..., AppTest]
"""`page(team, name, lang, who=…, **query)`: a page of the app in this process"""


@dataclass
class Team:
    """Where everything lies, and who is who."""

    folder: Path
    people: dict[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "annotations.db"

    @property
    def place(self) -> tuple[Path, Path]:
        return self.folder / "runs", self.folder / "task" / "task.yaml"

    def open(self) -> annotate.Store:
        return annotate.open_store(self.database)

    def lesson(self) -> Task:
        return task.load(str(self.place[1]))

    def runs(self) -> list[Run]:
        return find_runs(self.place[0])

    def office(self, store: annotate.Store, campaign: str) -> Office:
        return Office(store, self.lesson(), self.place[0], campaign, self.people["lead"], None)  # type: ignore[arg-type]


def at_work(folder: Path, said: str = "", split: str = "train", votes: bool = True) -> Team:
    """Campaigns "duel" (compare) and "form" (rate) on twelve items. `said` goes into all that people and models say."""
    file = make_task(folder / "task", [item_row(number, split=split) for number in range(12)])
    lesson, runs = task.load(str(file)), folder / "runs"

    def spoken(system: str, item: str) -> str:
        return f"{item}: {system} asks: which end does the next one leave from? {said}".strip()

    made = [
        record_texts(runs, lesson, name, text=spoken, values=lambda *_, d3=d3: {**GOOD, "D3": d3}, source="judge/x@1")
        for name, d3 in (("good", 2.0), ("poor", 1.0))
    ]
    store = annotate.open_store(folder / "annotations.db")
    lead = annotate.operator(store).id
    settings = annotate.Settings(**{**OPEN, "overlap": 3})
    for name, kind in (("duel", "compare"), ("form", "rate")):
        annotate.create(store, lead, name, kind, lesson, made, settings, title=f"The {name} {said}".strip())
    people = {"lead": lead}
    for name in ("ann", "ben", "cem"):
        token = annotate.invite(store, lead, "annotator")
        people[name] = annotate.redeem(store, token, ISSUER, name, f"{name} {said}".strip()).id
    team = Team(folder, people)
    if votes:
        _vote(team.office(store, "duel"), people, said)
        _rate(team.office(store, "form"), people)
    store.close()
    return team


def _number(shown: annotate.Presentation) -> int:
    return int(shown.left.split(":")[0].split("-")[1])


def _vote(office: Office, people: dict[str, str], said: str) -> None:
    """ann: always the good one; ben: the poor one on every third item; cem: a tie on items 0 and 1, and two flags."""
    why: dict[str, Any] = {"rationale": said or "It asks before it tells."}
    office.work(people["ann"], lambda _: {"verdict": "good", "strength": 3, **why})
    office.work(people["ben"], lambda shown: {"verdict": "poor" if _number(shown) % 3 == 0 else "good", **why})
    for _ in range(2):
        shown = office.next(people["cem"])
        assert shown is not None
        annotate.flag(office.store, people["cem"], shown.token, "key_points", said or "The step is wrong.")
        annotate.skip(office.store, people["cem"], shown.token, "subject")
    office.work(people["cem"], lambda shown: {"verdict": "tie" if _number(shown) < 2 else "good", **why})


def _rate(office: Office, people: dict[str, str]) -> None:
    """They differ on D3 of every fourth item, and on all of item 2."""
    bad = dict.fromkeys(("D1", "D2", "D3", "D4", "D5"), "no")
    levels = {"ann": "yes", "ben": "partial", "cem": "no"}
    for name, level in levels.items():

        def judge(shown: annotate.Presentation, name: str = name, level: str = level) -> dict[str, Any]:
            labels = {"D3": level} if _number(shown) % 4 == 0 else {}
            return {**labels, **(bad if name == "cem" and _number(shown) == 2 else {})}

        office.work(people[name], judge)


def sign_in(at: AppTest, who: str | None, **claims: Any) -> None:
    """As after `st.login`: no identity provider runs in this process, so the claims of its token are given."""
    at.secrets["auth"] = {"client_id": "x", "client_secret": "y", "cookie_secret": "z", "redirect_uri": "u"}
    at.user = {"is_logged_in": False}
    if who:
        at.user = {"is_logged_in": True, "iss": ISSUER, "sub": who, "iat": time.time(), "name": who, **claims}


def click(at: AppTest, key: str, lang: str = "en") -> AppTest:
    next(one for one in at.button if one.label == catalogue(lang)[key]).click()
    return at.run()
