"""Faults and attacks of the app that no other test stands against: two tabs, a busy store, huge texts, settings."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from app_support import words_of
from lead_support import OPEN, Page, Team, click
from packaging.requirements import Requirement
from packaging.version import Version
from starlette.responses import Response
from starlette.types import Message

from app.__main__ import SecurityHeaders, content_policy
from app.components import data, text
from app.components.words import catalogue
from harness import annotate
from harness.errors import UsageError

APP = Path(__file__).resolve().parents[2] / "app"


@pytest.fixture
def pairs(team: Team) -> Team:
    """With a comparison on which nobody has voted yet, one vote a pair."""
    store = team.open()
    settings = annotate.Settings(**{**OPEN, "overlap": 1})
    annotate.create(store, team.people["lead"], "pairs", "compare", team.lesson(), team.runs(), settings)
    store.close()
    return team


def votes(team: Team) -> list[annotate.Past]:
    store = team.open()
    found = annotate.history(store, team.people["lead"], "pairs")
    store.close()
    return found


def test_two_tabs_on_one_task_store_one_vote(page: Page, pairs: Team) -> None:
    """A1: the second says nothing that looks like a failure, and goes on."""
    query = {"campaign compare": "pairs"}
    first, second = (page(pairs, "duel", **query) for _ in range(2))
    shown = [one.key for one in first.button]
    assert [one.key for one in second.button] == shown
    click(first, "work.verdict.left")
    click(second, "work.verdict.right")
    assert not second.error
    (vote,) = votes(pairs)
    assert vote.answers.verdict == "left"  # type: ignore[union-attr]
    assert [one.key for one in second.button] != shown, "the next one"


@pytest.mark.parametrize("why", ["half a thought", ""])
def test_a_busy_store_keeps_what_an_annotator_typed(
    page: Page, pairs: Team, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A9: locked: one line, nothing lost, whether or not there is a draft to save too; free again: saved."""
    monkeypatch.setattr(annotate.open_store, "__defaults__", (None, time.time, 0.2))
    at = page(pairs, "duel", **{"campaign compare": "pairs"})
    key = next(str(one.key) for one in at.text_input if str(one.key).endswith(" why"))
    at.text_input(key=key).set_value(why)
    lock = sqlite3.connect(pairs.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    click(at, "work.verdict.left")
    assert not at.exception
    assert "try again" in at.code[0].value
    assert at.text_input(key=key).value == why
    lock.execute("ROLLBACK")
    lock.close()
    click(at, "work.verdict.left")
    assert not at.error
    (vote,) = votes(pairs)
    assert vote.answers.rationale == why  # type: ignore[union-attr]


def test_a_huge_reply_is_cut_until_it_is_asked_for(page: Page, team: Team) -> None:
    """S15: 200,000 characters do not go into the page unasked."""
    from annotate_support import record_texts

    store = team.open()
    runs = [
        record_texts(
            team.place[0], team.lesson(), name, text=lambda system, item: f"{item}: {system} " + "树" * 200_000
        )
        for name in ("vast", "huge")
    ]
    settings = annotate.Settings(**{**OPEN, "items": 1})
    annotate.create(store, team.people["lead"], "vast", "compare", team.lesson(), runs, settings)
    store.close()
    at = page(team, "duel", **{"campaign compare": "vast"})
    assert words_of(at).count("树") <= 2 * text.LIMIT
    whole = [
        one for one in at.toggle if one.label == catalogue("en")["text.all"].format(n=len("item-0: vast ") + 200_000)
    ]
    assert len(whole) == 2
    whole[0].set_value(True)
    at.run()
    assert words_of(at).count("树") > 200_000


def test_a_page_reads_no_folder_but_a_runs(settled: Team) -> None:
    """S3"""
    root, lesson = settled.place[0], settled.lesson()
    for call in (
        lambda: data.answers(root, lesson, "../x"),
        lambda: data.slices(root, lesson, "../x", "gold_score", ()),
        lambda: data.by_scores(root, lesson, ["../x"], "gold_score"),
    ):
        with pytest.raises(UsageError, match="not allowed"):
            call()


def test_the_server_is_shipped_closed() -> None:
    """S9 and others: loopback, known hosts, no agent API, no statistics, no error details, no raw table export."""
    shipped = tomllib.loads((APP / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert shipped["server"]["address"] == "127.0.0.1"
    assert set(shipped["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert shipped["server"]["enableAgentApi"] is False
    assert shipped["browser"]["gatherUsageStats"] is False
    assert shipped["client"]["showErrorDetails"] == "none"
    assert shipped["client"]["disableDataExport"] is True
    assert not {"enableCORS", "enableXsrfProtection"} & set(shipped["server"]), "both are on by default"


def test_a_page_loads_only_what_this_server_sends() -> None:
    """S2: else a picture in a reply would tell its owner who reads it."""
    told = dict(part.split(" ", 1) for part in content_policy().split("; "))
    assert told["default-src"] == "'self'"
    assert told["img-src"] == "'self' data: blob:"
    scripts = {one for one in told["script-src"].split() if not one.startswith("'sha256-")}
    assert scripts == {"'self'", "'wasm-unsafe-eval'"}
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    asyncio.run(SecurityHeaders(Response())({"type": "http", "method": "GET", "headers": []}, keep, keep))  # type: ignore[arg-type]
    assert (b"content-security-policy", content_policy().encode()) in sent[0]["headers"]


def test_no_page_takes_files() -> None:
    """S11: nothing is uploaded; data comes in through the command line, with its limits."""
    takes = {"file_uploader", "camera_input", "audio_input", "chat_input", "data_editor"}
    for path in APP.rglob("*.py"):
        names = {
            one.attr for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(one, ast.Attribute)
        }
        assert not takes & names, path.name


def test_an_old_streamlit_is_not_accepted() -> None:
    """S13: the holes up to 1.54 are closed in what the extra `app` asks for."""
    assert Version(version("streamlit")) >= Version("1.54")
    project = tomllib.loads((APP.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(one) for one in project["optional-dependencies"]["app"]]
    (streamlit,) = [one for one in wanted if one.name == "streamlit"]
    assert "1.53" not in streamlit.specifier
    assert "1.67" in streamlit.specifier
