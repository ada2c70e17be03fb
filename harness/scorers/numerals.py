"""Numbers in free text, however they are written, and runs of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_ZH_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
EN_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = {
    word: 10 * i
    for i, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_EN_WORDS = {word: value for value, word in enumerate(EN_UNITS)} | _EN_TENS
EN_ORDINALS = {
    word: value
    for value, word in enumerate(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
            "thirteenth",
            "fourteenth",
            "fifteenth",
        ],
        1,
    )
}
ZH_NUMBER = "[零〇一二两三四五六七八九十]+"
NUMBER = re.compile(
    rf"\d+|{ZH_NUMBER}|\b(?:{'|'.join(_EN_TENS)})(?:[- ](?:{'|'.join(EN_UNITS[1:10])}))?\b|\b(?:{'|'.join(EN_UNITS)})\b"
)
_NOT_NUMBERS = re.compile(
    r"第\s*(?:\d+|[零〇一二两三四五六七八九十]+)\s*(?:步|次|个|趟|轮|项|位|层|条)?"
    r"|[一两](?:个|步|次|遍|下|些|样|起|定|直|般|点|层|轮|趟|条|种|旦|边|切|遇|看|想|句|位|头|路|端|口|同|致|共|会|把|对|半|圈|格|项|段)"
    r"|(?:唯|统|同|任|某|每|这|那|哪|另|逐|进|万)一|十分|两两|一一"
    r"|\b(?:steps?|operations?|pass(?:es)?|visits?|probes?|comparisons?|places?|positions?|elements?|entry|entries|rounds?)\s*#?\d+(?:\s*(?:,|and|to|-|–|or)\s*\d+)*|\d+(?:st|nd|rd|th)\b"
    r"|\b(?:the|this|that|which|each|every|no|any|another|wrong|right|last|next|new|old|only|at least|more than)\s+one\b|\bone(?:\s+(?:by|at|of|more|step|question|place|thing|element|that|which|who|you))\b"
)


@lru_cache(maxsize=2048)
def normalise(text: str) -> str:
    """NFKC, lower case, no invisible characters, no endless numbers, single spaces."""
    folded = unicodedata.normalize("NFKC", text).lower()
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    short = re.sub(r"\d{10,}", lambda match: match.group()[:9], visible)  # int() refuses thousands of digits
    return re.sub(r"\s+", " ", short).strip()


def value_of(word: str) -> int | None:
    """The number that digits, a Chinese numeral (up to 99) or an English number word (up to 99) stand for."""
    if word.isdigit():
        return int(word)
    if word in _EN_WORDS:
        return _EN_WORDS[word]
    if word in EN_ORDINALS:
        return EN_ORDINALS[word]
    parts = re.split(r"[- ]", word)
    if len(parts) == 2 and parts[0] in _EN_TENS and parts[1] in _EN_WORDS:
        return _EN_TENS[parts[0]] + _EN_WORDS[parts[1]]
    if "十" in word:
        tens, _, units = word.partition("十")
        if all(part == "" or part in _ZH_DIGITS for part in (tens, units)):
            return (_ZH_DIGITS[tens] if tens else 1) * 10 + (_ZH_DIGITS[units] if units else 0)
        return None
    if word and all(char in _ZH_DIGITS for char in word):
        return int("".join(str(_ZH_DIGITS[char]) for char in word))
    return None


def numbers(text: str) -> list[int]:
    """The numbers of a normalised text in order, however they are written; step numbers and words such as 一个 left out."""
    return list(_numbers(text))


@lru_cache(maxsize=2048)
def _numbers(text: str) -> tuple[int, ...]:
    rest = _NOT_NUMBERS.sub(" ", text)
    found = (value_of(match.group()) for match in NUMBER.finditer(rest) if not _inside_word(match, rest))
    return tuple(value for value in found if value is not None)


def _inside_word(match: re.Match[str], text: str) -> bool:
    """Whether a single Chinese numeral stands between Chinese characters, as in 另一方: then it is part of a word."""
    around = (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1])
    return (
        len(match.group()) == 1
        and match.group() in _ZH_DIGITS
        and all("一" <= char <= "鿿" for char in around if char)
        and all(around)
        and around[1] != "号"
    )


def holds_run(sequence: Sequence[int], run: Sequence[int]) -> bool:
    """Whether `run` stands in `sequence` without a gap."""
    n = len(run)
    return n > 0 and any(list(sequence[i : i + n]) == list(run) for i in range(len(sequence) - n + 1))


def longest_run(sequence: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """The longest gapless piece of `other` that stands in `sequence`."""
    for size in range(len(other), 0, -1):
        for start in range(len(other) - size + 1):
            piece = tuple(other[start : start + size])
            if holds_run(sequence, piece):
                return piece
    return ()


def covered(sequence: Sequence[int], wanted: Sequence[int], window: int) -> int:
    """Length of the longest common subsequence of `wanted` and any `window` neighbours of `sequence`."""
    best = 0
    for start in range(max(1, len(sequence) - window + 1)):
        row = [0] * (len(wanted) + 1)
        for value in sequence[start : start + window]:
            for i in range(len(wanted), 0, -1):
                if wanted[i - 1] == value:
                    row[i] = max(row[i], max(row[:i]) + 1)
        best = max(best, *row)
    return best
