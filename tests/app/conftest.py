"""Runs for the app to show, made by the real runner with control systems."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_support import ENTRY, HOSTILE, HOSTILE_NAME, Open, execute, write_report
from lead_support import Page, Team, at_work, sign_in
from streamlit import config
from streamlit.testing.v1 import AppTest
from support import item_row, make_task


@pytest.fixture(autouse=True)
def loopback() -> Iterator[None]:
    """The server's address, as `app/.streamlit/config.toml` has it for the real one."""
    before = config.get_option("server.address")
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", before)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of runs and its task: sixty problems of ds-trace, four controls, one of them run again with a limit."""
    folder = tmp_path_factory.mktemp("shown")
    simulate = {"split": "test", "clusters": 30, "seed": 5, "families": ["stack", "queue"], "difficulties": [1, 2]}
    file = make_task(folder / "task", items=None, simulate=simulate, scorers=["trace", "rouge_l"])
    for control in ("reference", "prior", "generic", "null"):
        execute(folder / "runs", file, control)
    execute(folder / "runs", file, "parrot", limit=4)
    write_report(folder / "runs", ("ppo", "dpo"), "Which element is on top?")
    return folder / "runs", file


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs whose system name, dialogue, responses, key points and topics are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    points = {"diagnosis": HOSTILE, "location": HOSTILE, "next_steps": [HOSTILE]}
    changes = {"references": [HOSTILE], "key_points": points, "answer": HOSTILE, "misconception": HOSTILE}
    rows = [
        item_row(
            number,
            messages=[{"role": "user", "content": HOSTILE}],
            knowledge_point=HOSTILE_NAME,
            cluster=f"c{number} {HOSTILE_NAME}",
            **changes,
        )
        for number in range(6)
    ]
    file = make_task(folder / "task", rows, description={"zh": HOSTILE, "en": HOSTILE}, scorers=["trace", "rouge_l"])
    execute(folder / "runs", file, "reference", name=HOSTILE_NAME)
    execute(folder / "runs", file, "parrot", name=HOSTILE_NAME + " 2")
    write_report(folder / "runs", (HOSTILE_NAME, HOSTILE_NAME + " 2"), HOSTILE)
    return folder / "runs", file


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """`opened(page, lang, (runs, task file), **query)`: that page of the app, run once in this process."""

    def open_page(page: str, lang: str, place: tuple[Path, Path], **query: str | list[str]) -> AppTest:
        monkeypatch.setenv("EASYDS_APP_RUNS", str(place[0]))
        monkeypatch.setenv("EASYDS_APP_TASK", str(place[1]))
        if "EASYDS_APP_LEADERBOARDS" not in os.environ:  # the project's own published boards are not this test's
            monkeypatch.setenv("EASYDS_APP_LEADERBOARDS", str(place[0].parent / "leaderboards"))
        at = AppTest.from_file(ENTRY, default_timeout=60)
        at.query_params["lang"] = lang
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        return at if page == "overview" else at.switch_page(f"app_pages/{page}.py").run()

    return open_page


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A team whose votes are in; for tests that only look."""
    return at_work(tmp_path_factory.mktemp("settled"))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """The same, for tests that write."""
    return at_work(tmp_path)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Page:
    """`page(team, name, lang, who=…, **query)`: that page, run once; as the local person, or as `who` signed in."""

    def opened(team: Team, name: str, lang: str = "en", who: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{team.database}")
        monkeypatch.setenv("EASYDS_APP_RUNS", str(team.place[0]))
        monkeypatch.setenv("EASYDS_APP_TASK", str(team.place[1]))
        monkeypatch.setenv("EASYDS_APP_LEADERBOARDS", str(tmp_path / "leaderboards"))
        at = AppTest.from_file(ENTRY, default_timeout=60)
        if who is not None:
            sign_in(at, who)
        at.query_params["lang"] = lang
        for key, value in query.items():
            at.query_params[key] = value
        return at.run().switch_page(f"app_pages/{name}.py").run()

    return opened
