"""What every stage shares: reading its spec, the folder it writes, and going on after a kill.

In: `spec.json`. Out, in the spec's `output` folder: `spec.json` (as it was read), `events.jsonl`, `trainer_state/step-N/`
(what exact resume needs, each with a mark that it is whole), `checkpoint/` (safetensors), `result.json` (written last:
where it stands, the stage is done). A stage that was killed goes on from its newest whole state when it is started again
with the same spec, and ends with the weights it would have had.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import torch

from harness.digest import digest, file_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.measure import energy, peak_memory, versions
from harness.record import Lines, lock, read_lines, write_json
from trainers import profiles
from trainers.alarms import ALARM, Alarms

SPEC, EVENTS, STATES, CHECKPOINT, RESULT, WHOLE = (
    "spec.json",
    "events.jsonl",
    "trainer_state",
    "checkpoint",
    "result.json",
    "whole.json",
)
S = TypeVar("S", bound="StageSpec")


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """What every stage is told. A stage adds its own fields; unknown keys are refused."""

    output: str
    seed: int = 0
    threads: int = 1
    """Threads of the processor. Part of the spec: another number gives other last bits."""
    save_every: int = 50
    """Steps between the states that a killed stage goes on from."""
    profile: str | None = None
    """The machine it is meant for (`trainers.profiles`); None: this one, as one process."""
    ranks: int | None = None
    """Processes that train together; None: as many as the profile says. Each takes `batch_size` rows at a time."""


def read_spec(kind: type[S], path: Path) -> S:
    """The spec in a JSON file. Raises UsageError for a file that is no spec, unknown or missing keys, wrong types."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable JSON spec ({error}).") from error
    if isinstance(given, dict):
        given = profiles.with_settings(given, {one.name for one in fields(kind)})
    found: S = _build(kind, given, str(path))
    if found.threads < 1 or found.save_every < 1:
        raise UsageError(f"{path}: 'threads' and 'save_every' must be at least 1.")
    return found


def _build(kind: type[Any], given: Any, where: str) -> Any:
    """A dataclass from a JSON object, nested ones included."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: must be a JSON object with keys of {kind.__name__}, not {given!r}.")
    known = {one.name: one for one in fields(kind)}
    if strange := sorted(set(given) - set(known)):
        raise UsageError(f"{where}: unknown key '{strange[0]}'. {kind.__name__} has {', '.join(sorted(known))}.")
    needed = [name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
    if missing := [name for name in needed if name not in given]:
        raise UsageError(f"{where}: the key '{missing[0]}' is missing.")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, f"{where}: '{name}'") for name, value in given.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type that a field asks for; whole numbers serve as floats, lists as tuples."""
    options = getattr(hint, "__args__", ()) if getattr(hint, "__origin__", None) is None else ()
    for one in options or (hint,):
        origin = getattr(one, "__origin__", one)
        if is_dataclass(one) and isinstance(value, dict):
            return _build(one, value, where)  # type: ignore[arg-type]
        if origin is Literal and value in get_args(one):
            return value
        if origin is tuple and isinstance(value, list):
            return tuple(value)
        if origin is float and type(value) in (int, float):
            return float(value)
        if one is Any or (isinstance(origin, type) and type(value) is origin):
            return value
    raise UsageError(f"{where} cannot be {value!r}; it must be {getattr(hint, '__name__', hint)}.")


class Stage:
    """The output folder of one stage, for its one writer. Use as a context manager.

    Where several processes train together, the first writes; the others (`main` false) only read what it goes on from.

    `step` is where to go on from (0 at first), `state` the folder that holds the state of that step (None at first).
    """

    def __init__(self, name: str, spec: StageSpec, inputs: Mapping[str, Path | str], main: bool = True) -> None:
        """`inputs` are what the stage reads, by name: data files, or digests; they belong to the stage's identity.

        Raises UsageError if the folder belongs to another spec or its inputs have changed since, EnvironmentProblem if
        another process writes it.
        """
        self.name, self.spec, self.main = name, spec, main
        self.folder = Path(spec.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.folder / ".lock", f"{self.folder}") if main else -1
        try:
            self.inputs = {key: one if isinstance(one, str) else file_digest(one) for key, one in inputs.items()}
            self.state = self._newest_state()
            self.step = _whole(self.state)["step"] if self.state else 0
            self._spent = _whole(self.state)["spent"] if self.state else {}
            if main:
                self._claim()
                self._cut_events()
        except BaseException:
            if main:
                os.close(self._lock)
            raise
        self._started, self._joules = time.perf_counter(), energy()

    @property
    def done(self) -> bool:
        """Whether an earlier process finished this stage."""
        return (self.folder / RESULT).exists()

    @property
    def seconds(self) -> float:
        """Seconds of training up to now; those of a killed process count up to the state that it left."""
        return float(self._spent.get("seconds", 0.0)) + time.perf_counter() - self._started

    @property
    def _costs(self) -> dict[str, float]:
        """Seconds, processor seconds and, where a counter exists, joules; of a killed process as in `seconds`."""
        found = {"seconds": self.seconds, "cpu_seconds": self._spent.get("cpu_seconds", 0.0) + time.process_time()}
        joules = energy()
        if joules is not None and self._joules is not None and ("energy_j" in self._spent or not self._spent):
            found["energy_j"] = self._spent.get("energy_j", 0.0) + joules - self._joules
        return {name: round(value, 3) for name, value in found.items()}

    @property
    def _begun(self) -> bool:
        """Whether an update was made here: a spec or data that were refused before it may be mended in place."""
        return self.done or ((self.folder / EVENTS).exists() and (self.folder / EVENTS).stat().st_size > 0)

    def _claim(self) -> None:
        identity = {"stage": self.name, "spec": asdict(self.spec), "inputs": self.inputs}
        path = self.folder / SPEC
        if path.exists() and self._begun:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            if earlier["digest"] != digest(identity):
                raise UsageError(
                    f"{self.folder} belongs to another {earlier['stage']} spec ({_difference(earlier, identity)}). "
                    "Choose another output or remove the folder; nothing was changed."
                )
            return
        write_json(path, {**identity, "digest": digest(identity)})

    def _newest_state(self) -> Path | None:
        states = self.folder / STATES
        whole = [path for path in states.glob("step-*") if (path / WHOLE).exists()] if states.is_dir() else []
        return max(whole, key=lambda path: int(path.name.removeprefix("step-")), default=None)

    def _cut_events(self) -> None:
        """Drop the events after the step that is gone on from, all of them without a state: they will happen again."""
        path = self.folder / EVENTS
        kept: list[dict[str, Any]] = []
        if path.exists() and not self.done:
            kept = [row for row in read_lines(path) if self.state and row["step"] <= self.step]
            temporary = path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
            os.replace(temporary, path)
        self._events, self._alarms = Lines(path), Alarms(kept)

    def event(self, step: int, phase: str, **values: Any) -> None:
        """Append one row to events.jsonl, and the alarms that it raises. `memory` is the peak in bytes so far (GPU, else host).

        Raises EnvironmentProblem if a loss or a norm is not a finite number; then the alarm stands there alone.
        """
        memory = peak_memory()
        facts = {"seconds": round(self.seconds, 3), "memory": memory.get("device", memory["host"])}
        row = {"step": step, "phase": phase, **facts, **values}
        broken = next(
            (key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)), ""
        )
        if not broken:
            self._events.append(row)
        for alarm in self._alarms.see(row):
            self._events.append({"step": step, "phase": ALARM, "seconds": row["seconds"], **alarm})
        if broken:
            raise EnvironmentProblem(
                f"{self.name}: {broken} became {values[broken]} at step {step}. A lower learning_rate is the usual cure; "
                f"the last whole state is kept in {self.folder / STATES}."
            )

    @contextmanager
    def saving(self, step: int) -> Iterator[Path]:
        """A new folder to write the state of `step` into. It counts once the block ends without an error; older go."""
        states = self.folder / STATES
        states.mkdir(exist_ok=True)
        final, temporary = states / f"step-{step:08d}", states / f".step-{step:08d}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        self._events.close()  # the events up to here are on disk before the state that stands on them counts
        self._events = Lines(self.folder / EVENTS)
        write_json(temporary / WHOLE, {"step": step, "spent": self._costs})
        os.replace(temporary, final)
        for path in states.iterdir():
            if path != final:
                shutil.rmtree(path, ignore_errors=True)

    def finish(self, **facts: Any) -> None:
        """Write result.json, which makes the stage done, and drop the states."""
        result = {
            "stage": self.name,
            "spec": asdict(self.spec),
            "inputs": self.inputs,
            **self._costs,
            "peak_memory_bytes": peak_memory(),
            "versions": versions(),
            **facts,
        }
        self._events.close()
        write_json(self.folder / RESULT, result)
        shutil.rmtree(self.folder / STATES, ignore_errors=True)

    def __enter__(self) -> Stage:
        torch.set_num_threads(self.spec.threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.main:
            try:
                self._events.close()
            finally:
                os.close(self._lock)


def _whole(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / WHOLE).read_text(encoding="utf-8"))
    return found


def _difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two identities differ, in words."""
    if earlier["stage"] != now["stage"]:
        return f"it is now {now['stage']}"
    for part in ("spec", "inputs"):
        for key in sorted({*earlier[part], *now[part]}):
            before, after = earlier[part].get(key), json.loads(json.dumps(now[part].get(key)))
            if before != after:
                return f"{part}: {key} was {str(before)[:40]}, is {str(after)[:40]}"
    return "no single key differs"


def save_tensors(state: Path, **parts: Any) -> None:
    """Write optimiser, scheduler, generator states and the like into a state folder, one file a part."""
    for name, part in parts.items():
        torch.save(part, state / f"{name}.pt")


def load_tensors(state: Path, *names: str) -> list[Any]:
    """What `save_tensors` wrote. Only tensors and plain values are unpickled."""
    return [torch.load(state / f"{name}.pt", weights_only=True) for name in names]
