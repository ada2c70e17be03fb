"""A training as it goes, on stderr: a live table on a terminal, elsewhere a plain line every ten seconds. Alarms stay."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from harness.cli.progress import EVERY_S, duration
from harness.errors import printable

SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "reference_kl": "KL to reference, nats/sequence",
    "reference_kl_per_token": "KL to reference, nats/token",
    "update_kl": "KL of the update, nats/sequence",
    "margin": "margin",
    "accuracy": "accuracy",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
}
"""Values that are shown, where an event has them."""


class Follow:
    """Told each event of a stage; a context manager."""

    def __init__(self, stage: str) -> None:
        self._stage = printable(stage)
        self._last: dict[str, Any] = {}
        self._alarms: list[str] = []
        self._first: tuple[float, int, int] | None = None
        self._spoken = time.monotonic()
        self._live: Any = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        if "alarm" in event:
            line = printable(f"step {event.get('step')}: {event['alarm']}: {event.get('message', '')}")
            self._alarms.append(line)
            if self._live is None:
                print(f"{self._stage}: ALARM {line}", file=sys.stderr, flush=True)
            return
        self._last.update(event)
        if self._first is None:
            self._first = (float(event.get("seconds", 0)), int(event.get("step", 0)), int(event.get("tokens", 0) or 0))
        if self._live is None and time.monotonic() - self._spoken >= EVERY_S:
            self._spoken = time.monotonic()
            facts = ", ".join(f"{name} {value}" for name, value in self.facts().items())
            print(f"{self._stage}: {facts}", file=sys.stderr, flush=True)

    def facts(self) -> dict[str, str]:
        """What is known now, by name, as people read it. Speed and time left count from the first event told."""
        last = self._last
        steps = f"/{last['steps']}" if "steps" in last else ""
        found = {"step": f"{last.get('step', 0)}{steps}"}
        found |= {name: f"{last[key]:.4g}" for key, name in SHOWN.items() if isinstance(last.get(key), (int, float))}
        began, step, tokens = self._first or (0.0, 0, 0)
        seconds = float(last.get("seconds", 0)) - began
        if seconds > 0 and last.get("tokens"):
            found["tokens/s"] = f"{(last['tokens'] - tokens) / seconds:.0f}"
        if isinstance(last.get("memory"), int):
            found["memory"] = f"{last['memory'] / 1e9:.2f} GB"
        if seconds > 0 and "steps" in last and last["step"] > step:
            found["time left"] = duration((last["steps"] - last["step"]) * seconds / (last["step"] - step))
        return found

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self._stage, show_header=False)
        for name, value in self.facts().items():
            table.add_row(name, value)
        return Group(table, *(Text(f"ALARM {line}", style="bold red") for line in self._alarms[-5:]))

    def __enter__(self) -> Follow:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, get_renderable=self._table)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
