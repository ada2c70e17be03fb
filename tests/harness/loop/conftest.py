"""A store whose ids and tokens are drawn by seed: who is asked what, and so who is found to lie, is the same in every run."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from harness import annotate


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[annotate.Store]:
    draw = Random(0)
    monkeypatch.setattr(secrets, "token_hex", lambda size: draw.randbytes(size).hex())
    monkeypatch.setattr(
        secrets, "token_urlsafe", lambda size: urlsafe_b64encode(draw.randbytes(size)).decode().rstrip("=")
    )
    found = annotate.open_store(tmp_path / "annotations.db")
    yield found
    found.close()
