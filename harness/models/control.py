"""Control systems: answers whose worth is known, so that a board shows what its scorers can and cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.errors import unknown
from harness.models import Options
from harness.types import Decoding, Failure, Item, Model, Request, Response

REPEATS = {"zh": "你说的是：", "en": "You said: "}


def reference(item: Item) -> str:
    """The item's first reference: what a good system would score."""
    return item.references[0] if item.references else ""


def null(item: Item) -> str:
    """Nothing at all."""
    return ""


def parrot(item: Item) -> str:
    """The student's own words handed back."""
    return REPEATS[item.language] + item.messages[-1].content


CONTROLS: dict[str, Callable[[Item], str]] = {"reference": reference, "null": null, "parrot": parrot}


class Control:
    """A control as a model: it looks at the item, which no ranked system may do."""

    def __init__(self, name: str, answer: Callable[[Item], str]) -> None:
        self.name = f"control/{name}"
        self._answer = answer

    def identity(self) -> dict[str, Any]:
        return {"provider": "control", "control": self.name, "version": 1}

    def load(self) -> None:
        """Nothing to load."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Response | Failure]:
        for request in requests:
            text = self._answer(request.item)
            yield Response(request.item.id, request.sample, text, "stop", None, None, None, None, None)


def open_model(name: str, options: Options) -> Model:
    if name not in CONTROLS:
        raise unknown("control", name, list(CONTROLS), "control/NAME")
    return Control(name, CONTROLS[name])
