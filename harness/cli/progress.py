"""Progress of a run on stderr: a live bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from harness.errors import printable
from harness.types import Failure, Response

EVERY_S = 10.0


class Progress:
    """Shows done/total, responses and tokens per second and the time left. A context manager; call it per outcome."""

    def __init__(self, label: str) -> None:
        self._label = printable(label)
        self._total = self._before = self._done = self._failed = self._tokens = 0
        self._started = self._spoken = time.monotonic()
        self._bar: object | None = None

    def begin(self, total: int, before: int) -> Progress:
        """Start counting: `total` requests, `before` of them answered by an earlier session."""
        self._total, self._before = total, before
        self._started = self._spoken = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._bar = Live(
                console=Console(stderr=True), transient=True, refresh_per_second=4, get_renderable=self._line
            )
            self._bar.start()
        elif before:
            print(f"{self._label}: {before} of {total} are done already", file=sys.stderr, flush=True)
        return self

    def __call__(self, outcome: Response | Failure) -> None:
        self._done += 1
        if isinstance(outcome, Failure):
            self._failed += 1
        else:
            self._tokens += outcome.completion_tokens or 0
        now = time.monotonic()
        if self._bar is None and (now - self._spoken >= EVERY_S):
            self._spoken = now
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-6)
        left = (self._total - self._before - self._done) * seconds / self._done if self._done else None
        parts = [f"{self._label}: {self._before + self._done}/{self._total}", f"{self._done / seconds:.1f} responses/s"]
        if self._tokens:
            parts.append(f"{self._tokens / seconds:.0f} tokens/s")
        if self._failed:
            parts.append(f"{self._failed} failed")
        parts.append("time left " + (duration(left) if left is not None else "unknown"))
        return ", ".join(parts)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
        if self._total and kind is None:
            seconds = time.monotonic() - self._started
            speed = f", {self._tokens / seconds:.0f} tokens/s" if self._tokens else ""
            print(f"{self._label}: {self._done} responses in {duration(seconds)}{speed}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people read them: 8.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
