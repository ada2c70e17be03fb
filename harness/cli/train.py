"""`easyds train`: a spec from a file and options, the stage as a child, its events as a line now and then."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import stages
from harness.cli.progress import EVERY_S, duration
from harness.errors import UsageError, printable, unknown


def train(stage: str, path: Path | None, given: Mapping[str, Any], settings: Sequence[str], form: str) -> None:
    """Run the stage and print its result."""
    if form not in ("text", "json"):
        raise unknown("format", form, ["text", "json"], "--format")
    spec = merged(path, given, settings)
    result = stages.run(stages.Order(stage, spec), Follow(stage))
    if form == "json":
        print(json.dumps(result, ensure_ascii=False, indent=1))
        return
    checkpoint = Path(spec["output"]) / "checkpoint"
    where = f", checkpoint: hf/{checkpoint.resolve()}" if checkpoint.is_dir() else ""
    print(f"{stage}: done in {duration(float(result.get('seconds', 0)))}{where}")


def merged(path: Path | None, given: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The spec in the file with the options put in place of its own. Raises UsageError without an output."""
    spec: dict[str, Any] = {}
    if path is not None:
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} is not a readable JSON spec ({error}).") from error
        if not isinstance(spec, dict):
            raise UsageError(f"{path}: a spec is a JSON object.")
    spec |= given
    for one in settings:
        key, equals, text = one.partition("=")
        if not equals:
            raise UsageError(f"--set '{one}' is not KEY=VALUE.")
        _put(spec, key.split("."), text)
    if not isinstance(spec.get("output"), str):
        raise UsageError("the spec names no output folder: add --output FOLDER.")
    return spec


def _put(spec: dict[str, Any], keys: Sequence[str], text: str) -> None:
    """Set a key, or one of a nested object. The value is JSON where it is valid JSON, else a text."""
    for key in keys[:-1]:
        spec = spec.setdefault(key, {})
        if not isinstance(spec, dict):
            raise UsageError(f"--set: '{key}' is no object, so it has no '{keys[-1]}'.")
    try:
        spec[keys[-1]] = json.loads(text)
    except ValueError:
        spec[keys[-1]] = text


class Follow:
    """Tells of events on stderr: a line every ten seconds, and every alarm at once."""

    def __init__(self, stage: str) -> None:
        self._stage, self._spoken = stage, time.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if "alarm" in event:
            print(printable(f"{self._stage}: step {event.get('step')}: {event['alarm']}"), file=sys.stderr, flush=True)
        elif now - self._spoken >= EVERY_S:
            self._spoken = now
            values = (f"{key} {value:.4g}" for key, value in event.items() if key in _SHOWN and value is not None)
            print(
                printable(f"{self._stage}: step {event.get('step')}, {', '.join(values)}"), file=sys.stderr, flush=True
            )


_SHOWN = ("loss", "reward", "margin", "accuracy", "kl", "kl_per_token", "grad_norm", "tokens")
