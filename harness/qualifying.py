"""The qualifying set: replies with agreed labels, by which a person learns the rubric and shows it.

The training part shows the reason for each label after the rater has given theirs; the test part does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness import paths
from harness.errors import UsageError, unknown
from harness.rubric import label_ids
from harness.task import read_item, read_rows
from harness.types import Item, Rubric

Part = Literal["training", "test"]
_FIELDS = {"id", "part", "item", "replies", "labels"}


@dataclass(frozen=True, slots=True)
class Agreed:
    """The label a rater should give, and the reason in one line."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """One reply with labels on all criteria of the form, or a pair of replies with a label on the pairwise ones."""

    id: str
    part: Part
    item: Item
    replies: tuple[str, ...]
    labels: Mapping[str, Agreed]


def load(rubric: Rubric, path: Path | None = None) -> tuple[Exercise, ...]:
    """The exercises for a rubric, from rubrics/qualifying.jsonl or `path`.

    Raises UsageError with the line number of the first fault: a field, a criterion or a label that is not the
    rubric's, a criterion without a label or reason, an item that is no item, an id that stands twice.
    """
    exercises: dict[str, Exercise] = {}
    for where, row in read_rows(path or paths.rubrics() / "qualifying.jsonl"):
        if set(row) != _FIELDS:
            raise UsageError(f"{where}: an exercise has exactly the fields {', '.join(sorted(_FIELDS))}.")
        one = _exercise(row, rubric, where)
        if one.id in exercises:
            raise UsageError(f"{where}: the exercise '{one.id}' stands in the file already.")
        exercises[one.id] = one
    return tuple(exercises.values())


def _exercise(row: Mapping[str, Any], rubric: Rubric, where: str) -> Exercise:
    replies = row["replies"]
    if (
        not isinstance(replies, list)
        or len(replies) not in (1, 2)
        or not all(isinstance(text, str) for text in replies)
    ):
        raise UsageError(f"{where}: 'replies' must be one reply, or two to compare.")
    if row["part"] not in get_args(Part):
        raise UsageError(f"{where}: 'part' is '{row['part']}', not training or test.")
    if not isinstance(row["item"], dict):
        raise UsageError(f"{where}: 'item' must be an object.")
    return Exercise(
        id=paths.safe_name(str(row["id"]), "exercise"),
        part=row["part"],
        item=read_item(row["item"], where),
        replies=tuple(replies),
        labels=_labels(row["labels"], rubric, len(replies) == 2, where),
    )


def _labels(row: Any, rubric: Rubric, pair: bool, where: str) -> dict[str, Agreed]:
    wanted = {name: one for name, one in rubric.criteria.items() if (one.kind == "pairwise") == pair}
    if not isinstance(row, dict) or set(row) != set(wanted):
        raise UsageError(f"{where}: 'labels' must have exactly the criteria {', '.join(wanted)}.")
    agreed = {}
    for name, criterion in wanted.items():
        given = row[name]
        if not isinstance(given, dict) or set(given) != {"label", "reason"} or not str(given["reason"]).strip():
            raise UsageError(f"{where}: {name} needs exactly a label and a reason.")
        if given["label"] not in label_ids(criterion):
            raise unknown(
                f"label at {where}, {name}:", str(given["label"]), list(label_ids(criterion)), "The criterion"
            )
        agreed[name] = Agreed(given["label"], given["reason"])
    return agreed
