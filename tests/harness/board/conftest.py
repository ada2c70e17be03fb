"""The board's small task."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import item_row, make_task

from harness import task
from harness.types import Task


@pytest.fixture
def small(tmp_path: Path) -> Task:
    """Twenty items in twenty clusters."""
    return task.load(str(make_task(tmp_path / "task", [item_row(i, cluster=f"c{i}") for i in range(20)])))
