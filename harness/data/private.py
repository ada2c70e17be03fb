"""Personal data in texts, found and replaced by the name of its kind: what must not reach a training set.

Phone numbers as libphonenumber knows them (phonenumbers), resident ids and social security numbers by their check
digits and ranges (python-stdnum), mail addresses, and by the words before them student numbers and accounts of QQ and
WeChat. Names are found in a roster that the caller gives (a school has one), and by cue: "我叫…", "…老师", "my name
is …", "Professor …". A name without a cue that no roster holds is **not** found; no tool without a language model does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.data.rows import Row
from harness.errors import EnvironmentProblem

Span = tuple[int, int, str]
"""(start, end, kind) in a text"""
REGIONS = ("CN", "US", "GB")
_NUMBER = re.compile(r"\d{3}")
"""What every such number holds, and most texts of this subject do not: the quick look before the slow one."""
_DIALLABLE = re.compile(r"\d(?:[^\w,;]{0,4}\d){6}")
"""Seven digits with no more between them than libphonenumber allows, which takes long over each number it looks at."""
_MOBILE = re.compile(r"1\d{2}( ?)\d{4}\1\d{4}")

_SURNAMES = (
    "欧阳|司马|上官|诸葛|王|李|张|刘|陈|杨|黄|赵|吴|周(?![一二三四五六日末])|徐|孙|朱|胡|郭|林|罗|郑|梁|谢|宋|唐|韩|冯|邓|曹|"
    "彭|肖|田|董|袁|潘|蒋|蔡|杜|叶(?!子)|苏|魏|吕|丁|沈|姚|卢|姜|崔|钟|谭|陆|汪|廖|贾|夏|韦|邹|孟|熊|秦|邱|尹|薛|闫|侯|龙|陶|黎|贺|龚|邵|覃"
)
"""Without those that are everyday words too (高, 向, 和, 于, 何, 许, 曾, 程, …): "向老师请教" names nobody."""
_TITLES = "老师|同学|教授|助教"
_SCHOLARS = "Dijkstra|Knuth|Floyd|Warshall|Hoare|Kruskal|Prim|Huffman|Bellman|Ford|Tarjan|Turing|Shell|Fibonacci"
_CUES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"(?<![\w.+-])([\w.+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})")),
    (
        "id",
        re.compile(
            r"(?:学号|工号|student (?:id|number|no\.?))\s*(?:是|为|is|[:：#])?\s*([A-Za-z]{0,3}\d{5,14})(?!\d)", re.I
        ),
    ),
    (
        "account",
        re.compile(
            r"(?:QQ|微信|wechat)\s*号?\s*(?:是|为|is|[:：])?\s*((?=[\w-]*\d)[A-Za-z0-9_-]{5,20})(?![\w-])", re.I
        ),
    ),
    ("name", re.compile(rf"(?:我叫|我的名字[叫是]|姓名[:：]?\s*)((?:{_SURNAMES})[一-鿿]{{1,2}})(?![一-鿿])")),
    ("name", re.compile(rf"(?<![一-鿿])((?:{_SURNAMES})[一-鿿]{{0,2}})(?=(?:{_TITLES}))")),
    ("name", re.compile(r"(?:[Mm]y name(?:'s| is)|[Cc]all me|Name:)\s+([A-Z][a-z]+(?: [A-Z][a-z]+)?)")),
    ("name", re.compile(rf"\b(?:Mr|Mrs|Ms|Dr|Prof|Professor)\.?\s+(?!{_SCHOLARS})([A-Z][a-z]+(?: [A-Z][a-z]+)?)")),
)


@dataclass(frozen=True, slots=True)
class Private:
    """What kind of personal data stands where; never the data themselves: findings are printed and logged."""

    where: str
    kind: str
    count: int


def finder(names: Iterable[str] = ()) -> Callable[[str], list[Span]]:
    """A function from a text to the personal data in it, in order and without overlap. `names`: a roster.

    Raises EnvironmentProblem without phonenumbers or python-stdnum.
    """
    try:
        import phonenumbers
        from stdnum.cn import ric
        from stdnum.us import ssn
    except ImportError as error:
        raise EnvironmentProblem(
            "redaction needs phonenumbers and python-stdnum: pip install 'easyds-bench[data]'."
        ) from error
    known = sorted({name.strip() for name in names} - {""}, key=len, reverse=True)
    roster = re.compile("|".join(_whole(name) for name in known)) if known else None
    resident, social = (
        re.compile(r"(?<![0-9A-Za-z])\d{17}[\dXx](?![0-9A-Za-z])"),
        re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    )

    def phones(text: str) -> Iterator[Span]:
        for region in REGIONS:
            for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING):
                if _dialled(
                    match.raw_string,
                    phonenumbers.number_type(match.number) == phonenumbers.PhoneNumberType.MOBILE,
                    region,
                ):
                    yield match.start, match.end, "phone"

    def find(text: str) -> list[Span]:
        spans = [(match.start(), match.end(), "name") for match in roster.finditer(text)] if roster else []
        spans += [(*match.span(1), kind) for kind, cue in _CUES for match in cue.finditer(text)]
        if _NUMBER.search(text):
            spans += [(*match.span(), "id") for match in resident.finditer(text) if ric.is_valid(match.group())]
            spans += [(*match.span(), "id") for match in social.finditer(text) if ssn.is_valid(match.group())]
        if _DIALLABLE.search(text):
            spans += phones(text)
        kept: list[Span] = []
        for span in sorted(spans, key=lambda one: (one[0], -one[1])):
            if not kept or span[0] >= kept[-1][1]:
                kept.append(span)
        return kept

    return find


def _whole(name: str) -> str:
    """A name as it stands in a text: one in Latin letters as whole words."""
    return rf"\b{re.escape(name)}\b" if name.isascii() else re.escape(name)


def _dialled(raw: str, mobile: bool, region: str) -> bool:
    """Whether digits look like a number to dial and not like data: a mobile number of China, or written as one writes
    telephone numbers (+, leading 0, hyphens, brackets)."""
    return (
        raw.startswith(("+", "0", "("))
        or "-" in raw
        or (region == "CN" and mobile and _MOBILE.fullmatch(raw) is not None)
    )


def redacted(rows: Iterable[tuple[str, Row]], find: Callable[[str], list[Span]]) -> Iterator[tuple[Row, list[Private]]]:
    """Each row with "[NAME]", "[PHONE]", "[ID]", "[EMAIL]", "[ACCOUNT]" for what was found in any of its texts, and how
    often each kind was. A row without personal data is the same object."""
    for where, row in rows:
        counts: dict[str, int] = {}
        clean = _clean(row, find, counts)
        yield (clean if counts else row), [Private(where, kind, count) for kind, count in sorted(counts.items())]


def _clean(value: Any, find: Callable[[str], list[Span]], counts: dict[str, int]) -> Any:
    if isinstance(value, dict):
        return {key: _clean(one, find, counts) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one, find, counts) for one in value]
    if not isinstance(value, str):
        return value
    for start, end, kind in reversed(find(value)):
        counts[kind] = counts.get(kind, 0) + 1
        value = f"{value[:start]}[{kind.upper()}]{value[end:]}"
    return value
