"""The largest batch that fits into memory, found by trying: one update on the longest rows, in a process of its own.

Halving leaves an update what it is: `batch_size` x `accumulation` x processes stays the same. A try is the whole stage,
started as it will be started for training (launcher, DeepSpeed and all), with the longest rows and one update: forward
pass, backward pass, optimiser. So it holds wherever the stage runs, and a kill for memory ends only the try.
(Under ZeRO-3, where transformers' own search gives up, this has not been run: no GPU here.)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from heapq import nlargest
from pathlib import Path
from typing import Any

from harness.errors import OutOfMemory, UsageError
from harness.stages import GIVEN, Order, StageFailed, run

TEXTS = ("prompt", "response", "chosen", "rejected", "messages")


def fitted(order: Order, say: Callable[[str], None]) -> Order:
    """The order with the largest `batch_size` that fits. What was found before for its folder is not tried again.

    Raises UsageError if the spec has no batch_size, OutOfMemory if a single row does not fit, StageFailed if a try fails
    for another reason.
    """
    spec = dict(order.spec)
    if not isinstance(spec.get("batch_size"), int):
        raise UsageError("--fit-batch needs a 'batch_size' in the spec to begin from.")
    begun = order.output / GIVEN
    if begun.exists():
        earlier = json.loads(begun.read_text(encoding="utf-8"))
        return Order(order.stage, {**spec, **{key: earlier[key] for key in _KEYS if key in earlier}})
    update = spec["batch_size"] * spec.get("accumulation", 1)
    rows: int | None = spec["batch_size"]
    while rows:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(Order(order.stage, _trial(spec, rows, Path(folder))))
            except StageFailed as failure:
                if not failure.starved:
                    raise
                say(f"batch_size {rows}: out of memory")
            else:
                say(f"batch_size {rows} with accumulation {update // rows}: fits")
                return Order(order.stage, {**spec, "batch_size": rows, "accumulation": update // rows})
        rows = next((one for one in range(rows // 2, 0, -1) if rows % one == 0), None)
    raise OutOfMemory("out of memory with a single row. Shorten the rows, use a smaller base, or another profile.")


_KEYS = ("batch_size", "accumulation")


def _trial(spec: Mapping[str, Any], rows: int, folder: Path) -> dict[str, Any]:
    """One update of `rows` rows, drawn from the longest of the data."""
    data = Path(spec["data"])
    columns = {**dict(zip(TEXTS, TEXTS)), **(spec.get("columns") or {})}
    lines = [line for line in data.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    chosen = nlargest(2 * rows, lines, key=lambda line: _length(line, columns))
    longest = folder / data.name
    longest.write_text("".join(line + "\n" for line in chosen * (-(-2 * rows // len(chosen)))), encoding="utf-8")
    fresh = {"data": str(longest), "output": str(folder / "out"), "steps": 1, "accumulation": 1, "batch_size": rows}
    return {**spec, **fresh}


def _length(line: str, columns: Mapping[str, Any]) -> int:
    """Characters of a row's texts; 0 for a line that is no row (the stage will say so)."""
    try:
        row = json.loads(line)
        return sum(len(json.dumps(row.get(columns[name]), ensure_ascii=False)) for name in TEXTS)
    except (ValueError, AttributeError):
        return 0
