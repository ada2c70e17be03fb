"""What is wrong with training rows, with the place of each fault: form, texts, roles, length, end of turn, language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data import forms
from harness.data.rows import Broken, Found, Row
from harness.errors import UsageError

Length = Callable[[list[dict[str, str]]], int]
"""Tokens of a whole conversation, as the model's chat template has it."""

SPECIAL = re.compile(r"<\|[a-z_]{2,24}\|>|\[/?INST\]|</?s>")
"""Tokens of chat templates: in a text they would end or begin a turn that is none."""
MOJIBAKE = re.compile(r"�|Ã[\x80-\xbf¤©¨¶¼]|â€[œ™“”]|[ÂÅ]\s")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is one word to count and filter by; `told` says what is there."""

    where: str
    kind: str
    told: str


def faults(
    rows: Iterable[Found], *, language: str | None = None, length: Length | None = None, limit: int = 0
) -> Iterator[Fault]:
    """Every fault of every row. `language` ("zh" or "en") is the one that answers must be in; with `length`, rows of
    more than `limit` tokens are faults."""
    first: str | None = None
    for where, row in rows:
        if isinstance(row, Broken):
            yield Fault(where, "broken", row.why)
            continue
        known = forms.form_of(row)
        if known is None:
            yield Fault(where, "columns", f"of no known form: {', '.join(row)[:120] or 'no columns'}")
            continue
        first = first or known
        if known != first:
            yield Fault(where, "columns", f"of the form {known}, earlier rows of {first}")
        yield from _of_row(row, known, where, language, length, limit)


def _of_row(
    row: Row, known: str, where: str, language: str | None, length: Length | None, limit: int
) -> Iterator[Fault]:
    if str(row.get("split", (row.get("item") or {}).get("split", ""))).startswith("test"):
        yield Fault(where, "test-item", "a test item: these never train anything")
    try:
        prompt, answers = parts(row, known, where)
    except UsageError as error:
        yield Fault(where, "turns", str(error).removeprefix(f"{where}: "))
        return
    yield from _roles(prompt, where)
    for name, answer in answers.items():
        text = answer[-1]["content"]
        if not text.strip():
            yield Fault(where, "empty", f"'{name}' is empty")
        if language and not in_language(text, language):
            yield Fault(where, "language", f"'{name}' is not in {language}: {text[:40]!r}")
    for turn in [*prompt, *(turn for answer in answers.values() for turn in answer)]:
        if found := SPECIAL.search(turn["content"]):
            yield Fault(where, "special-token", f"{found.group()!r} in a text would end or begin a turn")
        if found := MOJIBAKE.search(turn["content"]):
            yield Fault(where, "encoding", f"{found.group()!r} looks like text read in a wrong encoding")
    texts = [answer[-1]["content"].strip() for answer in answers.values()]
    if known == "preference" and texts[0] == texts[1]:
        yield Fault(where, "equal", "chosen and rejected are the same text")
    if length:
        longest = max((length([*prompt, *answer]) for answer in answers.values()), default=length(prompt))
        if longest > limit:
            yield Fault(where, "length", f"{longest} tokens, {limit} allowed; cut rows would lose their end")


def parts(row: Row, known: str, where: str) -> tuple[list[dict[str, str]], Mapping[str, list[dict[str, str]]]]:
    """The prompt's turns, and the answers' by column. Raises UsageError for what is no turns."""
    if known == "messages":
        whole = forms.turns(row["messages"], "user", where)
        if len(whole) < 2 or whole[-1]["role"] != "assistant":
            raise UsageError(
                f"{where}: 'messages' must end with the assistant's answer, after at least one other turn."
            )
        return whole[:-1], {"messages": whole[-1:]}
    names = {"sft": ("response",), "preference": ("chosen", "rejected"), "unpaired": ("completion",), "prompt": ()}[
        known
    ]
    prompt = forms.turns(row["prompt"], "user", where)
    return prompt, {name: forms.turns(row[name], "assistant", where) for name in names}


def _roles(prompt: list[dict[str, str]], where: str) -> Iterator[Fault]:
    """An optional system turn, then user and assistant in turn, the user's last."""
    spoken = [turn["role"] for turn in prompt]
    body = spoken[1:] if spoken[0] == "system" else spoken
    if (
        not body
        or body[-1] != "user"
        or any(role != ("user", "assistant")[number % 2] for number, role in enumerate(body))
    ):
        yield Fault(
            where, "roles", f"the prompt's turns are {', '.join(spoken)}; user and assistant take turns, the user last"
        )


def in_language(text: str, language: str) -> bool:
    """Whether a text is mainly in "zh" or "en"; one without letters (a number, code marks) passes for both."""
    letters = [char for char in text if char.isalpha()]
    share = sum("一" <= char <= "鿿" for char in letters) / len(letters) if letters else 0.5
    return share >= 0.2 if language == "zh" else share <= 0.2 or not letters


def answers_of(row: Mapping[str, Any]) -> list[str]:
    """The answers' texts that a row would teach: the good ones only."""
    known = forms.form_of(row)
    if known is None or known == "prompt":
        return []
    _, answers = parts(dict(row), known, "row")
    good = (
        [] if known == "unpaired" and not row["label"] else [one for name, one in answers.items() if name != "rejected"]
    )
    return [answer[-1]["content"] for answer in good]


def prompt_of(row: Mapping[str, Any]) -> str:
    """What a row asks: the turns before the answer, without a system prompt; all its texts if it is of no form."""
    known = forms.form_of(row)
    if known is None:
        return text_of(row)
    prompt, _ = parts(dict(row), known, "row")
    return "\n".join(turn["content"] for turn in prompt if turn["role"] != "system")


def text_of(row: Mapping[str, Any]) -> str:
    """All that a row says, for finding its like: prompt and answers, without roles and without a system prompt."""
    known = forms.form_of(row)
    if known is None:
        return "\n".join(str(value) for value in row.values() if isinstance(value, str))
    prompt, answers = parts(dict(row), known, "row")
    turns = [turn for turn in prompt if turn["role"] != "system"]
    return "\n".join(turn["content"] for turn in [*turns, *(turn for answer in answers.values() for turn in answer)])
