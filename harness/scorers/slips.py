"""Slips that an optimiser found to pay: statements about the exercise itself that are not so, and mixed languages.

Found by reading what PPO on the gold score writes (docs/evaluation.md). Screens: only wordings with one reading are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.scorers.numerals import normalise
from harness.scorers.places import KINDS

_FIRST_WRONG = re.compile(
    r"\b(?:first (?:goes|went|gets|got) (?:wrong|astray)|(?:goes|went) (?:wrong|astray) first|first (?:mistake|slip|error|wrong step) (?:is|comes|happens)"
    r"|first place that does not fit is|(?:are|were) fine until)(?: (?:at|in|on|with|from))? step #?(\d+)"
    r"|从第 ?(\d+) ?步(?:\([^)]*\))? ?(?:开始|起)?,? ?(?:就|才)?(?:不对|错|出错|走偏|有问题)|第 ?(\d+) ?步(?:\([^)]*\))?(?:才)?是第一处(?:出错|错误|有出入)|最先(?:出错|错)的(?:地方)?是第 ?(\d+) ?步"
)
_LABELLED = re.compile(
    r"\bstep #?(\d+) ?\(([^)]+)\)|\bstep #?(\d+), (?:the )?([^,.;?]+?)(?=[,.;?])"
    r"|第 ?(\d+) ?步 ?(?:\(([^)]+)\)|(?:执行)?[“\"]([^”\"]+)[”\"]|(?:执行)? ?([a-z-]+)(?=[ 之,?]))"
)
_NEVER = re.compile(
    r"\b(?:newest|latest|most recent)\b[^.;?]*\bhow a queue works|\boldest\b[^.;?]*\bhow a stack works"
    r"|最后(?:入|进|压)[^。;?]*那是队列的做法|最(?:早|先)(?:入|进|压)[^。;?]*那是栈的做法"
)
_YOURS = r"\b(?:your|of your|you) (?:\w+ )?(?:{words})\b|你(?:的|每次|这次|好像每次)? ?(?:{words})"
_RIVALS: Mapping[str, tuple[str, ...]] = {"stack": ("enqueue", "dequeue"), "queue": ("push", "pop")}
"""Operations that an exercise of a family does not have and that its neighbour has."""


def untrue(text: str, facts: Mapping[str, Any]) -> str:
    """What a normalised text says of the exercise that is not so, in words; "" if nothing was found."""
    wrong = facts["first_wrong"]
    for match in _FIRST_WRONG.finditer(text):
        said = int(next(filter(None, match.groups())))
        if wrong and said != wrong:
            return f"says that it first goes wrong at step {said}; that is step {wrong}"
    for step, label in _labels(text):
        if not _is_at(step, label, facts["ops"]):
            return f"calls step {step} {label!r}"
    if never := _NEVER.search(text):
        return f"says {never.group()!r}, which is not so"
    for kind in _RIVALS.get(facts["family"], ()):
        if foreign := re.search(_YOURS.format(words=KINDS[kind]), text):
            return f"says {foreign.group()!r}: this exercise has no {kind}"
    return ""


def _labels(text: str) -> Iterator[tuple[int, str]]:
    """(step, what the text calls it) wherever a step's number and its operation stand together."""
    for match in _LABELLED.finditer(text):
        parts = [one for one in match.groups() if one]
        yield int(parts[0]), parts[1].strip()


def _is_at(step: int, label: str, ops: Sequence[Sequence[str]] | None) -> bool:
    """False if `label` is surely another operation of this exercise, or of another kind, than that of `step`."""
    if not ops or not 1 <= step <= len(ops[0]):
        return True
    listed = [[normalise(op) for op in one] for one in ops]
    own = {one[step - 1] for one in listed}
    if any(label.startswith(op) or op.startswith(label) for op in own):
        return True
    values = {value for op in own for value in re.findall(r"\d+", op)}
    if any(label == op for one in listed for op in one) or not set(re.findall(r"\d+", label)) <= values:
        return False
    kinds = [kind for kind, words in KINDS.items() if re.match(rf"(?:{words})(?![a-z])", label)]
    return not kinds or any(re.match(rf"(?:{KINDS[kind]})", op) for kind in kinds for op in own)


def mixes_languages(text: str, prompt: str, language: str) -> bool:
    """Whether a text slips into the other language: Chinese in English, or four English words in a row in Chinese, that
    the prompt does not hold."""
    if language == "en":
        return any(char not in prompt for char in re.findall(r"[一-鿿]", text))
    runs = re.findall(r"[a-z]{2,}(?:[ ,']+[a-z]{2,}){3,}", text)
    return any(run not in prompt for run in runs)


_STUTTER = re.compile(r"\b((?:[a-z0-9]+[ ,]+){2,6}[a-z0-9]+)[ ,]+\1\b")
"""Of English only: a Chinese sentence may well repeat a clause to set two things side by side."""


def broken(raw: str) -> str:
    """What is broken about a text as writing, in words; "" if nothing was found."""
    if raw.count("“") != raw.count("”"):
        return "a quotation that does not open or close"
    if match := _STUTTER.search(normalise(raw)):
        return f"says {match[1]!r} twice in a row"
    return ""
