"""Stages as processes: how a checkpoint comes to be, seen from outside. Trainers are started, never imported.

A stage is `python -m trainers NAME spec.json` or any executable called with a spec. It writes events.jsonl while it works
and result.json last, into the spec's `output`; what it prints goes to `log.txt` there and means nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EasyDSError, EnvironmentProblem, OutOfMemory, UsageError
from harness.record import is_held, lock, write_json

GIVEN, LOG, EVENTS, RESULT = "given.json", "log.txt", "events.jsonl", "result.json"
Tell = Callable[[Mapping[str, Any]], None]
"""Told of each event as it comes."""
POLL_S = 0.2


class StageFailed(EasyDSError):
    """A stage ended without its result. The exit code is the stage's own where it is 2, 3 or 4 (1 means a failed gate)."""

    def __init__(self, message: str, exit_code: int, starved: bool = False) -> None:
        """`starved`: whether memory ran out, as far as can be told."""
        super().__init__(message)
        self.exit_code, self.starved = exit_code, starved


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: a stage by name, or an executable's path, with its spec."""

    stage: str
    spec: Mapping[str, Any]

    @property
    def output(self) -> Path:
        return Path(self.spec["output"])

    def command(self, spec: Path) -> list[str]:
        """The command line. Raises UsageError for a path that cannot be executed."""
        if os.sep not in self.stage:
            return [sys.executable, "-m", "trainers", self.stage, str(spec)]
        program = Path(self.stage)
        if not (program.is_file() and os.access(program, os.X_OK)):
            raise UsageError(f"{program} is no executable file. A stage is a name, or a program that takes a spec.")
        return [str(program.resolve()), str(spec)]


def run(order: Order, tell: Tell | None = None, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Run a stage to its end and return its result; a stage that is done returns it at once.

    `stop` is asked now and then: once it says yes, the stage is interrupted as by Ctrl-C, and KeyboardInterrupt raised.

    The process is the first that the kernel ends when memory runs out. Raises StageFailed with the stage's exit code and
    its own words, and says when it was killed or wrote no result; UsageError if the folder belongs to another spec.
    """
    output = order.output
    output.mkdir(parents=True, exist_ok=True)
    spec = _claim(output, order)
    holder = lock(output / ".started", f"{output}")
    try:
        if not (output / RESULT).exists():
            _run(order.command(spec), output, tell, stop)
        return _result(output)
    finally:
        os.close(holder)


def run_when_free(
    order: Order,
    tell: Tell | None = None,
    stop: Callable[[], bool] = lambda: False,
    waiting: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """`run`, once a process that a killed command left at work in the folder has ended; also if it wakes beside ours.

    `waiting` is called before each wait.
    """
    held = order.output / ".lock"
    while True:
        if is_held(held):
            waiting()
        while is_held(held) and not stop():
            time.sleep(POLL_S)
        try:
            return run(order, tell, stop)
        except StageFailed:
            if not is_held(held):
                raise


def estimate(order: Order) -> dict[str, Any]:
    """The memory that a stage will need (`trainers.preflight.report`); nothing is written to its folder.

    Raises UsageError for an executable, StageFailed in the stage's own words if its spec is not right.
    """
    if os.sep in order.stage:
        raise UsageError("memory is estimated for stages by name, not for programs.")
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        write_json(spec, dict(order.spec))
        done = subprocess.run([*order.command(spec), "--dry-run"], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise StageFailed(last.removeprefix("trainers: "), done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _claim(output: Path, order: Order) -> Path:
    """Where the spec lies for the stage to read. Raises UsageError if the folder was begun with another."""
    path = output / GIVEN
    given = json.loads(json.dumps(dict(order.spec)))
    events = output / EVENTS
    begun = (output / RESULT).exists() or (events.exists() and events.stat().st_size > 0)
    if path.exists() and begun:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier != given:
            key = next(key for key in {**earlier, **given} if earlier.get(key) != given.get(key))
            raise UsageError(
                f"{output} was begun with another spec ({key} was {earlier.get(key)}, is {given.get(key)}). "
                "Choose another --output or remove the folder; nothing was changed."
            )
    else:
        write_json(path, given)
    return path


def _run(command: list[str], output: Path, tell: Tell | None, stop: Callable[[], bool]) -> None:
    killed_before, tail = _kills(), Tail(output / EVENTS)
    with open(output / LOG, "ab") as log:
        start = log.tell()
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be started: {error.strerror}.") from error
        _first_to_die(process.pid)
        try:
            _follow(process, tail, tell, stop)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if process.returncode:
        raise _failure(process.returncode, output, start, _kills() > killed_before)


def _first_to_die(pid: int) -> None:
    """Raise the process's share of the blame when memory runs out (Linux)."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    except OSError:
        pass


def _kills() -> int:
    """How often the kernel has killed for memory in this control group; 0 where that is not told."""
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _follow(process: subprocess.Popen[bytes], tail: Tail, tell: Tell | None, stop: Callable[[], bool]) -> None:
    """Wait for the process, telling of its events. Those written before it was started are told too."""
    while True:
        if stop():
            raise KeyboardInterrupt
        ended = process.poll() is not None
        if tell is not None:
            for row in tail.rows(ended):
                tell(row)
        if ended:
            return
        time.sleep(POLL_S)


class Tail:
    """The events of a stage as they come, each once; made before its process is started.

    A stage that goes on first replaces the file by one without the events that will happen again. So what lies there
    before is not told until the file has changed, or the process has ended.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self._before = self._state()

    def _state(self) -> tuple[int, int]:
        """(file, bytes in it)."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_size

    def rows(self, ended: bool) -> Iterator[dict[str, Any]]:
        """Whole lines not told yet; lines that are no JSON objects are passed over: a foreign program wrote them."""
        state = self._state()
        if (state == self._before and not ended) or state[1] <= self._read:
            return
        self._before = (0, 0)
        with open(self._path, "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                with suppress(ValueError):
                    row = json.loads(line)
                    if isinstance(row, dict):
                        yield row


def _failure(code: int, output: Path, start: int, starved: bool) -> StageFailed:
    again = "The same command goes on from the last whole state."
    if code < 0:
        name = signal.Signals(-code).name
        if code == -signal.SIGINT:
            raise KeyboardInterrupt
        why = "the machine ran out of memory" if starved else "by another process, or because memory ran out"
        return StageFailed(f"the stage in {output} was killed ({name}; {why}). {again}", 3, code == -signal.SIGKILL)
    if code == 130:
        raise KeyboardInterrupt
    with open(output / LOG, "rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").strip().splitlines()
    own = (line for line in reversed(lines) if line.startswith("trainers: "))  # a launcher's words come after it
    last = next(own, lines[-1] if lines else "it printed nothing")
    message = last.removeprefix("trainers: ") if last.startswith("trainers: ") else f"{last[:300]} (see {output / LOG})"
    known = code in (2, 3, 4) and last.startswith("trainers: ")
    return StageFailed(message, code if known else 3, code == OutOfMemory.exit_code or "out of memory" in message)


def _result(output: Path) -> dict[str, Any]:
    path = output / RESULT
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EnvironmentProblem(
            f"the stage ended without an error but wrote no {path}, so it is not done. See {output / LOG}."
        ) from error
    except ValueError as error:
        raise EnvironmentProblem(
            f"{path} is not valid JSON ({error}). The stage does not keep the contract."
        ) from error
    if not isinstance(found, dict):
        raise EnvironmentProblem(f"{path} is no JSON object. The stage does not keep the contract.")
    return found
