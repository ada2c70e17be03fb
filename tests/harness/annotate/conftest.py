"""Stores (SQLite and a real PostgreSQL), runs to annotate, and people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annotate_support import Clock, Office, empty_store, office
from postgres import Server, server
from support import item_row, make_task

from harness import annotate, task
from harness.types import Task


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store of each kind."""
    return empty_store(request, tmp_path)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[annotate.Store]:
    """An open SQLite store."""
    found = annotate.open_store(tmp_path / "annotations.db", clock)
    yield found
    found.close()


@pytest.fixture
def lesson(tmp_path: Path) -> Task:
    """Twelve training items in six clusters, zh and en."""
    return task.load(str(make_task(tmp_path / "task", [item_row(i, split="train") for i in range(12)])))


@pytest.fixture
def desk(store: annotate.Store, lesson: Task, runs: Path) -> Callable[..., Office]:
    """Makes an office: a campaign from runs of systems "good", "fair" and "poor", its lead and annotators."""

    def made(kind: str = "compare", **settings: object) -> Office:
        return office(store, lesson, runs, kind, **settings)

    return made
