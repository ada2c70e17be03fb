"""What an experiment did, in order, as it happened: plans, choices, test scorings. Only ever appended to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.experiment.plan import Plan
from harness.record import Lines, read_lines

LEDGER = "ledger.jsonl"


def rows(folder: Path, what: str | None = None) -> list[dict[str, Any]]:
    """The ledger of an experiment, or its rows of one kind: plan, made, chosen, test."""
    path = folder / LEDGER
    return [row for row in read_lines(path) if what in (None, row["what"])] if path.exists() else []


class Ledger:
    """The one writer of an experiment's ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = Lines(folder / LEDGER)
        self._tested = {row["system"] for row in rows(folder, "test")}
        self._lock = threading.Lock()

    def append(self, what: str, **facts: Any) -> None:
        self._lines.append({"time": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, **facts})

    def plan(self, plan: Plan, given: Mapping[str, Any]) -> None:
        """Record the plan that is carried out. Raises UsageError if it changed after the first test scoring."""
        before = rows(self.folder, "plan")
        if before and before[-1]["digest"] == plan.digest:
            return
        if self._tested:
            raise UsageError(
                f"{self.folder} was scored on the test items under another plan. A changed plan is a new experiment: give "
                "it another folder; nothing was changed."
            )
        self.append("plan", digest=plan.digest, plan=given)

    def test(self, system: str) -> None:
        """Record, before it begins, that a system is scored on the test items; once for each system."""
        with self._lock:
            if system in self._tested:
                return
            self._tested.add(system)
        self.append("test", system=system)

    def close(self) -> None:
        self._lines.close()
