"""A lead's pages in Chromium: they fit every screen, and the whole way from agreement to training data by keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_support import HOSTILE
from lead_support import Team, at_work
from playwright.sync_api import Browser, Page, expect
from support import read_jsonl
from test_browser import PATIENCE, SIZES, Watched, chromium, served, watched

from app.components.words import catalogue
from harness import annotate

__all__ = ["chromium"]
pytestmark = pytest.mark.slow
PAGES = ("campaigns", "team", "agreement", "adjudicate", "judged", "export")
EN = catalogue("en")


@pytest.fixture
def opened(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app as a process of its own, on the team's store: its address."""
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{team.database}")
    with served(team.place) as (address, _):
        yield address


@pytest.fixture(scope="module")
def hostile_team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on the store of a team that says hostile things: its address."""
    team = at_work(tmp_path_factory.mktemp("hostile-team"), said=HOSTILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASYDS_DB_URL", f"sqlite:///{team.database}")
        with served(team.place) as (address, _):
            yield address


@pytest.mark.parametrize(
    ("size", "lang", "scheme"),
    [("desktop", "zh", "light"), ("desktop", "en", "dark"), ("phone", "zh", "dark"), ("phone", "en", "light")],
)
def test_every_page_fits_and_what_is_hostile_stays_text(
    chromium: Browser, hostile_team: str, size: str, lang: str, scheme: Any
) -> None:
    """S1, S2: names, titles, rationales, comments and replies are hostile; nothing is loaded, run or made clickable."""
    locale = {"zh": "zh-CN", "en": "en-GB"}[lang]
    with watched(chromium, hostile_team, viewport=SIZES[size], locale=locale, color_scheme=scheme) as seen:
        for name in PAGES:
            for campaign in ("duel", "form"):
                page = seen.open(f"{name}?campaign={campaign}")
                for folded in page.locator("[data-testid=stExpander] summary").all():
                    folded.click()
                seen.settle()
                assert page.locator("[src*='evil'], [href*='evil'], [href^='javascript'], .katex").count() == 0
                assert page.locator("h1").inner_text() == catalogue(lang)[f"page.{name}"]
                assert page.locator("[data-testid=stException]").count() == 0
                too_wide = page.evaluate(
                    "[document.documentElement, document.querySelector('[data-testid=stMain]')]"
                    ".some(one => one.scrollWidth > one.clientWidth + 1)"
                )
                assert not too_wide, f"{name} scrolls sideways"
        assert seen.foreign == []
        assert seen.problems == []


def tab_to(page: Page, there: str) -> None:
    """Press Tab until the element that `there` says (a condition on `one`) has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(f"(one => {there})(document.activeElement)"):
            return
    raise AssertionError(f"Tab does not reach {there}")


def go_to(seen: Watched, name: str) -> Page:
    """Another page, through the navigation."""
    title = EN[f"page.{name}"]
    tab_to(seen.page, f"one.tagName === 'A' && one.innerText.trim().endsWith('{title}')")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("h1")).to_have_text(title, timeout=PATIENCE)
    seen.settle()
    return seen.page


def test_from_agreement_to_a_trained_checkpoint_by_keyboard(
    chromium: Browser, opened: str, team: Team, tmp_path: Path, tiny: Path
) -> None:
    """Agreement, one ruling, export: no mouse; and what was downloaded trains DPO one step."""
    from trainers import dpo

    store = team.open()
    case = annotate.cases(store, team.people["lead"], "duel")[0]
    with watched(chromium, opened, locale="en-GB", accept_downloads=True) as seen:
        page = seen.open("agreement?campaign=duel")
        expect(page.get_by_text("1 is full agreement")).to_be_visible(timeout=PATIENCE)
        page = go_to(seen, "adjudicate")
        expect(page.get_by_role("button", name=EN["work.verdict.left"])).to_be_visible(timeout=PATIENCE)
        tab_to(page, "one.tagName === 'TEXTAREA'")
        page.keyboard.type("It asks for the next step.")
        page.keyboard.press("Alt+1")
        expect(page.get_by_test_id("stToastText")).to_be_visible(timeout=PATIENCE)
        page = go_to(seen, "export")
        page.keyboard.press("Control+Enter")
        button = page.get_by_role("button", name=EN["export.data"])
        expect(button).to_be_visible(timeout=PATIENCE)
        tab_to(page, f"one.tagName === 'BUTTON' && one.innerText.includes('{EN['export.data']}')")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        rows = read_jsonl(Path(download.value.path()))
        assert seen.foreign == []
        assert seen.problems == []
    (ruled,) = [one for one in annotate.cases(store, team.people["lead"], "duel", settled=True) if one.ruling]
    assert ruled.ruling == annotate.Ruling(verdict="left", rationale="It asks for the next step.")
    made = annotate.export(store, team.people["lead"], "duel", "dpo")
    store.close()
    assert rows == json.loads(json.dumps(list(made.rows)))
    chosen = {row["item"]["id"]: row["chosen"][0]["content"] for row in rows}
    assert chosen[case.item.id] == case.left
    data = tmp_path / "pairs.jsonl"
    data.write_text(made.jsonl(), encoding="utf-8")
    settings = {"base": str(tiny), "data": str(data), "output": str(tmp_path / "out")}
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**settings, "steps": 1, "batch_size": 4, "save_every": 1}), encoding="utf-8")
    dpo.run(spec)
    assert (tmp_path / "out" / "result.json").exists()
