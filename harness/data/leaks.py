"""Answers that training rows give away: what a tutor should not learn to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.data import faults, forms
from harness.data.rows import Row

ALLOWED = 3
"""The hint level at which an answer may be given."""


@dataclass(frozen=True, slots=True)
class Leak:
    where: str
    answer: str
    told: str


def leaks(rows: Iterable[tuple[str, Row]], column: str = "answer") -> Iterator[Leak]:
    """Rows whose good answer holds what was not to be given away: the `answer` of the row or of its `item`, unless the
    prompt says it already or the hint level allows it. Rows without such an answer are passed over."""
    for where, row in rows:
        item = row["item"] if isinstance(row.get("item"), dict) else row
        answer = item.get(column)
        if not isinstance(answer, str) or not answer.strip() or int(item.get("hint_level", 0)) >= ALLOWED:
            continue
        known = forms.form_of(row)
        if known is None or known == "prompt":
            continue
        prompt, _ = faults.parts(row, known, where)
        asked = _plain(" ".join(turn["content"] for turn in prompt))
        for text in faults.answers_of(row):
            if _holds(_plain(text), _plain(answer)) and not _holds(asked, _plain(answer)):
                yield Leak(where, answer, text)
                break


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[一-鿿]|\w+", text.lower()))


def _holds(text: str, part: str) -> bool:
    """Whether `part` stands in `text` as whole words."""
    return f" {part} " in f" {text} "
