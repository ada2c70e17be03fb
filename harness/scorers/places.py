"""The steps that a text points at, by number, by ordinal, or by the n-th operation of a kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.scorers.numerals import EN_ORDINALS, EN_UNITS, ZH_NUMBER, value_of
from harness.scorers.verdicts import says_wrong

STEP_NOUNS_EN = (
    "steps?|operations?|ops?|pass(?:es)?|visits?|probes?|comparisons?|moves?|rounds?|insertions?|merges?|swaps?"
)
STEP_NOUNS_ZH = "步|个操作|项操作|次操作|条操作|趟|轮|次探查|次探测|次比较|次访问|次合并|次插入"


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a text that speaks of steps. `around`: "after step 3", "up to step 3", which may mean the next;
    `cleared`: the clause says that all is well there; `accused`: that something is wrong, or to be looked at; `sentence`: its number."""

    steps: frozenset[int]
    around: bool
    cleared: bool
    accused: bool
    sentence: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps a text points at: `named` outright, and `around`."""

    named: frozenset[int]
    around: frozenset[int]


_ORDINAL_EN = rf"(?:\d+(?=st|nd|rd|th)|{'|'.join(EN_ORDINALS)})(?:st|nd|rd|th)?"
_STEP_EN = re.compile(
    rf"(?P<context>\b(?:after|until|till|up to|through|by the end of|following|end of|once|before|past)\s+)?(?:the\s+|your\s+)?"
    rf"(?:(?:{STEP_NOUNS_EN})\s*(?:number\s*|no\.?\s*)?[#(]?(?P<a>\d+|{'|'.join(EN_UNITS[1:13])})\b(?:\s*(?:,|and|or|to|-|–|&)\s*(?P<b>\d+))?|"
    rf"(?P<c>{_ORDINAL_EN})\s+(?!(?:{'|'.join(EN_UNITS[2:13])}|few|several)\b)(?:\w+\s+)?(?:{STEP_NOUNS_EN})\b)"
)
_STEP_ZH = re.compile(
    rf"(?P<context>(?:直到|到|做完|执行完|走完|完成)?)(?P<no>第?)\s*\(?(?P<a>\d+|{ZH_NUMBER})\)?(?:\s*(?:、|和|到|至|-|~)\s*第?\s*\(?(?P<b>\d+|{ZH_NUMBER})\)?)?\s*(?:{STEP_NOUNS_ZH})(?P<after>(?:\([^)]*\))?\s*(?:之后|以后|后|之前|以前|前|为止|完成后|做完|结束|执行完|都(?:对|没|还|是|正确|很))?)"
)
_STEP_WORD_ZH = re.compile(rf"步骤\s*(?P<a>\d+|{ZH_NUMBER})")
_PLACE_EN = re.compile(
    rf"(?P<a>{_ORDINAL_EN})\s+(?:\w+\s+)?(?:place|position|entry|vertex|vertices|node|number|element|item|write|one|output|slot|key|value|pick|stop|choice)\b|(?:place|position|entry|write|visit|number|output)\s+#?(?P<b>\d+)\b"
)
_PLACE_ZH = re.compile(rf"(?:第|头)\s*\(?(?P<a>\d+|{ZH_NUMBER})\)?\s*(?:个|位|次|名|回)")
_LISTED = re.compile(r"\((?P<a>\d{1,2})\)")
_OPENING = re.compile(
    r"\b(?:from|at|right from) the (?:very )?(?:start|beginning|outset)\b|\byou (?:open|start|began|begin|started|opened) (?:off )?with\b|\bopens your\b"
    r"|一开始就|从头就|开头就|一上来|起头就|打头的就"
)
_CLAUSE = re.compile(r"[.!?;:,。]|\b(?:but|though|although|however|while|whereas)\b|但|不过|可是|却")
_FINE = re.compile(
    r"\bfine\b|\bno complaints?\b|\b(?:is|are|was|were|looks?|seems?|all|you got) (?:\w+ )?(?:right|ok|okay|good|correct|well|in order)\b"
    r"|\bchecks? out\b|\bhold(?:s)? (?:up|good)?\b|\bhandled\b|\bwent well\b|\bcorrectly\b|\bharmless\b|\bi'm with you\b|\bwith you (?:up to|until|through)"
    r"|\b(?:doesn't|does not|won't|didn't|can't) (?:reveal|show|matter|tell|give)\b"
    r"|没事|没(?:有)?(?:什么)?(?:问题|毛病|错)|(?:都|是|全|做|处理|走|推|放)(?:得)?(?:都|很|也)?(?:对|好)(?!照|比|应|齐|调|像|吗|不)|正确|还好|不受影响|看不出|不要紧"
)
_NOT_FINE = re.compile(r"\b(?:not|n't|wrong|isn't|aren't|if|whether)\b|不(?:太|是|全)?(?:对|正确)|错了|吗")
_POINTS = re.compile(
    r"\b(?:check|look (?:again )?at|another look at) (?:again )?(?:the |your )?(?:step|operation|pass|probe|visit|\()"
    r"|(?:检查|看看|再看)(?:一下)?第|[步趟][^,。]{0,10}(?:再|重新)(?:检查|看)"
)
KINDS = {
    "push": r"push(?:es)?|压栈|入栈|压入|push",
    "pop": r"pops?|出栈|弹出|弹栈|弹",
    "enqueue": r"enqueues?|入队|进队",
    "dequeue": r"dequeues?|出队|离队",
    "peek": r"peeks?|读队头|读队首",
    "insert": r"inserts?|insertions?|插入",
    "delete": r"deletes?|deletions?|removals?|删除|删",
    "search": r"search(?:es)?|lookups?|查找|search",
    "append": r"appends?|添加",
    "union": r"unions?|合并|union",
    "find": r"finds?|查找|find",
    "extract": r"extracts?|extractions?|extract-m(?:in|ax)|取堆顶|取走堆顶|extract",
}
"""Words for the kinds of operations that exercises list."""


def mentions(text: str, places: bool = False, kinds: Sequence[str] = ()) -> list[Mention]:
    """The places of a normalised text that speak of steps. With `places`, the n-th vertex, number or entry is a step
    too; without, the exercise lists its operations as (1), (2), ..., and so may the text. `kinds` are those operations
    (push, pop, ...) in order, for "the second pop"."""
    found = [*_counted(text, kinds), *_by_number(text)]
    if not places:
        found += [(match.start(), match.end(), {int(match["a"])}, False) for match in _LISTED.finditer(text)]
    elif not any(not around for _, _, _, around in found):
        found += _by_place(text)
    return [_mention(text, *one) for one in sorted(found, key=lambda one: one[:2])]


def steps(text: str, places: bool = False) -> Steps:
    """All steps that a normalised text speaks of, whatever it says of them."""
    return pointed(replace(mention, cleared=False) for mention in mentions(text, places))


def pointed(found: Iterable[Mention]) -> Steps:
    """The steps of mentions that are not cleared."""
    kept = [mention for mention in found if not mention.cleared]
    named = frozenset(step for mention in kept if not mention.around for step in mention.steps)
    return Steps(named, frozenset(step for mention in kept for step in mention.steps) - named)


def without_followers(found: Sequence[Mention], wrong: int) -> list[Mention]:
    """Mentions without later steps that a later sentence takes up (what comes of it, what to redo), once `wrong` is said."""
    first = next((one for one in found if wrong in one.steps and not one.cleared), None)
    if first is None:
        return list(found)
    return [
        one for one in found if one.accused or one.cleared or one.sentence <= first.sentence or min(one.steps) <= wrong
    ]


_Found = tuple[int, int, set[int], bool]


def _by_number(text: str) -> Iterator[_Found]:
    for match in _STEP_EN.finditer(text):
        values = {value_of(part) for part in (match["a"] or match["c"], match["b"]) if part}
        yield match.start(), match.end(), {value for value in values if value}, bool(match["context"])
    for match in _STEP_ZH.finditer(text):
        if not match["no"] and not match["a"].isdigit():
            continue
        values = {value_of(part) for part in (match["a"], match["b"]) if part}
        after = re.sub(r"\([^)]*\)", "", match["after"] or "").strip()
        around = match["context"] not in ("", "到") or bool(after)
        yield match.start(), match.end(), {value for value in values if value}, around
    for match in _STEP_WORD_ZH.finditer(text):
        yield match.start(), match.end(), {value_of(match["a"]) or 0} - {0}, False


def _by_place(text: str) -> list[_Found]:
    found: list[_Found] = []
    for pattern in (_PLACE_EN, _PLACE_ZH):
        for match in pattern.finditer(text):
            value = value_of(match["a"] or match.groupdict().get("b") or "")
            found += [(match.start(), match.end(), {value}, False)] if value else []
    if not found and (opening := _OPENING.search(text)):
        found = [(opening.start(), opening.end(), {1}, False)]
    return found


def _counted(text: str, kinds: Sequence[str]) -> Iterator[_Found]:
    """The n-th operation of its kind: "your second pop", 第二次出队."""
    for kind in set(kinds) & KINDS.keys():
        numbers = [step for step, one in enumerate(kinds, 1) if one == kind]
        words = KINDS[kind]
        for match in re.finditer(
            rf"\b(?P<a>{_ORDINAL_EN}|last)\s+(?:{words})\b|第\s*(?P<b>\d+|{ZH_NUMBER})\s*[次个回]\s*(?:{words})", text
        ):
            nth = len(numbers) if match["a"] == "last" else value_of(match["a"] or match["b"])
            if nth and nth <= len(numbers):
                around = bool(re.search(r"\b(?:after|before|until) (?:the |your )?$", text[: match.start()]))
                yield match.start(), match.end(), {numbers[nth - 1]}, around


def _mention(text: str, start: int, end: int, values: set[int], around: bool) -> Mention:
    before = [match.end() for match in _CLAUSE.finditer(text, 0, start)]
    breaks = [match.start() for match in _CLAUSE.finditer(text, end)]
    left = before[-1] if before else 0
    right = breaks[0] if breaks else len(text)
    if right - end < 3 and start - left < 12 and len(breaks) > 1:
        right = breaks[1]
    clause = text[left:right]
    sentence = len(re.findall(r"[.!?。](?!\d)", text[:start]))
    cleared = bool(_FINE.search(clause)) and not _NOT_FINE.search(clause)
    return Mention(frozenset(values), around, cleared, says_wrong(clause) or bool(_POINTS.search(clause)), sentence)
