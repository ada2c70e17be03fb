"""The log that an operator asks for: append-only JSONL of served turns and feedback, personal data taken out.

One writer. A thread redacts and writes, so that no answer waits for it; rows that wait together are synced together,
and `close` returns when all of them are on disk. A full disk does not stop the service: `lost` counts the rows,
and `close` raises what happened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.data.private import finder, redacted
from harness.record import Lines, lock


class Log:
    """Raises EnvironmentProblem if another process writes to `path`, if it cannot be written, or without the packages
    that find personal data."""

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self._find = finder()
        self._lock = lock(path.with_name(f".{path.name}.lock"), str(path))
        try:
            self._lines = Lines(path)
        except BaseException:
            os.close(self._lock)
            raise
        self._writer = ThreadPoolExecutor(1, "log")

    def append(self, facts: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
        """A row of facts, written as they are, and of texts, in which personal data are replaced."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._writer.submit(self._write, {"at": at, **facts}, dict(texts))

    def _write(self, facts: dict[str, Any], texts: dict[str, Any]) -> None:
        try:
            clean, found = next(redacted([("", texts)], self._find))
            self._lines.append({**facts, **clean, "redacted": sum(one.count for one in found)})
        except Exception as error:  # nobody waits for the outcome of this thread's work
            if not self.lost:
                print(f"easyds: a row of the log was lost: {error}", file=sys.stderr, flush=True)
            self.lost += 1

    def close(self) -> None:
        self._writer.shutdown()
        try:
            self._lines.close()
        finally:
            os.close(self._lock)
