"""What a person answers, checked against the rubric on the server: a page's own limits are only a convenience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.errors import UsageError
from harness.rubric import label_ids
from harness.types import Rubric

Verdict = Literal["left", "right", "tie", "both_bad"]
SkipReason = Literal["subject", "recognised", "unreadable", "other"]
FlagReason = Literal["key_points", "personal_data", "offensive", "item", "other"]
SATISFACTION = "satisfaction"
LONGEST = 4000
"""Characters of a rationale, a note or a comment"""


@dataclass(frozen=True, slots=True)
class Rating:
    """The rating form: a label for each criterion of the rubric but the pairwise ones, satisfaction from 1 to 5, a note."""

    labels: Mapping[str, str]
    satisfaction: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """The comparison form, by the sides that the person saw. `strength` from 1 (slightly) to 3 (clearly), of a winner."""

    verdict: Verdict
    strength: int | None = None
    rationale: str = ""


Answers = Rating | Preference


def form(rubric: Rubric) -> tuple[str, ...]:
    """The criteria of the rating form, in the rubric's order."""
    return tuple(name for name, one in rubric.criteria.items() if one.kind != "pairwise")


def stored(answers: Any, kind: str, rubric: Rubric, swapped: bool) -> dict[str, Any]:
    """`answers` as they are stored: a verdict says x or y, whichever side that stood on. UsageError if they do not fit."""
    if kind == "rate" and isinstance(answers, Rating):
        labels = dict(answers.labels)
        check_labels(labels, rubric)
        if type(answers.satisfaction) is not int or not 1 <= answers.satisfaction <= 5:
            raise UsageError("satisfaction is a whole number from 1 to 5.")
        return {"labels": labels, "satisfaction": answers.satisfaction, "note": _text(answers.note)}
    if kind == "compare" and isinstance(answers, Preference):
        if answers.verdict not in get_args(Verdict):
            raise UsageError("the verdict is none of left, right, tie, both_bad.")
        strength = answers.strength if answers.verdict in ("left", "right") else None
        if strength is not None and (type(strength) is not int or not 1 <= strength <= 3):
            raise UsageError("strength is 1, 2 or 3.")
        return {
            "verdict": by_system(answers.verdict, swapped),
            "clicked": answers.verdict,
            "strength": strength,
            "rationale": _text(answers.rationale),
        }
    raise UsageError(f"this campaign asks to {kind}: the answers are of another form.")


def shown(row: Mapping[str, Any], swapped: bool) -> Answers:
    """Stored answers as the person gave them."""
    if "verdict" in row:
        return Preference(by_side(row["verdict"], swapped), row["strength"], row["rationale"])
    return Rating(row["labels"], row["satisfaction"], row["note"])


def by_system(verdict: str, swapped: bool) -> str:
    """A verdict by side as one by system: x stands on the left unless `swapped`."""
    return {"left": "y" if swapped else "x", "right": "x" if swapped else "y"}.get(verdict, verdict)


def by_side(verdict: str, swapped: bool) -> Any:
    """The inverse of `by_system`."""
    return {"x": "right" if swapped else "left", "y": "left" if swapped else "right"}.get(verdict, verdict)


def check_labels(labels: Mapping[str, str], rubric: Rubric, pair: bool = False) -> None:
    """UsageError unless `labels` has a label that the rubric knows for each criterion of the form and for no other."""
    wanted = [name for name, one in rubric.criteria.items() if (one.kind == "pairwise") == pair]
    if missing := [name for name in wanted if name not in labels]:
        raise UsageError(f"{', '.join(missing)}: not answered yet.")
    for name, label in labels.items():
        if name not in wanted or label not in label_ids(rubric.criteria[name]):
            raise UsageError(f"'{label}' is no label of {name} in this form.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise UsageError(f"a note is text of at most {LONGEST} characters.")
    return value.strip()


def comment(reason: str, allowed: Any, text: str) -> str:
    """A skip's or flag's comment, trimmed. UsageError for a reason that is none."""
    if reason not in get_args(allowed):
        raise UsageError(f"the reason is none of {', '.join(get_args(allowed))}.")
    return _text(text)
