"""A scripted judge's server, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from endpoint import Endpoint, serving

from harness.scorers.judge import desk

KEY = "sk-a-judges-secret"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setenv("EASYDS_JUDGE_KEY", KEY)
    monkeypatch.setattr(desk, "PAUSE_S", 0.01)
    with ExitStack() as stack:
        yield lambda behave: stack.enter_context(serving(behave))
