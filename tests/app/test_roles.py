"""Every page for every role in both languages: what a role may not do is told in a line, and nothing breaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from app_support import Open, words_of
from streamlit.testing.v1 import AppTest
from support import item_row, make_task

from app.components import frame
from app.components.words import catalogue
from harness import annotate, task

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness" / "annotate"))
from annotate_support import OPEN, record_texts

Place = tuple[Path, Path]
DESKS = ("rate", "duel")
PAGES = [name for pages in frame.PAGES.values() for name, _ in pages]


@pytest.fixture
def role(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The local person has this role in a store with a campaign of each kind; somebody else is the lead."""
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{tmp_path / 'annotations.db'}")
    lesson = task.load(str(make_task(tmp_path / "task", [item_row(number, split="train") for number in range(4)])))
    runs = [record_texts(tmp_path / "annotated", lesson, system) for system in ("good", "fair")]
    store = annotate.open_store()
    me = annotate.operator(store).id
    for kind in ("rate", "compare"):
        annotate.create(store, me, kind, kind, lesson, runs, annotate.Settings(**OPEN))  # type: ignore[arg-type]
    other = annotate.redeem(store, annotate.invite(store, me, "lead"), "https://sign.in", "eve", "Eve").id
    annotate.set_role(store, other, me, request.param)
    store.close()
    return str(request.param)


def open_page(at: AppTest, page: str) -> AppTest:
    return at if page == "overview" else at.switch_page(f"app_pages/{page}.py").run()


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("role", ["lead", "annotator", "revoked"], indirect=True)
def test_every_page_of_every_role(opened: Open, shown: Place, role: str, lang: str) -> None:
    at = opened("overview", lang, shown)
    for page in PAGES:
        at = open_page(at, page)
        assert not at.exception, page
        assert at.title[0].value == catalogue(lang)[f"page.{page}"]
        if page in DESKS and role == "revoked":
            assert at.error[0].value == catalogue(lang)["problem"]
            assert "not active any more" in words_of(at)
            assert not at.chat_message, "neither an item nor a text"
        elif page in DESKS:
            assert not at.error, page
            assert at.chat_message, "a task is there"
            assert catalogue(lang)["work.situation"] in words_of(at)
