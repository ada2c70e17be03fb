"""Training data of an experiment that are made: conversations, preference pairs, pairs labelled again, and lessons for a judge.

    good:  {conversations: {teacher: good, clusters: 1500, seed: 71}}
    pairs: {pairs: {teacher: [{clusters: 500, seed: 72}], sampled: [{policy: $sft, clusters: 100, seed: 73}]}}
    gold:  {relabelled: $pairs}
    judge: {lessons: {teacher: [{clusters: 500, seed: 72}], sampled: [{policy: $sft, clusters: 100, seed: 73}]}}

Exercises are like those of the plan's task, from the training split.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from harness import lessons, preferences
from harness import task as tasks
from harness.errors import UsageError, require
from harness.experiment.runs import sampled_run
from harness.preferences import Rater
from harness.record import read_lines
from harness.simulator import dialogues
from harness.types import Task

Row = Mapping[str, Any]


def make(path: Path, how: Mapping[str, Any], task_name: str) -> None:
    """Write the data that `how` describes to `path`, whole or not at all. Raises UsageError for what is no description."""
    if len(how) != 1:
        raise UsageError(f"data '{path.stem}' must be made in one way: {', '.join(MAKERS)}.")
    ((kind, settings),) = how.items()
    require("kind of data", kind, list(MAKERS), "An experiment")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            for row in MAKERS[kind](settings, tasks.load(task_name), path):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except (KeyError, TypeError) as error:
        raise UsageError(f"data '{path.stem}' ({kind}): {error}.") from error
    os.replace(temporary, path)


def _conversations(settings: Mapping[str, Any], task: Task, path: Path) -> Iterator[Row]:
    teacher, clusters, seed = settings["teacher"], settings["clusters"], settings["seed"]
    return dialogues.build(tasks.exercises(task.name, "train", clusters, seed), teacher, task.system)


def _pairs(settings: Mapping[str, Any], task: Task, path: Path) -> Iterator[Row]:
    rater = Rater(**settings.get("rater", {}))
    found: list[Iterable[Row]] = []
    for one in settings.get("teacher", ()):
        plan = tasks.exercises(task.name, "train", one["clusters"], one["seed"])
        found.append(preferences.teacher_pairs(plan, task, rater, one.get("kinds", ())))
    for one in settings.get("sampled", ()):
        run, asked = sampled_run(path.with_suffix(""), task.name, one)
        found.append(preferences.sampled_pairs(run, asked, rater, one.get("per_item", 2)))
    return chain.from_iterable(found)


def _relabelled(source: str, task: Task, path: Path) -> Iterator[Row]:
    return preferences.relabelled(read_lines(Path(source)), Rater(temperature=0, flips=0))


def _lessons(settings: Mapping[str, Any], task: Task, path: Path) -> Iterator[Row]:
    found: list[Iterable[Row]] = []
    for one in settings.get("teacher", ()):
        found.append(lessons.teacher_lessons(tasks.exercises(task.name, "train", one["clusters"], one["seed"]), task))
    for one in settings.get("sampled", ()):
        found.append(lessons.sampled_lessons(*sampled_run(path.with_suffix(""), task.name, one)))
    return chain.from_iterable(found)


MAKERS: Mapping[str, Callable[[Any, Task, Path], Iterator[Row]]] = {
    "conversations": _conversations,
    "pairs": _pairs,
    "relabelled": _relabelled,
    "lessons": _lessons,
}
