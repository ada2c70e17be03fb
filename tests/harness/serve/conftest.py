"""One gateway and one engine for the tests of a module that need nothing of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from endpoint import Endpoint, serving
from gateway_support import GOOD, Gateway, gateway, says, write_package


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("serve")
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(write_package(folder / "package"), "--engine-url", engine.url, "--log", folder / "log.jsonl") as front,
    ):
        yield SimpleNamespace(engine=engine, front=front, log=folder / "log.jsonl")


@pytest.fixture
def engine(_shared: SimpleNamespace) -> Endpoint:
    """The engine, which a test may tell how to behave; its memory is empty."""
    engine: Endpoint = _shared.engine
    engine.behave = says(GOOD["en"])
    engine.requests.clear()
    engine.attempts.clear()
    return engine


@pytest.fixture
def front(_shared: SimpleNamespace, engine: Endpoint) -> Gateway:
    """A gateway in front of `engine`, with a log."""
    found: Gateway = _shared.front
    return found


@pytest.fixture
def log(_shared: SimpleNamespace) -> Path:
    """The log of `front`."""
    path: Path = _shared.log
    return path
