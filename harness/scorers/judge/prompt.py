"""What a judge is asked: the rubric, the item's key points, the dialogue and the reply, as messages of a chat.

Everything that a system or a student wrote is *material*: each of its lines begins with a bar, characters that are not
seen and tokens of chat templates are taken out of it, and the verdict must carry a token that its author cannot know.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

import yaml

from harness.digest import digest
from harness.errors import UsageError
from harness.rubric import label_ids
from harness.types import Criterion, Item, Language, Rubric

FORMS = ("full", "short")
_FOLDER = Path(__file__).parent / "prompts"
_SPECIAL = re.compile(
    r"<(?=[|｜])|(?<=[|｜])>|<(?=/?s>)|<(?=(?:start|end)_of_turn>)|<(?=<SYS>>)|\[(?=/?INST\])", re.IGNORECASE
)
_NOTHING = {"zh": "（无）", "en": "(none)"}


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a judge, before it has its token. `texts` are the replies that it is about.

    `allowed`: the labels of each criterion. `key`: names the question by all that it depends on. `again` tells apart
    the same question asked once more.
    """

    form: str
    language: Language
    fields: Mapping[str, str]
    allowed: Mapping[str, tuple[str, ...]]
    texts: tuple[str, ...]
    again: int = 0

    @property
    def key(self) -> str:
        return digest(
            [
                self.form,
                self.language,
                dict(self.fields),
                {name: list(ids) for name, ids in self.allowed.items()},
                self.again,
            ]
        )

    def messages(self, token: str) -> list[dict[str, str]]:
        """The chat that asks it."""
        system, _, user = _template(self.form, self.language).partition("\n=====\n")
        filled = [Template(part).substitute(self.fields, token=token).strip() for part in (system, user)]
        return [{"role": role, "content": content} for role, content in zip(("system", "user"), filled, strict=True)]


def new_token() -> str:
    """Three numbers of two digits: one in a million, and a small model can copy them."""
    return "-".join(f"{10 + secrets.randbelow(90)}" for _ in range(3))


def pointwise(item: Item, reply: str, criteria: Sequence[Criterion], form: str) -> Question:
    """How good is this reply, on each of the criteria?"""
    return Question(
        form,
        item.language,
        _fields(item, criteria) | {"reply": material(reply)},
        {one.id: label_ids(one) for one in criteria},
        (reply,),
    )


def pairwise(item: Item, first: str, second: str, preference: Criterion) -> Question:
    """Which of two replies is better?"""
    return Question(
        "pair",
        item.language,
        _fields(item, [preference]) | {"reply": material(first), "other": material(second)},
        {preference.id: label_ids(preference)},
        (first, second),
    )


def prompts_digest(form: str) -> str:
    """The digest of the prompt texts of a form, both languages. Raises UsageError for a form that there is not."""
    if form not in FORMS:
        raise UsageError(f"a judge's form is {' or '.join(FORMS)}, not '{form}'.")
    return digest([_template(form, language) for language in ("zh", "en")] + [_levels()])


def material(text: str) -> str:
    """Text of a stranger, made safe to show: one bar before each line, nothing unseen, no chat-template tokens.

    >>> material("end<|im_end|>")
    '| end<\\u2009|im_end|\\u2009>'
    """
    seen = unicodedata.normalize("NFC", text)
    if not seen.replace("\n", "").replace("\t", "").isprintable():
        seen = "".join(char for char in seen if char in "\n\t" or _visible(char))
    parted = _SPECIAL.sub(lambda found: f"\u2009{found[0]}" if found[0] == ">" else f"{found[0]}\u2009", seen)
    return "\n".join(f"| {line}" for line in parted.split("\n"))


def _visible(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")


def _fields(item: Item, criteria: Sequence[Criterion]) -> dict[str, str]:
    language = item.language
    nothing = _NOTHING[language]
    points = item.key_points
    who = {"zh": {"user": "学生", "assistant": "老师"}, "en": {"user": "Student", "assistant": "Tutor"}}[language]
    colon = "：" if language == "zh" else ": "
    return {
        "criteria": "\n\n".join(_describe(one, language) for one in criteria),
        "names": ("、" if language == "zh" else ", ").join(one.id for one in criteria),
        "level": f"{item.hint_level} ({_levels()[language][min(item.hint_level, 3)]})",
        "diagnosis": points.diagnosis or nothing,
        "location": points.location or nothing,
        "steps": "; ".join(points.next_steps) or nothing,
        "answer": item.answer or nothing,
        "dialogue": material("\n".join(f"{who[turn.role]}{colon}{turn.content}" for turn in item.messages)),
    }


def _describe(criterion: Criterion, language: Language) -> str:
    """A criterion as a judge reads it: what is asked, and what each label means."""
    lines = [f"{criterion.id} {criterion.name[language]}: {criterion.definition[language]}"]
    lines += [f"- {label['id']}: {label['anchor'][language]}" for label in criterion.labels]
    if criterion.not_applicable is not None:
        lines.append(f"- na: {criterion.not_applicable[language]}")
    return "\n".join(lines)


@cache
def _template(form: str, language: Language) -> str:
    return (_FOLDER / f"{form}.{language}.md").read_text(encoding="utf-8")


@cache
def _levels() -> Mapping[str, list[str]]:
    levels: Mapping[str, list[str]] = yaml.safe_load((_FOLDER / "levels.yaml").read_text(encoding="utf-8"))
    return levels


def criteria_of(rubric: Rubric, names: Sequence[str] | None) -> tuple[Criterion, ...]:
    """The criteria named, or every gate and graded one. Raises UsageError for one that is neither, or none."""
    fit = [one for one in rubric.criteria.values() if one.kind in ("gate", "graded")]
    chosen = [one for one in fit if names is None or one.id in names]
    if names is not None and len(chosen) != len(set(names)):
        raise UsageError(f"a judge's criteria are {', '.join(one.id for one in fit)}, not {', '.join(names)}.")
    return tuple(chosen)
