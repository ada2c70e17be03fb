"""What `easyds pairs` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from harness import preferences
from harness import task as loader
from harness.cli.simulate import write
from harness.errors import UsageError
from harness.preferences import Rater
from harness.record import Run


def make(
    task_name: str,
    split: str,
    clusters: int,
    seed: int,
    kinds: Sequence[str],
    runs: Sequence[tuple[Path, str]],
    per_item: int,
    rater: Rater,
    out: Path | None,
) -> list[dict[str, Any]]:
    """Write teacher-made pairs for `clusters` exercises like a task's, then pairs sampled from runs ((folder, task) each).

    Returns the summary, by kind. Raises UsageError for test items, or if nothing would be written.
    """
    found: list[Iterator[dict[str, Any]]] = []
    if clusters:
        plan = loader.exercises(task_name, split, clusters, seed)
        found.append(preferences.teacher_pairs(plan, loader.load(task_name), rater, kinds))
    for folder, name in runs:
        found.append(preferences.sampled_pairs(Run(folder), loader.load(name), rater, per_item))
    rows = list(chain.from_iterable(found))
    if not rows:
        raise UsageError("there are no pairs to write: give --clusters, or runs with unequal answers (--samples 4).")
    write(iter(rows), out)
    return preferences.summary(rows)
