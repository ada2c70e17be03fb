"""The app in Chromium: every page at desktop and phone width, in both languages, light and dark (four of the eight combinations: each two settings meet once); and hostile text."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from app_support import EXPERIMENT, HOSTILE_NAME, PAGES
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support import command

from app.components.words import catalogue
from harness.record import find_runs

pytestmark = pytest.mark.slow
Place = tuple[Path, Path]
SIZES = {"desktop": {"width": 1380, "height": 900}, "phone": {"width": 390, "height": 844}}
PATIENCE = 120_000
"""Milliseconds that a page may take on a machine that has other things to do."""
TOO_WIDE = "[document.documentElement, document.querySelector('[data-testid=stMain]')]"
TOO_WIDE += ".some(one => one.scrollWidth > one.clientWidth + 1)"
READY = "[data-testid=stApp][data-test-script-state=notRunning]"


@contextmanager
def served(place: Place, *more: str) -> Iterator[tuple[str, int]]:
    """`easyds app` as a process of its own: its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    boards = place[0].parent / "leaderboards"  # not the project's own
    arguments = ("app", "--runs", place[0], "--task", place[1], "--leaderboards", boards, "--port", str(port), *more)
    process = subprocess.Popen(command(*arguments), start_new_session=True)
    try:
        for _ in range(600):
            assert process.poll() is None, "the app ended"
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def address(shown: Place) -> Iterator[str]:
    with served(shown) as (url, _):
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no chromium and no google-chrome: 'make browser' installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page of the browser, with what it asked for and what went wrong on it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.foreign: list[str] = []
        self.problems: list[str] = []
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self._said(message.type, message.text))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(url)

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and "404" not in text:  # Streamlit tries its own routes below a page's path first
            self.problems.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}/{path}")
        self.settle()
        return self.page

    def settle(self) -> None:
        self.page.wait_for_selector(READY, timeout=PATIENCE)
        self.page.wait_for_selector("[data-testid=stHeading]", timeout=PATIENCE)
        self.page.wait_for_load_state("networkidle")


@contextmanager
def watched(chromium: Browser, address: str, **options: Any) -> Iterator[Watched]:
    context = chromium.new_context(**options)
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        yield Watched(page, address)
    finally:
        context.close()


@pytest.mark.parametrize(
    ("size", "lang", "scheme"),
    [("desktop", "zh", "light"), ("desktop", "en", "dark"), ("phone", "zh", "dark"), ("phone", "en", "light")],
)
def test_every_page_fits(chromium: Browser, address: str, shown: Place, size: str, lang: str, scheme: Any) -> None:
    locale = {"zh": "zh-CN", "en": "en-GB"}[lang]
    runs = [run.id for run in find_runs(shown[0])]
    query = {
        "compare": f"?systems={runs[0]}&systems={runs[1]}&systems={runs[2]}",
        "samples": f"?a={runs[1]}&b={runs[2]}",
        "runs": f"?run={runs[0]}&against={runs[1]}",
    }
    with watched(chromium, address, viewport=SIZES[size], locale=locale, color_scheme=scheme) as seen:
        for name in (*PAGES, *EXPERIMENT):
            page = seen.open("" if name == "overview" else name + query.get(name, ""))
            assert page.locator("h1").inner_text() == catalogue(lang)[f"page.{name}"]
            assert page.locator("[data-testid=stException]").count() == 0
            assert not page.evaluate(TOO_WIDE), f"{name} scrolls sideways"
            shade = page.evaluate(
                "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor.match(/\\d+/)[0]"
            )
            assert (int(shade) < 128) == (scheme == "dark")
            if name in ("overview", "compare", "head_to_head", "slices", *EXPERIMENT):
                page.wait_for_selector("[data-testid=stVegaLiteChart] svg.marks", timeout=PATIENCE)
        assert seen.foreign == []
        assert seen.problems == []


def test_hostile_text_stays_text(chromium: Browser, hostile: Place) -> None:
    """Scripts, images, links and formulas in names, dialogues, responses, key points and evidence: nothing is loaded,
    run or made clickable, on any page; and a download holds no formula."""
    first, second = (run.id for run in find_runs(hostile[0]))
    paths = {
        "overview": "",
        "compare": f"compare?systems={first}&systems={second}&of=rouge_l",
        "head_to_head": f"head_to_head?of_systems={first}&of_systems={second}&of=rouge_l",
        "slices": "slices?of=rouge_l",
        "samples": f"samples?a={first}&b={second}",
        "runs": f"runs?run={first}&against={second}",
        "versus": "versus",
        "pareto": "pareto",
    }
    with served(hostile) as (address, _), watched(chromium, address, accept_downloads=True) as seen:
        for name, path in paths.items():
            page = seen.open(path)
            if name in ("samples", "versus"):
                page.locator("[data-testid=stExpander] summary").click()
                assert page.get_by_text("<script>fetch(").count() > 1
            if name in ("compare", "head_to_head", "slices"):
                page.wait_for_selector("[data-testid=stVegaLiteChart] svg.marks", timeout=PATIENCE)
            for chart in page.locator("[data-testid=stVegaLiteChart] svg.marks").all():
                box = chart.bounding_box()
                assert box
                for part in (0.05, 0.3, 0.6, 0.95):  # tooltips
                    page.mouse.move(box["x"] + box["width"] * part, box["y"] + 30)
                    page.wait_for_timeout(100)
            alien = page.locator(
                "[src*='evil'], [href*='evil']:not([href^='samples?']), [href^='javascript'], .katex, [data-testid=stMermaidChart], script:not([src])"
            )
            ours = page.locator("head script:not([src]), body > script:not([src])").count()
            assert alien.count() == ours, f"{name}: {[one.evaluate('e => e.outerHTML') for one in alien.all()]}"
            exports = page.locator("[aria-label^='Download as CSV']")
            assert exports.count() == 0, "a table's own export does not quote formulas"
            with page.expect_download() as download:
                page.get_by_role("button", name="CSV", exact=False).last.click()
            text = Path(download.value.path()).read_text(encoding="utf-8-sig")
            assert HOSTILE_NAME.split('"')[0][:12] in text
            assert not any(line.startswith(("=", '"=')) for line in text.split("\n")[1:2])
            assert ",=HYPERLINK" not in text
            assert ',"=HYPERLINK' not in text
        assert seen.foreign == []
        assert seen.problems == []


def test_address_follows_the_reader_and_back(chromium: Browser, address: str, shown: Place) -> None:
    """A choice is in the address, a reload keeps it, the browser's back button undoes it."""
    null = next(run.id for run in find_runs(shown[0]) if run.manifest["system"] == "control/null")
    with watched(chromium, address, locale="en-GB") as seen:
        page = seen.open(f"samples?a={null}")
        show = page.get_by_label("Show", exact=False).first
        show.click()
        page.get_by_role("option", name="A fails a gate").click()
        page.wait_for_url("**show=failed**")
        page.reload()
        seen.settle()
        expect(show).to_have_value("A fails a gate", timeout=PATIENCE)
        page.go_back()
        expect(show).to_have_value("all", timeout=PATIENCE)
        assert "show=" not in page.url
        assert seen.problems == []


def test_a_slice_links_to_its_items_whatever_was_chosen_there_before(
    chromium: Browser, address: str, shown: Place
) -> None:
    null = next(run.id for run in find_runs(shown[0]) if run.manifest["system"] == "control/null")
    with watched(chromium, address, viewport=SIZES["desktop"], locale="en-GB") as seen:
        page = seen.open(f"samples?a={null}&show=failed&difficulty=1")
        page.get_by_role("link", name="Slices").click()
        page.get_by_role("link", name="See these items in Samples").click()
        page.wait_for_url("**/samples?**")
        expect(page.get_by_label("Show", exact=False).first).to_have_value("all", timeout=PATIENCE)
        expect(page.get_by_label("difficulty", exact=False).first).to_have_value("any", timeout=PATIENCE)
        assert "topic=" in page.url
        assert "language=" in page.url
        assert seen.problems == []


def test_only_this_machine_is_served(shown: Place) -> None:
    """Loopback only; a content policy on every answer; a foreign Host is refused where the session begins."""
    with served(shown) as (address, parent):
        port = int(address.rsplit(":", 1)[1])
        children = psutil.Process(parent).children(recursive=True)
        listening = [one for child in children for one in child.net_connections() if one.status == psutil.CONN_LISTEN]
        assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
        answer = _get(port, "/", "127.0.0.1")
        assert "default-src 'self'" in str(answer.getheader("content-security-policy"))
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        assert _get(port, "/_stcore/stream", f"127.0.0.1:{port}", upgrade).status == 101
        assert _get(port, "/_stcore/stream", "evil.example", upgrade).status == 403


def test_a_proxys_name_is_served_when_it_is_given(shown: Place) -> None:
    """`--host`: that name too, from its own pages; no other."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with served(shown, "--host", "bench.example") as (address, _):
        port = int(address.rsplit(":", 1)[1])
        for host, origin, status in (
            ("bench.example", "https://bench.example", 101),
            ("127.0.0.1", f"http://127.0.0.1:{port}", 101),
            ("bench.example", "https://evil.example", 403),
            ("evil.example", "https://evil.example", 403),
        ):
            assert _get(port, "/_stcore/stream", host, {**upgrade, "Origin": origin}).status == status, (host, origin)


def _get(port: int, path: str, host: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host, **(headers or {})})
    return connection.getresponse()
