"""The words of the field: which misconceptions, structures and families a normalised text speaks of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from harness.paths import read_yaml

_FOLDER = Path(__file__).with_name("lexicon")


@cache
def lexicon(family: str) -> Mapping[str, Mapping[str, tuple[re.Pattern[str], ...]]]:
    """Per bug of the family, patterns in both languages: `names` (the wrong idea, tight), `also` (the same in looser
    words, which may stray into a neighbour) and `rule` (the broken rule)."""
    data = read(family)
    return {
        bug: {
            kind: tuple(re.compile(one) for ones in entry[kind].values() for one in ones)
            for kind in ("names", "also", "rule")
        }
        for bug, entry in data.items()
    }


@cache
def terms() -> Mapping[str, tuple[frozenset[str], re.Pattern[str]]]:
    """Per group of families: the families, and a pattern for the words that belong to the group."""
    return {
        group: (frozenset(entry["families"]), re.compile("|".join(f"(?:{one})" for one in entry["patterns"])))
        for group, entry in read("terms").items()
    }


def families(text: str) -> frozenset[str]:
    """The families whose own words a normalised text uses."""
    return frozenset(family for family, pattern in _own().items() if pattern.search(text))


@cache
def _own() -> Mapping[str, re.Pattern[str]]:
    return {family: re.compile(pattern) for family, pattern in read("own").items()}


def read(name: str) -> Mapping[str, Any]:
    """A file of the lexicon."""
    data: Mapping[str, Any] = read_yaml(_FOLDER / f"{name}.yaml")
    return data


@lru_cache(maxsize=4096)
def bugs(text: str, family: str, kind: str) -> frozenset[str]:
    """The misconceptions of a family that a normalised text names (kind "names") or whose rule it touches ("rule")."""
    return frozenset(bug for bug, entry in lexicon(family).items() if any(one.search(text) for one in entry[kind]))


def diagnosed(text: str, family: str, own: str | None) -> frozenset[str]:
    """The misconceptions a normalised text names, read with the benefit of the doubt: once it names the student's own
    one, in however loose words, another counts only where a statement to the student (not a question, not a rule) names
    it in tight words, and not in the same breath unless as an alternative."""
    loose = bugs(text, family, "names") | bugs(text, family, "also")
    if own not in loose:
        told = filter(_YOU.search, re.split(r"[.!;。]", statements(text)))
        return bugs(text, family, "names").union(*(bugs(sentence, family, "also") for sentence in told))
    found = {own}
    for sentence in re.split(r"[.!;。]", statements(text)):
        named = bugs(sentence, family, "names")
        if named - {own} and _TO_STUDENT.search(sentence):
            found |= named if own not in named or _ALTERNATIVE.search(sentence) else set()
    return frozenset(found)


def asserted(text: str, family: str) -> frozenset[str]:
    """The misconceptions that statements to the student (not questions, not rules) name in tight words."""
    told = filter(_TO_STUDENT.search, re.split(r"[.!;。]", statements(text)))
    return frozenset(bug for sentence in told for bug in bugs(sentence, family, "names"))


_TO_STUDENT = re.compile(
    r"\byou(?:r|'ve|'re|'d)?\b|\bseems?\b|\blooks? (?:like|as)\b|\b(?:maybe|perhaps|or)\b|你|像|似乎|好像|也许|可能|或"
)
_YOU = re.compile(r"\byou(?:r|'ve|'re|'d)?\b|你")
_ALTERNATIVE = re.compile(r"\b(?:or|maybe|perhaps|possibly|might)\b|或者?|也许|可能|要么|还是|不然就")


def statements(text: str) -> str:
    """A normalised text without its questions."""
    return re.sub(r"[^.!?。]*\?", " ", text)


def groups(text: str) -> frozenset[str]:
    """The groups of families whose words a normalised text uses."""
    return frozenset(group for group, (_, pattern) in terms().items() if pattern.search(text))


@lru_cache(maxsize=2048)
def structures(text: str) -> frozenset[str]:
    """The groups of families whose structure a normalised text calls by its name."""
    return frozenset(group for group, pattern in _NAMES.items() if pattern.search(text))


_NAMES = {
    group: re.compile(pattern)
    for group, pattern in {
        "stack": r"栈|\bstacks?\b|\bpush(?:es|ed|ing)?\b(?! (?:on|it|this|that|yourself|a bit|further|you|one))|\bpop(?:s|ped|ping)?\b",
        "queue": r"队列|[出入]队|队[头尾首]|\bqueues?\b|\b(?:en|de)queue",
        "list": r"链表|表头|\blinked lists?\b|\bnext pointer",
        "array": r"动态数组|扩容|容量|\bdynamic array|\bcapacity\b",
        "search": r"二分|折半|\bbinary search(?! tree)|\bmid\b|\bwhich half\b|\bhalf (?:can|of the (?:array|range))",
        "tree": r"二叉|子树|[先中后层前]序|先序|中序|后序|\bbst\b|\bsearch trees?\b|\bsubtrees?\b|\b(?:pre|in|post)-?order\b",
        "heap": r"堆(?!积|放|叠|在|着)|上浮|下沉|\bheaps?\b|\bsift",
        "sets": r"并查集|路径压缩|\bunion[- ]find|\bpath compression",
        "hash": r"哈希|散列|探测|\bhash|\bbuckets?\b",
        "graph": r"顶点|邻接|拓扑|入度|\bverte(?:x|ices)\b|\bgraphs?\b|\bbfs\b|\bdfs\b|dijkstra|\bin-?degree|\brelax",
        "sorting": r"(?<!二叉)排序|枢轴|归并|冒泡|\bsort(?:s|ed|ing)?\b|\bpivot|\bmerg|\bpass(?:es)? \d",
    }.items()
}
