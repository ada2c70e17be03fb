"""The annotators' pages in this process: qualify, rate, compare, undo; every click is a write that the store checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from app_support import HOSTILE, opened, words_of
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextInput
from support import item_row, make_task

from app.components.words import catalogue
from harness import annotate, qualifying, rubric, task

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness" / "annotate"))
from annotate_support import OPEN, record_texts

Desk = Callable[..., AppTest]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """`desk(kind, **settings)`: the page of a campaign of that kind, of two systems on four items."""
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{tmp_path / 'annotations.db'}")
    monkeypatch.setenv("EASYDS_APP_RUNS", str(tmp_path / "runs"))
    lesson = task.load(str(make_task(tmp_path / "task", [item_row(number, split="train") for number in range(4)])))

    def made(kind: str, lang: str = "en", text: Callable[[str, str], str] | None = None, **settings: object) -> AppTest:
        store = annotate.open_store()
        how = {} if text is None else {"text": text}
        runs = [record_texts(tmp_path / "runs", lesson, system, **how) for system in ("good", "fair")]  # type: ignore[arg-type]
        lead = annotate.operator(store).id
        annotate.create(store, lead, "first", kind, lesson, runs, annotate.Settings(**{**OPEN, **settings}))  # type: ignore[arg-type]
        store.close()
        return opened("rate" if kind == "rate" else "duel", lang)

    return made


def votes(kind: str = "first") -> list[annotate.Past]:
    store = annotate.open_store()
    found = annotate.history(store, annotate.operator(store).id, kind)
    store.close()
    return found


def button(at: AppTest, key: str, lang: str = "en") -> object:
    return next(one for one in at.button if one.label == catalogue(lang)[key])


def typed(at: AppTest, name: str) -> TextInput:
    """The line of text of that name on the form."""
    return next(one for one in at.text_input if str(one.key).endswith(f" {name}"))


def fill(at: AppTest, label: int = 0) -> None:
    """A label for every criterion and satisfaction 4."""
    for one in at.radio:
        one.set_value(4 if one.key.endswith("satisfaction") else one.options and _options(one.key)[label])


def _options(key: str) -> list[str]:
    return list(rubric.label_ids(rubric.load("guidance").criteria[key.rpartition(" ")[2]]))


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("kind", ["rate", "compare"])
def test_the_page_shows_the_situation_and_nobodys_name(desk: Desk, kind: str, lang: str) -> None:
    at = desk(kind, lang)
    assert not at.exception
    assert not at.error
    assert at.title[0].value == catalogue(lang)["page.rate" if kind == "rate" else "page.duel"]
    words = words_of(at)
    assert "item-" in words, "the replies of the fixture name their item"
    assert len(at.chat_message) >= 1
    assert not any(name in str(one) for one in at.button for name in ("good", "fair"))


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_screen_reader_hears_what_each_choice_is_about(desk: Desk, lang: str) -> None:
    names = [one.label for one in desk("rate", lang).radio]
    assert catalogue(lang)["work.satisfaction"] in names
    assert any("D3 " in name for name in names)
    assert len(set(names)) == len(names)


def test_a_form_with_a_hole_is_not_saved_and_a_whole_one_is(desk: Desk) -> None:
    at = desk("rate")
    button(at, "work.submit").click()  # type: ignore[attr-defined]
    at.run()
    assert "entries are still open" in at.code[0].value
    assert votes() == []
    fill(at)
    at.run()
    button(at, "work.submit").click()  # type: ignore[attr-defined]
    at.run()
    assert not at.error
    (vote,) = votes()
    assert isinstance(vote.answers, annotate.Rating)
    assert vote.answers.satisfaction == 4
    assert set(vote.answers.labels) == set(annotate.form(rubric.load("guidance")))


def test_what_was_typed_is_there_after_a_reload(desk: Desk) -> None:
    at = desk("rate")
    first = at.radio[0]
    chosen = _options(first.key)[1]
    first.set_value(chosen)
    typed(at, "note").set_value("half a thought")
    at.run()
    again = opened("rate")
    assert again.radio[0].value == chosen
    assert typed(again, "note").value == "half a thought"


@pytest.mark.parametrize("verdict", ["left", "right", "tie", "both_bad"])
def test_a_verdict_is_one_click_and_can_be_taken_back(desk: Desk, verdict: str) -> None:
    at = desk("compare")
    at.radio[0].set_value(2)
    typed(at, "why").set_value("because")
    at.run()
    button(at, f"work.verdict.{verdict}").click()  # type: ignore[attr-defined]
    at.run()
    (vote,) = votes()
    assert isinstance(vote.answers, annotate.Preference)
    assert vote.answers.verdict == verdict
    assert vote.answers.rationale == "because"
    assert vote.answers.strength == (2 if verdict in ("left", "right") else None)
    button(at, "work.undo").click()  # type: ignore[attr-defined]
    at.run()
    assert votes() == []
    assert typed(at, "why").value == "because"


def test_until_there_is_nothing_left(desk: Desk) -> None:
    at = desk("compare", overlap=1)
    for _ in range(4):
        assert not at.success
        button(at, "work.verdict.tie").click()  # type: ignore[attr-defined]
        at.run()
    assert at.success[0].value == catalogue("en")["work.done"]
    assert len(votes()) == 4


def test_skipping_and_flagging_give_their_reasons(desk: Desk) -> None:
    at = desk("rate")
    next(one for one in at.selectbox if one.key.startswith("flag reason")).set_value("key_points")
    button(at, "work.flag.do").click()  # type: ignore[attr-defined]
    at.run()
    next(one for one in at.selectbox if one.key.startswith("skip reason")).set_value("subject")
    button(at, "work.skip.do").click()  # type: ignore[attr-defined]
    at.run()
    (skipped,) = votes()
    assert skipped.answers is None
    store = annotate.open_store()
    lead = annotate.operator(store).id
    assert [one.reason for one in annotate.flags(store, lead, "first")] == ["key_points"]
    store.close()


@pytest.mark.parametrize("right", [True, False])
def test_labels_count_only_after_the_test(desk: Desk, right: bool) -> None:
    exercises = {one.id: one for one in qualifying.load(rubric.load("guidance"))}
    at = desk("rate", qualify=0.5, exercises=2)
    assert not at.radio, "no task before the test"
    button(at, "work.begin.en").click()  # type: ignore[attr-defined]
    at.run()
    for number in (1, 2):
        assert f"Qualifying test: {number} of 2" in [one.value for one in at.subheader]
        for one in at.radio:
            _, exercise, criterion = one.key.split()
            agreed = exercises[exercise].labels[criterion].label
            one.set_value(agreed if right else next(label for label in _options(one.key) if label != agreed))
        at.run()
        button(at, "work.answer").click()  # type: ignore[attr-defined]
        at.run()
        assert not at.exception
        assert not at.error, [one.value for one in at.code]
    store = annotate.open_store()
    standing = {one.language: one for one in annotate.standings(store, annotate.operator(store).id, "first")}
    store.close()
    assert standing["en"].agreement == float(right)
    assert standing["en"].passed == right
    tasks = [one.key for one in at.radio if not one.key.startswith("exam ")]
    assert bool(tasks) == right


def test_a_hostile_reply_stays_text(desk: Desk) -> None:
    at = desk("compare", text=lambda system, item: f"{HOSTILE} {system} {item}")
    assert not at.exception
    for kind in (at.markdown, at.caption, at.info, at.warning, at.error):
        assert "evil.example" not in " ".join(str(one.value) for one in kind)
    assert "evil.example" in words_of(at)


def test_without_a_store_the_page_says_how_to_get_one_and_makes_none(
    working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EASYDS_DB_URL", raising=False)
    at = opened("rate")
    assert not at.exception
    assert "easyds annotate create" in at.code[0].value
    assert list(working_folder.iterdir()) == []
