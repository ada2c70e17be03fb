"""What a judge's answer says. Only an object that carries the token of this very call is a verdict."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

UNSURE = "unsure"
"""The label of a judge that abstains; every criterion may carry it."""
_REFUSAL = re.compile(
    r"\W*(?:i['’]?m sorry|sorry|i (?:can['’]?t|cannot|won['’]?t)|抱歉|对不起|我不能|我无法|很遗憾)", re.IGNORECASE
)
_LONGEST = 60_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """One criterion's label, with the words it rests on and why."""

    label: str
    quote: str = ""
    reason: str = ""


class Unreadable(Exception):
    """An answer without a verdict. `kind`: empty, refusal, truncated, malformed, label or quote."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def parse(
    text: str, token: str, allowed: Mapping[str, Sequence[str]], texts: Sequence[str], truncated: bool = False
) -> dict[str, Verdict]:
    """The verdict of each criterion of `allowed` (criterion to labels).

    The last object that carries `token` binds. It is either {"token", "verdicts": [{criterion, quote, reason, label}]}
    or the short form {"token", CRITERION: label}. A label is taken from the menu as it stands there, never rounded or
    clamped. A quote must occur in one of `texts`. Raises Unreadable.
    """
    if not text.strip():
        raise Unreadable("empty", "the answer is empty")
    found = [value for value in _objects(text[-_LONGEST:]) if value.get("token") == token]
    if not found:
        if truncated:
            raise Unreadable("truncated", "the answer was cut off before its verdict")
        if _REFUSAL.match(text):
            raise Unreadable("refusal", "the judge refused")
        raise Unreadable("malformed", "the answer has no JSON object with the token")
    rows = _rows(found[-1])
    missing = [criterion for criterion in allowed if criterion not in rows]
    if missing:
        raise Unreadable("malformed", f"no verdict on {', '.join(missing)}")
    verdicts = {}
    for criterion, labels in allowed.items():
        verdict = rows[criterion]
        if verdict.label not in (*labels, UNSURE):
            raise Unreadable("label", f"{criterion}: {verdict.label!r} is none of {', '.join(labels)}, {UNSURE}")
        if verdict.quote and not any(quoted(verdict.quote, one) for one in texts):
            raise Unreadable("quote", f"{criterion}: the quote does not stand in the message")
        verdicts[criterion] = verdict
    return verdicts


def quoted(quote: str, text: str) -> bool:
    """Whether every part of `quote` between dots of omission stands in `text`, whatever the case, spaces and marks."""
    parts = [_bare(part) for part in re.split(r"\.{3,}|…+", quote)]
    whole = _bare(text)
    return all(part in whole for part in parts)


def _bare(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def _rows(value: Mapping[str, Any]) -> dict[str, Verdict]:
    if "verdicts" not in value:
        return {name: Verdict(str(label)) for name, label in value.items() if name != "token"}
    rows = value["verdicts"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "criterion" in row for row in rows):
        raise Unreadable("malformed", "'verdicts' is not a list of objects with a criterion")
    found = {}
    for row in rows:
        said = [row.get(name, "") for name in ("label", "quote", "reason")]
        if not all(isinstance(part, str) for part in said):
            raise Unreadable("label", f"{row['criterion']}: label, quote and reason must be strings")
        found[str(row["criterion"])] = Verdict(*said)
    return found


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object of the text that lies in no other, in their order. NaN and Infinity are not JSON."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
