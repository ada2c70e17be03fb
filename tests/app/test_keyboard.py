"""An annotator's whole way in Chromium by keyboard alone: test, rate, compare, undo, reload, finish. The store holds
exactly the votes that were given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support import item_row, make_task
from test_browser import PATIENCE, SIZES, TOO_WIDE, Place, Watched, chromium, served, watched  # noqa: F401

from app.components.words import catalogue
from harness import annotate, qualifying, rubric, task
from harness.annotate import votes

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness" / "annotate"))
from annotate_support import OPEN, record_texts, speaker

pytestmark = pytest.mark.slow
LANG = "zh"
VERDICTS = ("left", "right", "tie", "both_bad", "right")
GUIDANCE = rubric.load("guidance")
NAMES = annotate.form(GUIDANCE)
FORM = "[class*='st-key-form']"
FIELD = f"{FORM} input[type=text]"


@pytest.fixture
def campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Ten texts to rate, five of them English, behind a test of two exercises; and five pairs to compare."""
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{tmp_path / 'annotations.db'}")
    file = make_task(tmp_path / "task", [item_row(number, split="train") for number in range(10)])
    lesson = task.load(str(file))
    runs = [record_texts(tmp_path / "runs", lesson, system) for system in ("good", "fair")]
    store = annotate.open_store()
    lead = annotate.operator(store).id
    behind_a_test = annotate.Settings(**{**OPEN, "qualify": 0.75}, exercises=2, overlap=1)
    annotate.create(store, lead, "marks", "rate", lesson, runs[:1], behind_a_test)
    annotate.create(store, lead, "pairs", "compare", lesson, runs, annotate.Settings(**OPEN, items=5, overlap=1))
    store.close()
    return tmp_path / "runs", file


@dataclass
class Hands:
    """Someone without a mouse: only keys are pressed; everything else looks."""

    seen: Watched
    page: Page

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.page.keyboard.press(key)

    def reach(self, what: str) -> None:
        """Tab until the element of that selector, or the button or link that says so, has the focus."""
        for _ in range(60):
            if self.has_focus(what):
                return
            self.press("Tab")
        raise AssertionError(f"{what} is not reached with the Tab key")

    def has_focus(self, what: str) -> bool:
        script = "what => { const e = document.activeElement; try { if (e.matches(what)) return true } catch {} "
        script += "return e.matches('a, button') && e.innerText.includes(what) }"
        return bool(self.page.evaluate(script, what))

    def choose(self, group: str, place: int, option: int) -> None:
        """In the radio group that has the focus, which must be the one at that place; then on to the next."""
        radios = f"{group} [data-testid=stRadio]"
        script = (
            "g => [...document.querySelectorAll(g)].indexOf(document.activeElement.closest('[data-testid=stRadio]'))"
        )
        assert self.page.evaluate(script, radios) == place
        at = self.page.evaluate(
            "() => [...document.activeElement.closest('[data-testid=stRadio]').querySelectorAll('input')].indexOf(document.activeElement)"
        )
        self.press("ArrowRight" if option > at else "ArrowLeft", abs(option - at))
        self.press("Space")
        self.wait(lambda: self.checked(group)[place] == option)
        self.press("Tab")

    def checked(self, group: str) -> list[int]:
        """Which option of each radio group is chosen; -1: none."""
        script = "g => [...document.querySelectorAll(g + ' [data-testid=stRadio]')].map("
        script += "one => [...one.querySelectorAll('input')].findIndex(e => e.checked))"
        return list(self.page.evaluate(script, group))

    def wait(self, there: Callable[[], bool]) -> None:
        for _ in range(PATIENCE // 100):
            if there():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("it did not happen")

    def wait_for(self, key: str, **values: int) -> None:
        """Until the page says it and nothing runs any more."""
        self.page.get_by_text(catalogue(LANG)[key].format(**values)).wait_for()
        self.seen.settle()
        self.wait(lambda: self.page.locator(FORM).count() <= 1)


def options(name: str) -> list[str]:
    return list(rubric.label_ids(GUIDANCE.criteria[name]))


def wanted(number: int) -> tuple[list[int], str]:
    """What is given to the text of that number: options of each criterion and of satisfaction, and a note."""
    picks = [(number + place) % len(options(name)) for place, name in enumerate(NAMES)]
    return [*picks, number % 5], f"no. {number}: 为什么?"


def as_rating(number: int) -> annotate.Rating:
    (*picks, satisfaction), note = wanted(number)
    labels = {name: options(name)[pick] for name, pick in zip(NAMES, picks, strict=True)}
    return annotate.Rating(labels, satisfaction + 1, note)


def pass_the_test(hands: Hands, store: annotate.Store, me: str) -> None:
    exercises = {one.id: one for one in qualifying.load(GUIDANCE)}
    hands.reach(catalogue(LANG)["work.begin.en"])
    hands.press("Enter")
    for number in (1, 2):
        hands.wait_for("work.test", n=number, total=2)
        exercise = annotate.exam(store, me, "marks", "en").exercise
        assert exercise is not None
        group = f"[class*='st-key-exam-{exercise.id}']"
        hands.reach(f"{group} input[type=radio]")
        for place, name in enumerate(NAMES):
            hands.choose(group, place, options(name).index(exercises[exercise.id].labels[name].label))
        hands.wait(lambda: hands.page.locator("button[kind=primary]:enabled").count() == 1)
        hands.press("Control+Enter")


def rate_five(hands: Hands, store: annotate.Store, me: str) -> None:
    for number in range(5):
        hands.wait_for("work.progress", mine=number, given=number, wanted=10)
        if number in (0, 4):  # 4: after what was taken back
            hands.reach(f"{FORM} input[type=radio]")
        else:
            hands.press("Tab")
            assert hands.has_focus(f"{FORM} input[type=radio]"), "the next Tab goes to the first field of the new form"
        picks, note = wanted(number)
        for place, pick in enumerate(picks[:7]):
            hands.choose(FORM, place, pick)
        if number == 2:
            reload_in_mid_draft(hands, store, me, picks, note)
        for place, pick in enumerate(picks[7:], start=7):
            hands.choose(FORM, place, pick)
        assert hands.has_focus(FIELD)
        if number != 2:
            hands.page.keyboard.type(note)
        hands.press("Control+Enter")
        if number == 3:
            hands.wait_for("work.progress", mine=4, given=4, wanted=10)
            take_back(hands, picks, note)
    hands.wait_for("work.progress", mine=5, given=5, wanted=10)
    hands.page.get_by_text(catalogue(LANG)["work.done"]).wait_for()


def reload_in_mid_draft(hands: Hands, store: annotate.Store, me: str, picks: list[int], note: str) -> None:
    """Seven labels and a note, which still has the focus; then the page is loaded anew."""
    hands.reach(FIELD)
    hands.page.keyboard.type(note)
    hands.wait(lambda: draft(store, me).get("note") == note)
    hands.page.reload()
    hands.wait_for("work.progress", mine=2, given=2, wanted=10)
    hands.wait(lambda: hands.checked(FORM) == [*picks[:7], *[-1] * 7])
    assert hands.page.locator(FIELD).input_value() == note
    hands.reach(f"{FORM} input[type=radio]")
    hands.press("Tab", 7)


def draft(store: annotate.Store, me: str) -> Mapping[str, Any]:
    """What the store keeps of the open form."""
    shown = annotate.next_task(store, me, "marks")
    assert shown is not None
    return shown.draft or {}


def take_back(hands: Hands, picks: list[int], note: str) -> None:
    """The last vote again, as it was given; it is given anew without a change."""
    hands.press("Alt+z")
    hands.wait_for("work.progress", mine=3, given=3, wanted=10)
    hands.wait(lambda: hands.checked(FORM) == picks)
    assert hands.page.locator(FIELD).input_value() == note
    hands.press("Control+Enter")


def compare_five(hands: Hands) -> list[tuple[str, annotate.Preference]]:
    """The system that the person meant (or the verdict), and what was given, for each of the five."""
    given: list[tuple[str, annotate.Preference]] = []
    hands.reach(catalogue(LANG)["page.duel"])
    hands.press("Enter")
    for number, verdict in enumerate(VERDICTS):
        hands.wait_for("work.progress", mine=number, given=number, wanted=5)
        texts = [
            speaker(one) for one in hands.page.locator("[data-testid=stText]").all_inner_texts() if ": " in one[:9]
        ]
        assert sorted(texts) == ["fair", "good"]
        if number == 0:
            hands.reach(f"{FORM} input[type=radio]")
        else:
            hands.press("Tab")
        hands.choose(FORM, 0, number % 3)
        assert hands.has_focus(FIELD)
        hands.page.keyboard.type(f"reason {number}")
        hands.press(f"Alt+{('left', 'right', 'tie', 'both_bad').index(verdict) + 1}")
        decided = verdict in ("left", "right")
        meant = texts[("left", "right").index(verdict)] if decided else verdict
        preference: Any = annotate.Preference(verdict, number % 3 + 1 if decided else None, f"reason {number}")  # type: ignore[arg-type]
        given.append((meant, preference))
    hands.page.get_by_text(catalogue(LANG)["work.done"]).wait_for()
    return given


def test_the_desk_fits(chromium: Browser, campaigns: Place) -> None:  # noqa: F811
    """Rate and compare at desktop and phone width; on a phone the form does not scroll by itself."""
    phone = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130 Mobile Safari/537.36"
    store = annotate.open_store()
    me = annotate.operator(store).id
    annotate.grant(store, me, "marks", me, "en", "an author of the guideline")
    store.close()
    with served(campaigns) as (address, _):
        for size, options in (("desktop", {}), ("phone", {"user_agent": phone})):
            with watched(chromium, address, viewport=SIZES[size], locale="en-GB", **options) as seen:
                for name in ("rate", "duel"):
                    page = seen.open(name)
                    page.locator(FIELD).wait_for()
                    assert not page.evaluate(TOO_WIDE), f"{name} scrolls sideways"
                    inner = page.locator(FORM).evaluate("form => form.scrollHeight > form.clientHeight + 1")
                    assert inner == (name == "rate" and size == "desktop")
                assert seen.foreign == []
                assert seen.problems == []


def test_an_annotators_whole_way_by_keyboard(chromium: Browser, campaigns: Place) -> None:  # noqa: F811
    store = annotate.open_store()
    me = annotate.operator(store).id
    with (
        served(campaigns) as (address, _),
        watched(chromium, address, viewport=SIZES["desktop"], locale="zh-CN") as seen,
    ):
        hands = Hands(seen, seen.open("rate"))
        pass_the_test(hands, store, me)
        rate_five(hands, store, me)
        given = compare_five(hands)
        assert seen.problems == []
    standing = {one.language: one for one in annotate.standings(store, me, "marks")}
    assert (standing["en"].agreement, standing["en"].passed, standing["zh"].passed) == (1.0, True, False)
    assert [one.answers for one in reversed(annotate.history(store, me, "marks"))] == [as_rating(n) for n in range(5)]
    assert [one.answers for one in reversed(annotate.history(store, me, "pairs"))] == [one for _, one in given]
    with store.read() as tx:
        marks, pairs = votes.read(tx, "marks"), sorted(votes.read(tx, "pairs"), key=lambda vote: vote.at)
    assert [vote.counted for vote in (*marks, *pairs)] == [True] * 10
    assert {vote.unit.item.language for vote in marks} == {"en"}
    credited = [{"x": vote.unit.x, "y": vote.unit.y}.get(vote.answers["verdict"]) for vote in pairs]
    assert [one.system if one else vote.answers["verdict"] for one, vote in zip(credited, pairs)] == [
        meant for meant, _ in given
    ]
    store.close()
