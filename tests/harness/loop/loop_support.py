"""What the tests of the loop share: rows as the gateway logs them, and simulated annotators of known skill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from harness import annotate
from harness.types import Item

BEGAN = datetime(2026, 1, 5, 8, tzinfo=UTC)


def turn_id(number: int) -> str:
    return f"g-{number:032x}"


def served(number: int, item: Item, guidance: str = "Which end does it leave from?", **changes: Any) -> dict[str, Any]:
    """One turn of guidance on an item, as the gateway writes it."""
    row = {
        "at": (BEGAN + timedelta(seconds=2 * number)).isoformat(timespec="milliseconds"),
        "kind": "guidance",
        "id": turn_id(number),
        "model": "tutor",
        "digest": "d" * 64,
        "seconds": 0.4,
        "language": item.language,
        "hint_level": item.hint_level,
        "turns": len(item.messages),
        "message_chars": len(item.messages[-1].content),
        "guidance_chars": len(guidance),
        "withheld": 1,
        "gates": [{"G2": True, "G3": True}],
        "regenerated": False,
        "fallback": False,
        "usage": None,
        "knowledge_point": item.knowledge_point,
        "messages": [{"role": one.role, "content": one.content} for one in item.messages],
        "guidance": guidance,
        "redacted": 0,
    }
    return {**row, **changes}


def feedback(number: int, rating: int | None = None, thumbs: str | None = None) -> dict[str, Any]:
    at = (BEGAN + timedelta(seconds=2 * number + 1)).isoformat(timespec="milliseconds")
    return {"at": at, "kind": "feedback", "id": turn_id(number), "rating": rating, "thumbs": thumbs, "comment": ""}


def write_log(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def replay(items: list[Item], count: int, rng: Random, **changes: Any) -> list[dict[str, Any]]:
    """Turns drawn from a population of items; some fail a gate, some are rated."""
    rows = []
    for number in range(count):
        item = rng.choice(items)
        failed = rng.random() < 0.04
        row = served(number, item, item.references[rng.randrange(2)])
        row |= {"gates": [{"G2": True, "G3": not failed}], "seconds": 0.3 + 0.2 * rng.random(), **changes}
        rows.append(row)
        if rng.random() < 0.3:
            rows.append(feedback(number, rating=rng.choice([3, 4, 5, 5, 5])))
    return rows


Worth = Callable[[annotate.Presentation, str], float]
"""How good a text is as guidance in a situation, as an expert sees it"""


@dataclass(frozen=True)
class Annotator:
    """A simulated annotator: prefers the better text with chance `skill`, the worse one otherwise; equal texts are a tie.

    A skill below 0.5 is an adversary. Silent checks are answered like everything else.
    """

    name: str
    skill: float

    def verdict(self, shown: annotate.Presentation, worth: Worth) -> annotate.Preference:
        left, right = worth(shown, shown.left), worth(shown, str(shown.right))
        if left == right:
            return annotate.Preference("tie")
        right_way = Random(f"{self.name} {shown.token}").random() < self.skill
        return annotate.Preference("left" if (left > right) == right_way else "right")


def vote(store: annotate.Store, lead: str, campaign: str, people: Sequence[Annotator], worth: Worth) -> dict[str, str]:
    """Let people vote in turns until nothing is left for anyone. Returns their ids by name."""
    ids = {}
    for one in people:
        known = annotate.signed_in(store, "https://sign.in", one.name)
        token = "" if known else annotate.invite(store, lead, "annotator")
        ids[one.name] = (known or annotate.redeem(store, token, "https://sign.in", one.name, one.name)).id
    working = list(people)
    while working:
        for one in list(working):
            shown = annotate.next_task(store, ids[one.name], campaign)
            if shown is None:
                working.remove(one)
            else:
                annotate.submit(store, ids[one.name], shown.token, one.verdict(shown, worth))
    return ids
