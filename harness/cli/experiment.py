"""`easyds experiment run`: a plan carried out, with progress over all of it."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import experiment
from harness.cli.progress import EVERY_S, duration
from harness.errors import printable
from harness.experiment.execute import default_workers
from harness.experiment.graph import Node
from harness.experiment.ledger import rows
from harness.paths import read_yaml


def carry_out(plan_file: Path, folder: Path | None, workers: int | None) -> Path:
    """Carry out the plan in a file; the folder that it is in: `out/` and the plan's name unless given."""
    plan = experiment.read(plan_file)
    target = folder or Path("out") / plan.name
    with Watch(target, workers or default_workers()) as watch:
        experiment.run(plan, read_yaml(plan_file), target, watch, watch.workers)
    return target


class Watch:
    """Tells on stderr what is under way: a live table on a terminal, elsewhere a line as each part ends. A context manager.

    The time left is that of parts of the same name that were made before, here or by an earlier command, shared among
    the workers; parts not seen yet count as the mean of their kind, and where none of it was seen nothing is told.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.workers = workers
        self._took: dict[str, list[float]] = defaultdict(list)
        for row in rows(folder, "made"):
            self._note(row["kind"], row["name"], row["seconds"])
        self._todo: dict[Path, Node] = {}
        self._total = self._done = 0
        self._running: dict[Path, tuple[Node, float, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()
        self._spoken = time.monotonic()
        self._live: Any = None

    def planned(self, nodes: Sequence[Node]) -> None:
        self._todo = {node.path: node for node in nodes}
        self._total = len(nodes)

    def found(self, node: Node) -> None:
        self._ended(node)

    def begun(self, node: Node) -> None:
        with self._lock:
            self._running[node.path] = (node, time.monotonic(), {})

    def event(self, node: Node, event: Mapping[str, Any]) -> None:
        if "alarm" in event:
            self._say(f"{node.name}: ALARM step {event.get('step')}: {event['alarm']}: {event.get('message', '')}")
            return
        with self._lock:
            if node.path in self._running:
                _, since, last = self._running[node.path]
                self._running[node.path] = (node, since, {**last, **event})
        if self._live is None and time.monotonic() - self._spoken >= 3 * EVERY_S:
            self._say(self._line())

    def done(self, node: Node, seconds: float) -> None:
        self._note(node.kind, node.name, seconds)
        with self._lock:
            self._running.pop(node.path, None)
        self._ended(node)
        self._say(f"{node.name} {duration(seconds)}. {self._line()}")

    def failed(self, node: Node, why: str) -> None:
        with self._lock:
            self._running.pop(node.path, None)
        self._say(f"{node.name} FAILED: {why}")

    def _ended(self, node: Node) -> None:
        """A node counts once: the chosen trial's nodes stand in the plan under the first trial's."""
        with self._lock:
            planned = self._todo.pop(node.path, None) or next(
                (one for one in self._todo.values() if (one.kind, one.name) == (node.kind, node.name)), None
            )
            if planned:
                self._todo.pop(planned.path, None)
                self._done += 1

    def _note(self, kind: str, name: str, seconds: float) -> None:
        for key in (kind, f"{kind} {name.rsplit('-', 1)[0]}"):
            self._took[key].append(seconds)

    def _usual(self, node: Node) -> float | None:
        """Seconds that parts like this one took: of its name, the seed left out, else of its kind."""
        name = f"{node.kind} {node.name.rsplit('-', 1)[0]}"
        found = self._took.get(name) or self._took.get(node.kind)
        return sum(found) / len(found) if found else None

    def left(self) -> float | None:
        """Seconds until everything is made; None while that cannot be told."""
        with self._lock:
            running = dict(self._running)
            waiting = [node for path, node in self._todo.items() if path not in running]
        parts = [self._usual(node) for node in waiting]
        for node, since, last in running.values():
            spent, usual = time.monotonic() - since, self._usual(node)
            share = last["step"] / last["steps"] if last.get("steps") and last.get("step") else 0
            parts.append(spent * (1 - share) / share if share else None if usual is None else max(0.0, usual - spent))
        return None if None in parts else sum(part for part in parts if part is not None) / self.workers

    def _line(self) -> str:
        left = self.left()
        with self._lock:
            now = ", ".join(_progress(node, last) for node, _, last in self._running.values())
        told = f"{self._done}/{self._total} done, time left {duration(left) if left is not None else 'unknown'}"
        return f"{told}; under way: {now}" if now else told

    def _say(self, line: str) -> None:
        self._spoken = time.monotonic()
        text = printable(line)
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=2, get_renderable=self._line)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def _progress(node: Node, last: Mapping[str, Any]) -> str:
    return f"{node.name} {last['step']}/{last['steps']}" if last.get("steps") else node.name
