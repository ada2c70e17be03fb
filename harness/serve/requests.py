"""What clients send, read and checked: the body within its limits, JSON, and the fields of each route."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.types import Receive

from harness.serve.errors import Gone, Refusal
from harness.serve.gates import language_of
from harness.types import Language, Message

BODY_BYTES, BODY_S = 64 * 1024, 10.0
COMMENT_CHARS, NAME_CHARS = 2000, 200
SECRETS = 16
_ID = re.compile("g-[0-9a-f]{32}")
_GUIDANCE = {"message", "dialogue", "knowledge_point", "hint_level", "language", "withheld"}
_FEEDBACK = {"id", "rating", "thumbs", "comment"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A student's turn, and what is known about it."""

    message: str
    language: Language
    hint_level: int
    dialogue: tuple[Message, ...] = ()
    knowledge_point: str = ""
    withheld: tuple[str, ...] = ()


async def read_object(receive: Receive) -> dict[str, Any]:
    """The JSON object in a request's body. Raises Refusal: 413 too large, 408 too slow, 400 no JSON object."""
    try:
        async with asyncio.timeout(BODY_S):
            body = await _read(receive)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {BODY_S:.0f} s", "slow_body") from None
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {str(error)[:100]}", "bad_json") from error
    if not isinstance(found, dict):
        raise Refusal(400, "the body is no JSON object", "bad_json")
    return found


async def _read(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Gone
        part, more = event.get("body", b""), event.get("more_body", False)
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES:  # uvicorn reads on and drops the rest, so that the sender sees why
            raise Refusal(413, f"the body is larger than {BODY_BYTES // 1024} KB", "too_large")
    return b"".join(parts)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def ask(row: Mapping[str, Any]) -> Ask:
    """The body of /v1/guidance. Raises Refusal (422) naming the field."""
    _only(row, _GUIDANCE)
    message = _text(row, "message", most=None)
    if not message.strip():
        raise _wrong("'message' must not be empty")
    level = row.get("hint_level", 1)
    if type(level) is not int or not 0 <= level <= 3:
        raise _wrong("'hint_level' must be 0, 1, 2 or 3")
    language = row.get("language", language_of(message))
    if language not in ("zh", "en"):
        raise _wrong("'language' must be zh or en")
    secrets = row.get("withheld", [])
    if not isinstance(secrets, list) or len(secrets) > SECRETS:
        raise _wrong(f"'withheld' must be a list of at most {SECRETS} texts")
    return Ask(
        message=message,
        language=language,
        hint_level=level,
        dialogue=_dialogue(row.get("dialogue", [])),
        knowledge_point=_text(row, "knowledge_point", NAME_CHARS, ""),
        withheld=tuple(_string(one, "withheld") for one in secrets if one),
    )


def _dialogue(rows: Any) -> tuple[Message, ...]:
    if not isinstance(rows, list):
        raise _wrong("'dialogue' must be a list of turns")
    turns = []
    for row in rows:
        if not isinstance(row, dict) or set(row) != {"role", "content"} or row["role"] not in ("user", "assistant"):
            raise _wrong("each turn of 'dialogue' has exactly 'role' (user or assistant) and 'content'")
        turns.append(Message(row["role"], _string(row["content"], "content")))
    return tuple(turns)


def messages(row: Mapping[str, Any], alias: str) -> list[Any]:
    """The turns in the body of /v1/chat/completions, whose other fields are the engine's. Raises Refusal."""
    if row.get("model") not in (None, alias):
        raise Refusal(404, f"there is no such model here; this one is called {alias}", "model_not_found")
    turns = row.get("messages")
    if not isinstance(turns, list) or not turns or not all(map(_is_turn, turns)):
        raise _wrong(
            "'messages' must be a list of turns, each with 'role' (a text) and 'content' (a text or its parts)"
        )
    if not isinstance(row.get("stream"), bool | None):
        raise _wrong("'stream' must be true or false")
    return turns


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and isinstance(turn.get("role"), str)
        and isinstance(turn.get("content"), str | list | None)
    )


def feedback(row: Mapping[str, Any]) -> dict[str, Any]:
    """The body of /v1/feedback. Raises Refusal (422) naming the field."""
    _only(row, _FEEDBACK)
    found: dict[str, Any] = {"id": _text(row, "id", NAME_CHARS), "comment": _text(row, "comment", COMMENT_CHARS, "")}
    if not _ID.fullmatch(found["id"]):
        raise _wrong("'id' must be the id of an answer (g- and 32 hexadecimal digits)")
    if ("rating" in row) == ("thumbs" in row):
        raise _wrong("give either 'rating' (1 to 5) or 'thumbs' (up or down)")
    rating, thumbs = row.get("rating"), row.get("thumbs")
    if "rating" in row and (type(rating) is not int or not 1 <= rating <= 5):
        raise _wrong("'rating' must be a whole number from 1 to 5")
    if "thumbs" in row and thumbs not in ("up", "down"):
        raise _wrong("'thumbs' must be up or down")
    return {**found, "rating": rating, "thumbs": thumbs}


def _only(row: Mapping[str, Any], known: set[str]) -> None:
    if strange := sorted(set(row) - known):
        raise _wrong(f"unknown field '{strange[0][:50]}'; known are {', '.join(sorted(known))}")


def _text(row: Mapping[str, Any], name: str, most: int | None, default: str | None = None) -> str:
    if name not in row and default is not None:
        return default
    if name not in row:
        raise _wrong(f"'{name}' is missing")
    found = _string(row[name], name)
    if most is not None and len(found) > most:
        raise _wrong(f"'{name}' is longer than {most} characters")
    return found


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"'{name}' must be a text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _wrong(f"'{name}' holds half a surrogate pair, which is no text")
    return value


def _wrong(message: str) -> Refusal:
    return Refusal(422, message, "invalid_field")
