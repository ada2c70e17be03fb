"""The log that an operator asks for: append-only JSONL of served turns and feedback, personal data taken out.

One writer. A thread redacts and writes, so that no answer waits for it; rows that wait together are synced together,
and `close` returns when all of them are on disk. A full disk does not stop the service: `lost` counts the rows,
and `close` raises what happened.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.data.private import finder, redacted
from harness.record import Lines, lock

TICK_S = 0.1


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
        self._rows: deque[tuple[dict[str, Any], dict[str, Any]]] = deque()
        self._closed = threading.Event()
        self._writer = threading.Thread(target=self._work, name="log")
        self._writer.start()

    def append(self, facts: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
        """A row of facts, written as they are, and of texts, in which personal data are replaced."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._rows.append(({"at": at, **facts}, dict(texts)))

    def _work(self) -> None:
        """Write what has come, now and then: to wake for each row costs more than to write it."""
        while not self._closed.wait(TICK_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        while self._rows:
            self._write(*self._rows.popleft())

    def _write(self, facts: dict[str, Any], texts: dict[str, Any]) -> None:
        try:
            clean, found = next(redacted([("", texts)], self._find))
            self._lines.append({**facts, **clean, "redacted": sum(one.count for one in found)})
        except Exception as error:  # nobody waits for the outcome of this thread's work
            if not self.lost:
                print(f"easyds: a row of the log was lost: {error}", file=sys.stderr, flush=True)
            self.lost += 1

    def close(self) -> None:
        self._closed.set()
        self._writer.join()
        try:
            self._lines.close()
        finally:
            os.close(self._lock)
