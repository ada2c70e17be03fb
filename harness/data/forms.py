"""Forms of training rows, as TRL names them, and the way from each to each that loses nothing.

    sft         prompt, response                                   preference  prompt, chosen, rejected
    messages    messages (the last turn is the answer)             unpaired    prompt, completion, label, pair
    prompt      prompt

A prompt or an answer is a text or a list of turns ({"role", "content"}). Other columns go along. What has one good answer
(sft, messages, prompt) and what has two (preference, unpaired) do not turn into each other: that would be to invent, or
to throw away; only `prompt` may be taken of any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from harness.data.rows import Row
from harness.errors import UsageError, require

Placed = tuple[str, Row]
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sft": ("prompt", "response"),
    "messages": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
    "prompt": ("prompt",),
}
ROLES = ("system", "user", "assistant")


def renamed(rows: Iterable[Placed], columns: Mapping[str, str]) -> Iterator[Placed]:
    """Rows with `columns` (theirs: ours) renamed. Raises UsageError with the place of a row that lacks one, or has both."""
    for where, row in rows:
        for theirs, ours in columns.items():
            if theirs not in row:
                raise UsageError(f"{where}: no column '{theirs}'; the row has {', '.join(row)[:120]}.")
            if ours in row and ours not in columns:
                raise UsageError(f"{where}: '{theirs}' cannot become '{ours}', which the row has already.")
        yield where, {columns.get(name, name): value for name, value in row.items()}


def form_of(row: Mapping[str, Any]) -> str | None:
    """The form of a row by its columns; None if it is none."""
    order = ("preference", "unpaired", "sft", "messages", "prompt")
    return next((name for name in order if all(column in row for column in COLUMNS[name])), None)


def convert(rows: Iterable[Placed], to: str) -> Iterator[Row]:
    """Rows in the form `to`. Raises UsageError with the place of the first that is of no form or cannot become it."""
    require("form", to, list(COLUMNS), "--to")
    if to == "preference":
        yield from _paired(rows)
        return
    for number, (where, row) in enumerate(rows):
        known = form_of(row)
        if known is None:
            raise UsageError(
                f"{where}: its columns ({', '.join(row)[:120]}) are of no form. --column THEIRS=OURS renames."
            )
        if known == to:
            yield dict(row)
        elif way := _WAYS.get((known, to)):
            yield from way(row, where, number)
        else:
            raise UsageError(
                f"{where}: a row of the form {known} cannot become {to} without inventing or losing an answer."
            )


def _rest(row: Row, known: str) -> Row:
    return {name: value for name, value in row.items() if name not in COLUMNS[known]}


def turns(value: Any, role: str, where: str) -> list[dict[str, str]]:
    """A text as a turn of `role`, or turns as they are. Raises UsageError for what is neither."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    good = (
        isinstance(value, list)
        and value
        and all(
            isinstance(one, dict) and one.get("role") in ROLES and isinstance(one.get("content"), str) for one in value
        )
    )
    if not good:
        raise UsageError(f"{where}: neither a text nor a list of turns ({{'role', 'content'}}): {str(value)[:60]!r}.")
    return value  # type: ignore[no-any-return]


def _to_messages(row: Row, where: str, number: int) -> Iterator[Row]:
    whole = [*turns(row["prompt"], "user", where), *turns(row["response"], "assistant", where)]
    plain = {"plain": [isinstance(row["prompt"], str), isinstance(row["response"], str)]}
    yield {"messages": whole, **plain, **_rest(row, "sft")}


def _from_messages(row: Row, where: str, number: int) -> Iterator[Row]:
    whole = turns(row["messages"], "user", where)
    if len(whole) < 2 or whole[-1]["role"] != "assistant":
        raise UsageError(f"{where}: the last turn must be the assistant's answer, after at least one other.")
    rest = _rest(row, "messages")
    prompt_plain, answer_plain = rest.pop("plain", [False, False])
    prompt: Any = whole[0]["content"] if prompt_plain and len(whole) == 2 else whole[:-1]
    yield {"prompt": prompt, "response": whole[-1]["content"] if answer_plain else [whole[-1]], **rest}


def _to_unpaired(row: Row, where: str, number: int) -> Iterator[Row]:
    rest = _rest(row, "preference")
    for column, label in (("chosen", True), ("rejected", False)):
        yield {"prompt": row["prompt"], "completion": row[column], "label": label, "pair": number, **rest}


def _to_prompt(row: Row, where: str, number: int) -> Iterator[Row]:
    if "messages" in row:
        (row,) = _from_messages(row, where, number)
    answers = ("prompt", "response", "chosen", "rejected", "completion", "label", "pair", "plain")
    yield {"prompt": row["prompt"], **{name: value for name, value in row.items() if name not in answers}}


_WAYS: Mapping[tuple[str, str], Callable[[Row, str, int], Iterator[Row]]] = {
    ("sft", "messages"): _to_messages,
    ("messages", "sft"): _from_messages,
    ("preference", "unpaired"): _to_unpaired,
    **{(known, "prompt"): _to_prompt for known in COLUMNS if known != "prompt"},
}


def _paired(rows: Iterable[Placed]) -> Iterator[Row]:
    """Preferences as they are; unpaired rows put together by `pair`, the two of a pair next to each other."""
    open_row: tuple[str, Row] | None = None
    for where, row in rows:
        known = form_of(row)
        if known == "preference":
            yield dict(row)
            continue
        if known != "unpaired" or "pair" not in row:
            raise UsageError(f"{where}: only rows of the form unpaired with a column 'pair' can become pairs.")
        if open_row is None:
            open_row = (where, row)
            continue
        first, (before, second) = row, open_row
        labelled = {bool(one["label"]): one for one in (first, second)}
        if first["pair"] != second["pair"] or len(labelled) != 2 or first["prompt"] != second["prompt"]:
            raise UsageError(
                f"{before} and {where}: two rows in a row must be the good and the bad answer of one pair."
            )
        rest = {name: value for name, value in second.items() if name not in (*COLUMNS["unpaired"], "pair")}
        yield {
            "prompt": row["prompt"],
            "chosen": labelled[True]["completion"],
            "rejected": labelled[False]["completion"],
            **rest,
        }
        open_row = None
    if open_row:
        raise UsageError(f"{open_row[0]}: its pair has no second answer.")
