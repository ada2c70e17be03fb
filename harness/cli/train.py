"""`easyds train`: a spec from a file and options, the stage as a child, its events shown and passed on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from harness import stages
from harness.cli.progress import duration
from harness.cli.watch import Follow
from harness.errors import UsageError, unknown
from harness.fit import fitted
from harness.trackers import open_tracker


def train(
    stage: str,
    path: Path | None,
    given: Mapping[str, Any],
    settings: Sequence[str],
    form: str,
    track: Sequence[str] = (),
    fit_batch: bool = False,
    dry_run: bool = False,
) -> None:
    """Run the stage and print its result, or with `dry_run` only what memory it will need."""
    if form not in ("text", "json"):
        raise unknown("format", form, ["text", "json"], "--format")
    spec = merged(path, given, settings)
    order = stages.Order(stage, spec)
    if dry_run:
        _print_estimate(stages.estimate(order), form)
        return
    if fit_batch:
        order = fitted(order, lambda line: print(f"{stage}: {line}", file=sys.stderr, flush=True))
    with ExitStack() as opened:
        listeners: list[Callable[[Mapping[str, Any]], None]] = [opened.enter_context(Follow(stage))]
        listeners += [opened.enter_context(closing(open_tracker(name, order.output))) for name in track]

        def tell(event: Mapping[str, Any]) -> None:
            for listener in listeners:
                listener(event)

        result = stages.run(order, tell)
    if form == "json":
        print(json.dumps(result, ensure_ascii=False, indent=1))
        return
    checkpoint = Path(spec["output"]) / "checkpoint"
    where = f", checkpoint: hf/{checkpoint.resolve()}" if checkpoint.is_dir() else ""
    print(f"{stage}: done in {duration(float(result.get('seconds', 0)))}{where}")


def _print_estimate(found: Mapping[str, Any], form: str) -> None:
    if form == "json":
        print(json.dumps(found, indent=1))
        return
    load = found["load"]
    trained = f"{found['trained']:,} of {found['parameters']:,} weights trained"
    print(f"{found['stage']} on {load['device']}: {load['rows']} rows of at most {load['length']} tokens, {trained}")
    for name, value in {**found["bytes"], "available": found["available_bytes"]}.items():
        print(f"{name:<12}{value / 1e9:10.3f} GB")
    print("it fits" if found["fits"] else "it does not fit")


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
