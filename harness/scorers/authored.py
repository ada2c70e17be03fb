"""Screens for authored items (ds-guidance): what a program can say of a reply without understanding it.

They fill no criterion of the rubric and rank nothing: a reply that passes may still teach badly. `withholds` is a proof where
it fails (a string that the item withholds stands in the reply and not in the dialogue), the rest are screens. How often each
sees a planted defect: `scripts/guidance_detection.py` and docs/evaluation.md.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from rapidfuzz import fuzz

from harness.scorers.checks import well_formed
from harness.scorers.evidence import Reading
from harness.scorers.numerals import normalise
from harness.types import Item, Language, Response, Score

SCREENS = ("withholds", "well_formed", "engages", "fresh")
ALL = "screens"
"""1 if none of the screens fails"""
COMMON = 0.08
"""A word that stands in more than this share of a language's problems is nobody's own."""
OWN = 2
"""Fewest words of this very exercise in a reply that is about it"""
STEM = 5
AGAIN = 75.0
"""Likeness (0-100) from which a sentence repeats one of an earlier tutor turn"""

_WORDS = re.compile(r"[a-z0-9_]+(?:'[a-z]+)?|[\u4e00-\u9fff]+")
_TOKENS = re.compile(r"[a-z0-9_]+|[^\sa-z0-9_`*]")
_SENTENCES = re.compile(r"[.!?;。](?!\d)|\n")
Result = tuple[bool, str]


def squeezed(text: str) -> str:
    """A text without case, width, spaces and code marks, so that a formula is found however it is set.

    >>> squeezed("`Mid + 1`")
    'mid+1'
    """
    return re.sub(r"[\s`*]+", "", normalise(text))


def leaks(item: Item, text: str) -> list[str]:
    """Withheld strings of the item, and its answer, that a text says and the dialogue does not.

    Nothing leaks at hint level 3, where the answer may be said.
    """
    said, told = (normalise(one) for one in ("\n".join(turn.content for turn in item.messages), text))
    hidden = [part for part in (*item.meta.get("withheld", ()), item.answer) if _TOKENS.search(normalise(part))]
    if item.hint_level == 3:
        return []
    return [part for part in hidden if _spelt(part).search(told) and not _spelt(part).search(said)]


@lru_cache(maxsize=8192)
def _spelt(part: str) -> re.Pattern[str]:
    """A string as whole words, however it is spaced and marked as code: `mid+1` is in "`mid` + 1", not in "mid + 10"."""
    tokens = _TOKENS.findall(normalise(part))
    before = r"(?<![a-z0-9_])" if re.match(r"[a-z0-9_]", tokens[0]) else ""
    after = r"(?![a-z0-9_])" if re.match(r"[a-z0-9_]", tokens[-1]) else ""
    return re.compile(before + r"[\s`*]*".join(map(re.escape, tokens)) + after)


def words(text: str) -> set[str]:
    """Words (their first letters, so that forms of one word agree) and numbers of a text; of Chinese, pairs of characters."""
    found = set()
    for run in _WORDS.findall(normalise(text)):
        found |= {run[:STEM]} if run.isascii() else {run[i : i + 2] for i in range(len(run) - 1)}
    return found


def own_words(items: Iterable[Item]) -> dict[str, set[str]]:
    """For each item the words of its dialogue and key points that few other problems of its language have."""
    said = {}
    for item in items:
        points = item.key_points
        turns = [turn.content for turn in item.messages]
        said[item.id] = (item, words("\n".join([*turns, points.diagnosis, points.location, *points.next_steps])))
    problems: dict[Language, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for item, found in said.values():
        problems[item.language][item.cluster] |= found
    common = {
        language: {
            word
            for word, n in Counter(word for one in of.values() for word in one).items()
            if n > max(1, COMMON * len(of))
        }
        for language, of in problems.items()
    }
    return {name: found - common[item.language] for name, (item, found) in said.items()}


def engages(read: Reading, own: set[str]) -> Result:
    """Whether a reply takes up this exercise, and leaves the student something to do."""
    found = sorted(own & words(read.raw))
    if len(found) < OWN:
        return False, "fits any exercise"
    if read.echo:
        return False, "hands the student's words back"
    if not read.acts:
        return False, "nothing to do"
    return True, ", ".join(found[:5])


def fresh(item: Item, text: str) -> Result:
    """Whether no sentence of a reply says again what an earlier tutor turn said."""
    before = [one for turn in item.messages if turn.role == "assistant" for one in _sentences(turn.content)]
    for one in _sentences(text):
        for other in before:
            if fuzz.ratio(one, other) >= AGAIN:
                return False, f"says again: {other[:60]}"
    return True, ""


def _sentences(text: str) -> Iterator[str]:
    yield from (one.strip() for one in _SENTENCES.split(normalise(text)) if len(one.strip()) >= 6)


def screen(item: Item, text: str, own: set[str]) -> dict[str, Result]:
    """The screens that apply to an item, of one reply. `withholds` applies where something is to be withheld."""
    read = Reading(item, text)
    formed, why = well_formed(read)
    found = {"well_formed": (formed > 0, why), "engages": engages(read, own), "fresh": fresh(item, text)}
    if item.misconception is not None and item.hint_level < 3:
        given = leaks(item, text)
        found["withholds"] = (not given, f"proof: gives away {given[0]!r}" if given else "")
    return found


class Authored:
    """The screens as a scorer. Values are 1 or 0; a screen that does not apply to an item gives no score."""

    source = "check/authored@1"
    criteria = (*SCREENS, ALL)

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        own = own_words(items.values())
        for response in responses:
            item = items[response.item]
            found = screen(item, response.text, own[item.id])
            failed = [name for name, (passed, _) in found.items() if not passed]
            for name, (passed, why) in (found | {ALL: (not failed, ", ".join(failed))}).items():
                yield Score(item.id, response.sample, name, self.source, float(passed), evidence=why or None)
