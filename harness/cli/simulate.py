"""What `easyds simulate` writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import task as loader
from harness.errors import UsageError
from harness.simulator import dialogues
from harness.simulator.items import Plan, build


def rows(plan: Plan, teacher: str | None, task: str) -> Iterator[dict[str, Any]]:
    """Items of `plan`, or conversations with the teachers of a mixture under the task's system prompt."""
    for language in plan.languages:
        if language not in ("zh", "en"):
            raise UsageError(f"--language must be zh or en, not '{language}'.")
    if teacher is not None:
        return dialogues.build(plan, teacher, loader.load(task).system)
    return (asdict(item) for item in build(plan))


def write(lines: Iterator[dict[str, Any]], out: Path | None) -> None:
    """One JSON object per line. Raises UsageError if the file exists: nothing is overwritten."""
    if out is None:
        for row in lines:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    try:
        with open(out, "x", encoding="utf-8") as file:
            for row in lines:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{out} exists. Choose another --out or remove it; nothing was changed.") from error
