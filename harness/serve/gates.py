"""The gates that need no facts of an exercise: G3 as the benchmark's checks know it, G2 for what the caller names.

Screens and proofs err as they do in the benchmark (docs/evaluation.md). G1 needs the facts, which a caller does not have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness import paths
from harness.scorers import checks, numerals, verdicts
from harness.scorers.evidence import Reading
from harness.types import Item, KeyPoints, Language, Message

MANY = 3
"""So many numbers are a run that the benchmark's check of G2 can look for"""


def language_of(text: str) -> Language:
    """Chinese if a tenth of the letters are Chinese characters: a question in Chinese may be mostly code."""
    return "zh" if verdicts.han_share(text) >= 0.1 else "en"


def check(text: str, turns: Sequence[Message], language: Language, withheld: Sequence[str]) -> dict[str, bool | None]:
    """Which gates an answer to `turns` passes. G2 is None where nothing was to be withheld."""
    item = _item(turns, language, {})
    kept = all(_kept(text, secret, turns, language) for secret in withheld) if withheld else None
    return {"G2": kept, "G3": checks.well_formed(Reading(item, text))[0] == 1}


def _kept(text: str, secret: str, turns: Sequence[Message], language: Language) -> bool:
    """Whether the text does not give the secret away. What the student said already is no secret."""
    folded = numerals.normalise(secret)
    run = numerals.numbers(folded)
    if len(run) >= MANY:
        read = Reading(_item(turns, language, {"right": run, "bug": "?"}), text)
        return checks.withheld(read)[0] == 1
    said, known = numerals.normalise(text), numerals.normalise(turns[-1].content)
    if run and not re.sub(rf"{numerals.NUMBER.pattern}|[\s,.;]", "", folded):
        return not numerals.holds_run(numerals.numbers(said), run) or numerals.holds_run(numerals.numbers(known), run)
    whole = re.compile(rf"(?<![a-z0-9]){re.escape(folded)}(?![a-z0-9])")
    return not whole.search(said) or whole.search(known) is not None


def _item(turns: Sequence[Message], language: Language, facts: dict[str, object]) -> Item:
    """The turns as an item of which nothing else is known."""
    points = KeyPoints("", "", ())
    return Item("served", "served", language, "", 1, "served", 1, tuple(turns), points, "", meta=facts)


@cache
def _hints() -> dict[str, list[str]]:
    return dict(paths.read_yaml(Path(__file__).with_name("hints.yaml")))


def safe_hint(language: Language, level: int) -> str:
    """What is sent in place of an answer that does not pass."""
    return _hints()[language][level]
