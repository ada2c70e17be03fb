"""A chat completion passed through: the engine's bytes as they come, streamed or whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import Send

from harness.serve.engine import Engine
from harness.serve.errors import Refusal
from harness.serve.guidance import tokens

KEPT_BYTES = 1 << 20


class Relay:
    """What passed, for the log and the counts: all of it, up to a megabyte."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts: list[bytes] = []
        self._size = 0
        self.streamed = False

    async def pass_on(self, body: Mapping[str, Any], send: Send) -> None:
        """Ask, and send on what comes. Raises Refusal if the engine fails: before the first byte, or in the midst."""
        async with self._engine.chat(body) as response:
            kind = response.headers.get("Content-Type", "application/json")
            self.streamed = kind.startswith("text/event-stream")
            headers = [(b"content-type", kind.encode("latin-1"))]
            if "Content-Length" in response.headers:
                headers.append((b"content-length", response.headers["Content-Length"].encode("latin-1")))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for part in response.content.iter_any():
                if self._size < KEPT_BYTES:
                    self._parts.append(part)
                    self._size += len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})

    def seen(self) -> tuple[str, dict[str, int] | None]:
        """The text that passed, and the engine's token counts if it told any."""
        whole = b"".join(self._parts).decode(errors="replace")
        texts, usage = [], None
        for row in map(_object, whole.splitlines() if self.streamed else [whole]):
            usage = tokens(row.get("usage")) or usage
            texts += [_said(choice) for choice in row.get("choices") or ()]
        return "".join(texts), usage


def _said(choice: Any) -> str:
    """The text of one choice, whole or a piece."""
    turn = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
    return str(turn.get("content") or "") if isinstance(turn, dict) else ""


def _object(line: str) -> dict[str, Any]:
    """The object in a line of the answer; an empty one where there is none ("[DONE]", blank lines)."""
    try:
        row = json.loads(line.removeprefix("data: "))
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def broken(refusal: Refusal) -> bytes:
    """The end of a stream that the engine broke off: clients of OpenAI's make an exception of it."""
    return b"data: " + json.dumps(refusal.body()).encode() + b"\n\n"
