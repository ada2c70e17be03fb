"""One piece of guidance: the trained prompt, the engine's answer, the gates, a second try, at last a safe hint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from harness import task
from harness.serve import gates
from harness.serve.engine import Engine
from harness.serve.errors import Refusal
from harness.serve.package import Package
from harness.serve.requests import Ask
from harness.simulator.language import with_hint_level
from harness.types import Message

ATTEMPTS = ({"temperature": 0.0}, {"temperature": 0.7, "top_p": 0.95})
"""How the first answer and the second are decoded. Greedy as the benchmark's, then not the same once more"""


@dataclass(slots=True)
class Guidance:
    """What is sent, and how it came about. `verdicts`: the gates of each answer of the model."""

    text: str
    fallback: bool
    verdicts: list[dict[str, bool | None]] = field(default_factory=list)
    usage: dict[str, int] | None = None
    engine_s: float = 0.0

    @property
    def regenerated(self) -> bool:
        return len(self.verdicts) > 1


def prompt(package: Package, ask: Ask) -> tuple[Message, ...]:
    """The chat as in training and in `easyds run`; the engine puts it into the checkpoint's own template."""
    line = package.hint[ask.language] if package.hint else None
    said = with_hint_level(line, ask.hint_level, ask.message) if line else ask.message
    return task.chat(package.system, ask.language, (*ask.dialogue, Message("user", said)))


async def guide(package: Package, engine: Engine, ask: Ask) -> Guidance:
    """Guidance that passes the gates: the model's first or second answer, or a safe hint. Raises Refusal if the engine
    fails."""
    turns = prompt(package, ask)
    found = Guidance("", fallback=False)
    for decoding in ATTEMPTS:
        found.text = await _answer(engine, turns, package.max_new_tokens, decoding, found)
        found.verdicts.append(gates.check(found.text, turns, ask.language, ask.withheld))
        if False not in found.verdicts[-1].values():
            return found
    found.text, found.fallback = gates.safe_hint(ask.language, ask.hint_level), True
    return found


async def _answer(
    engine: Engine, turns: tuple[Message, ...], limit: int, decoding: Mapping[str, float], found: Guidance
) -> str:
    messages = [{"role": one.role, "content": one.content} for one in turns]
    began = perf_counter()
    async with engine.chat({"messages": messages, "max_tokens": limit, **decoding}) as response:
        text, usage = completion(await response.read())
    found.engine_s += perf_counter() - began
    if usage:
        before = found.usage or {}
        found.usage = {name: before.get(name, 0) + count for name, count in usage.items()}
    return text


def completion(body: bytes) -> tuple[str, dict[str, int] | None]:
    """Text and token counts of a completion that was not streamed. Raises Refusal (502) if it is none."""
    try:
        whole: Any = json.loads(body)
        text = str(whole["choices"][0]["message"]["content"] or "").strip()
        return text, tokens(whole.get("usage"))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Refusal(502, "the engine's answer is no chat completion", "engine_failed") from error


def tokens(usage: Any) -> dict[str, int] | None:
    """The counts of an engine that counts."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    if not isinstance(usage, dict) or not all(type(usage.get(name)) is int for name in names):
        return None
    return {name: usage[name] for name in names}
