"""What a text says, as far as a program can tell: numbers, steps, misconceptions, verdicts, questions.

Everything here is a *screen* on free text except `numbers` on plain sequences. Precision and recall on text that nobody
tuned to stand in docs/evaluation.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.paths import read_yaml

_FOLDER = Path(__file__).with_name("lexicon")
_ZH_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_EN_UNITS = [
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
_EN_WORDS = {word: value for value, word in enumerate(_EN_UNITS)} | _EN_TENS
_EN_ORDINALS = {
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
_ZH_NUMBER = "[零〇一二两三四五六七八九十]+"
_NUMBER = re.compile(
    rf"\d+|{_ZH_NUMBER}|\b(?:{'|'.join(_EN_TENS)})(?:[- ](?:{'|'.join(_EN_UNITS[1:10])}))?\b|\b(?:{'|'.join(_EN_UNITS)})\b"
)
_NOT_NUMBERS = re.compile(
    r"第\s*(?:\d+|[零〇一二两三四五六七八九十]+)\s*(?:步|次|个|趟|轮|项|位|层|条)?"
    r"|[一两](?:个|步|次|遍|下|些|样|起|定|直|般|点|层|轮|趟|条|种|旦|边|切|遇|看|想|句|位|头|路|端|口|同|致|共|会|把|对|半|圈|格|项|段)"
    r"|(?:唯|统|同|任|某|每|这|那|哪|另|逐|进|万)一|十分"
    r"|\b(?:steps?|operations?|pass(?:es)?|visits?|probes?|comparisons?|places?|positions?|elements?|entry|entries|rounds?)\s*#?\d+(?:\s*(?:,|and|to|-|–|or)\s*\d+)*|\d+(?:st|nd|rd|th)\b"
    r"|\b(?:the|this|that|which|each|every|no|any|another|wrong|right|last|next|new|old|only|at least|more than)\s+one\b|\bone(?:\s+(?:by|at|of|more|step|question|place|thing|element|that|which|who|you))\b"
)
STEP_NOUNS_EN = (
    "steps?|operations?|ops?|pass(?:es)?|visits?|probes?|comparisons?|moves?|rounds?|insertions?|merges?|swaps?"
)
STEP_NOUNS_ZH = "步|个操作|项操作|次操作|条操作|趟|轮|次探查|次探测|次比较|次访问|次合并|次插入"


def normalise(text: str) -> str:
    """NFKC, lower case, no invisible characters, single spaces."""
    folded = unicodedata.normalize("NFKC", text).lower()
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return re.sub(r"\s+", " ", visible).strip()


def value_of(word: str) -> int | None:
    """The number that digits, a Chinese numeral (up to 99) or an English number word (up to 99) stand for."""
    if word.isdigit():
        return int(word)
    if word in _EN_WORDS:
        return _EN_WORDS[word]
    if word in _EN_ORDINALS:
        return _EN_ORDINALS[word]
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
    rest = _NOT_NUMBERS.sub(" ", text)
    found = (value_of(match.group()) for match in _NUMBER.finditer(rest) if not _inside_word(match, rest))
    return [value for value in found if value is not None]


def _inside_word(match: re.Match[str], text: str) -> bool:
    """Whether a single Chinese numeral stands between Chinese characters, as in 另一方: then it is part of a word."""
    around = (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1])
    return (
        len(match.group()) == 1
        and match.group() in _ZH_DIGITS
        and all("一" <= char <= "鿿" for char in around if char)
        and all(around)
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


def spread(sequence: Sequence[int], wanted: Sequence[int]) -> int | None:
    """Length of the shortest stretch of `sequence` that holds `wanted` in order, gaps allowed; None if none does."""
    best = None
    for start, value in enumerate(sequence):
        if value != wanted[0]:
            continue
        position, end = 0, start
        for end in range(start, len(sequence)):
            if sequence[end] == wanted[position]:
                position += 1
                if position == len(wanted):
                    break
        if position == len(wanted):
            best = min(best or len(sequence), end - start + 1)
    return best


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps a text speaks of: `named` outright, and `around` ("after step 3", "up to step 3"), which may mean the next."""

    named: frozenset[int]
    around: frozenset[int]


_ORDINAL_EN = rf"(?:\d+(?=st|nd|rd|th)|{'|'.join(_EN_ORDINALS)})(?:st|nd|rd|th)?"
_STEP_EN = re.compile(
    rf"(?P<context>\b(?:after|until|till|up to|through|by the end of|following|end of|once|before|past)\s+)?(?:the\s+|your\s+)?"
    rf"(?:(?:{STEP_NOUNS_EN})\s*(?:number\s*|no\.?\s*)?[#(]?(?P<a>\d+|{'|'.join(_EN_UNITS[1:13])})\b(?:\s*(?:,|and|or|to|-|–|&)\s*(?P<b>\d+))?|"
    rf"(?P<c>{_ORDINAL_EN})\s+(?:\w+\s+)?(?:{STEP_NOUNS_EN}))"
)
_STEP_ZH = re.compile(
    rf"(?P<context>(?:直到|到|做完|执行完|走完|完成)?)第?\s*\(?(?P<a>\d+|{_ZH_NUMBER})\)?(?:\s*(?:、|和|到|至|-|~)\s*第?\s*\(?(?P<b>\d+|{_ZH_NUMBER})\)?)?\s*(?:{STEP_NOUNS_ZH})(?P<after>(?:\([^)]*\))?\s*(?:之后|以后|后|之前|以前|前|为止|完成后|做完|结束|执行完|都(?:对|没|还|是|正确|很))?)"
)
_STEP_WORD_ZH = re.compile(rf"步骤\s*(?P<a>\d+|{_ZH_NUMBER})")
_PLACE_EN = re.compile(
    rf"(?P<a>{_ORDINAL_EN})\s+(?:\w+\s+)?(?:place|position|entry|vertex|vertices|node|number|element|item|write|one|output|slot|key|value)\b|(?:place|position|entry|write|visit|number|output)\s+#?(?P<b>\d+)\b"
)
_PLACE_ZH = re.compile(rf"(?:第|头)\s*\(?(?P<a>\d+|{_ZH_NUMBER})\)?\s*(?:个|位|次|名|回)")


def steps(text: str, places: bool = False) -> Steps:
    """The step numbers that a normalised text mentions. With `places`, the n-th vertex, number or entry is a step too;
    without, the exercise lists its operations as (1), (2), ..., and so may the text."""
    named: set[int] = set()
    around: set[int] = set()
    for match in _STEP_EN.finditer(text):
        values = [value_of(part) for part in (match["a"] or match["c"], match["b"]) if part]
        (around if match["context"] else named).update(value for value in values if value)
    for match in _STEP_ZH.finditer(text):
        if "第" not in match.group() and not match["a"].isdigit():
            continue
        values = [value_of(part) for part in (match["a"], match["b"]) if part]
        after = re.sub(r"\([^)]*\)", "", match["after"] or "").strip()
        context = match["context"] not in ("", "到") or after
        (around if context else named).update(value for value in values if value)
    for pattern in (_STEP_WORD_ZH, *((_PLACE_EN, _PLACE_ZH) if places and not named else ())):
        for match in pattern.finditer(text):
            value = value_of(match["a"] or match.groupdict().get("b") or "")
            named.update([value] if value else [])
    if not places:
        named.update(int(match) for match in re.findall(r"\((\d{1,2})\)", text))
    return Steps(frozenset(named), frozenset(around - named))


@cache
def lexicon(family: str) -> Mapping[str, Mapping[str, tuple[re.Pattern[str], ...]]]:
    """Per bug of the family, patterns in both languages: `names` (the wrong idea, tight), `also` (the same in looser
    words, which may stray into a neighbour) and `rule` (the broken rule)."""
    data = _read(family)
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
        for group, entry in _read("terms").items()
    }


def families(text: str) -> frozenset[str]:
    """The families whose own words a normalised text uses."""
    return frozenset(family for family, pattern in _own().items() if pattern.search(text))


@cache
def _own() -> Mapping[str, re.Pattern[str]]:
    return {family: re.compile(pattern) for family, pattern in _read("own").items()}


def _read(name: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = read_yaml(_FOLDER / f"{name}.yaml")
    return data


def bugs(text: str, family: str, kind: str) -> frozenset[str]:
    """The misconceptions of a family that a normalised text names (kind "names") or whose rule it touches ("rule")."""
    return frozenset(bug for bug, entry in lexicon(family).items() if any(one.search(text) for one in entry[kind]))


def diagnosed(text: str, family: str, own: str | None) -> frozenset[str]:
    """The misconceptions a normalised text names, read with the benefit of the doubt: once it names the student's own
    one, in however loose words, another counts only if a statement (not a question) names it in tight words."""
    loose = bugs(text, family, "names") | bugs(text, family, "also")
    if own not in loose:
        return loose
    return bugs(statements(text), family, "names") | {own}


def statements(text: str) -> str:
    """A normalised text without its questions."""
    return re.sub(r"[^.!?。]*\?", " ", text)


def groups(text: str) -> frozenset[str]:
    """The groups of families whose words a normalised text uses."""
    return frozenset(group for group, (_, pattern) in terms().items() if pattern.search(text))


def structures(text: str) -> frozenset[str]:
    """The groups of families whose structure a normalised text calls by its name."""
    return frozenset(group for group, pattern in _NAMES.items() if pattern.search(text))


_NAMES = {
    group: re.compile(pattern)
    for group, pattern in {
        "stack": r"栈|\bstacks?\b|\bpush(?:es|ed|ing)?\b|\bpop(?:s|ped|ping)?\b",
        "queue": r"队列|[出入]队|队[头尾首]|\bqueues?\b|\b(?:en|de)queue",
        "list": r"链表|表头|\blinked lists?\b|\bnext pointer",
        "array": r"动态数组|扩容|容量|\bdynamic array|\bcapacity\b",
        "search": r"二分|折半|\bbinary search(?! tree)|\bmid\b|\bwhich half\b|\bhalf (?:can|of the (?:array|range))",
        "tree": r"二叉|子树|遍历|先序|中序|后序|\bbst\b|\bsearch trees?\b|\bsubtrees?\b|\btravers|\b(?:pre|in|post)-?order\b",
        "heap": r"堆(?!积|放|叠|在|着)|上浮|下沉|\bheaps?\b|\bsift",
        "sets": r"并查集|路径压缩|\bunion[- ]find|\bpath compression",
        "hash": r"哈希|散列|探测|\bhash|\bbuckets?\b",
        "graph": r"顶点|邻接|拓扑|入度|\bverte(?:x|ices)\b|\bgraphs?\b|\bbfs\b|\bdfs\b|dijkstra|\bin-?degree|\brelax",
        "sorting": r"(?<!二叉)排序|枢轴|归并|冒泡|\bsort(?:s|ed|ing)?\b|\bpivot|\bmerg|\bpass(?:es)? \d",
    }.items()
}


def questions(text: str) -> int:
    """Number of questions in a normalised text (runs of question marks count once)."""
    return len(re.findall(r"\?+", text))


_YES_NO = re.compile(
    r"(?:^|[.!?;:,] ?)(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have) [^?.!]*\?|[^?。!;]*(?:吗|么|是不是[^?]*|对不对)\s*\?"
)


def open_questions(text: str) -> int:
    """Questions that cannot be answered by yes or no."""
    return max(0, questions(text) - len(_YES_NO.findall(text)))


_ACTION = re.compile(
    r"(?:重新|再|试着|试试|动手|请|先|不妨|可以)[^。!?]{0,14}(?:做|画|写|算|推|走|列|数|比|查|看|标|排|执行|模拟|想|检查|对照|说)"
    r"|(?:画|写|列|标|算|数|比较|检查|模拟|重做|推演|对照)(?:一|出|下|清|看|着)"
    r"|\b(?:draw|sketch|redo|re-?run|trace|re-?trace|write|list|work (?:through|out)|check|compare|try|look|go (?:back|over|through)|walk through|recount|count|mark|replay|simulate|think|turn|revisit|recheck|tell me|show me|explain|imagine|start)\b"
)


def asks_for_action(text: str) -> bool:
    """Whether a normalised text tells the student to do something."""
    return bool(_ACTION.search(text))


_RIGHT = re.compile(
    r"(?:就|这|都)是(?:正确|对)的|推得很好|(?:次序|顺序|序列|结果|划分|数组|位置|答案|遍历|过程)(?:也|都|全|完全)*(?:正确|对)|正确(?=[。,!])|(?:都|全|全部|完全)对(?!照|比|于|着|应|齐|称|调)|有底了|就是这(?:个|一)?(?:结果|样子|答案|次序|顺序|串|列)|推得很准|(?<!不)(?<!否)(?<!没)正确(?!答案|结果|做法|的(?:顺序|次序|答案|做法|结果|位置))|一(?:步|个|项)(?:也|都)?不差|(?:不用|别)(?:再)?(?:急着)?怀疑|(?:答案|结果|做得|做|完全|全|回答|推|算|写|填|排|走|你)(?:得|的)?(?:是|也|都)?(?:完全|全)?(?:正确|对)(?!吗|不|称|比|于|应|照|准|齐|着|待|方|象|面|手|话|换|调|了一半)|^(?:对(?!照|比|于|着|应|齐|称|调)|没错|正确|是的|嗯|可以放心|放心)|没错|没有?(?:任何)?(?:问题|错误|毛病)|站得住脚|无误|准确|是对的|完全一致|(?:可以|尽管|请|你)放心|放心吧|不用(?:怀疑|担心|改)|(?:一个|一位)(?:都|也)不(?:差|错)|分毫不差|漂亮"
    r"|\b(?:is|are|was|looks?|it's|that's|you're|answer's|got (?:it|this|that|everything|them)|have it|came out|exactly|entirely|completely|absolutely|quite|yes,?|all|list is|result is) (?:all |entirely |completely |exactly |absolutely |quite |perfectly |indeed |spot |just |both )*(?:right|correct|accurate|good to go)\b"
    r"|^(?:yes|yep|yup|correct|right|exactly|indeed|perfect|spot on|nailed it|well done|it is|it does)\b|\bspot[- ]on\b|\bholds? up\b|\bnailed\b|\bwell done\b|\bno (?:mistakes?|errors?|problems?|need to worry|need to doubt)\b|\bnothing (?:is |to |at all )?(?:wrong|fix|correct)\b|\bcorrectly\b|\bcheck(?:s|ed) out\b|\bright answer\b|\bin the right (?:place|order|spot)|\bwhere it belongs|^that's it\b|^it is indeed\b|\bi'd back you\b|\bexactly the\b|\bwell traced\b|\blooks (?:right|good|perfect|fine)\b|^nice(?:ly)? (?:work|done|traced)|\bflawless|\bperfect(?:ly)?\b|\bi (?:agree|get the same|have the same)|\btrust (?:your|it|that|this)|\bstand by (?:it|that|your)|\bevery(?:thing| \w+) (?:is (?:right|correct|fine|in place|where)|checks|matches|fits|lines)\b"
)
_NOT_RIGHT = re.compile(
    r"不(?:是|太|完全|够)?(?:正确|对|准确)|没(?:有)?做对|并不|\b(?:not|n't|isn't|aren't|never|almost|nearly|quite|mostly|partly)\b[^.!?]{0,12}\b(?:right|correct)\b|\b(?:feeling|suspicion|doubts?|hunch|instinct)s? (?:is|was|are|were) (?:\w+ )?right\b|前[^。!?]{0,10}(?:对|正确|没错|没问题|没有问题)"
)
_WRONG = re.compile(
    r"(?<!没)(?<!没有)(?:错|有误|出了?(?:问题|岔|偏差|差错)|问题(?:出|就|在)|不对|不正确|偏差|不太对|走偏|弄混|混淆|漏(?:了|掉)|有出入|对不上|跑偏)"
    r"|\b(?:mistakes?|errors?|wrong|incorrect|goes astray|went astray|not right|isn't right|slip(?:s|ped)?|mix(?:ed|ing)? up|off the rails|drift|trouble|not quite)\b"
)
_NOT_WRONG = re.compile(
    r"没(?:有)?(?:任何)?(?:错|出错|问题|什么错)|不(?:会|容易)?出?错|错(?:在哪|不了)|\b(?:no|nothing|without|not a|any|isn't) (?:\w+ )?(?:mistakes?|errors?|wrong|trouble|incorrect)\b"
)


_BUT = re.compile(r"但|可(?!以|能)|不过|却|然而|只是|\b(?:but|however|though|yet|except|until|only)\b")


def says_right(text: str) -> bool:
    """Whether a normalised text tells the student that the answer is right."""
    return bool(_RIGHT.search(_NOT_RIGHT.sub(" ", text)))


def qualified(text: str) -> bool:
    """Whether a normalised text takes something back ("but", 但)."""
    return bool(_BUT.search(text))


def says_wrong(text: str) -> bool:
    """Whether a normalised text tells the student that something is wrong."""
    return bool(_WRONG.search(_NOT_WRONG.sub(" ", text)))


def han_share(text: str) -> float:
    """Share of Chinese characters among the letters of a text; 0 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    return sum("一" <= char <= "鿿" for char in letters) / len(letters) if letters else 0.0
