"""Control systems: answers whose worth is known, so that a board shows what its scorers can and cannot tell.

A control looks at the item, which no ranked system may do. `prior` is the chance line of ds-trace; `generic` is the best
constant answer that a search on training items found (scripts/fuzz_checks.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from harness import simulator
from harness.digest import files_digest
from harness.errors import unknown
from harness.models import Options
from harness.types import Decoding, Failure, Item, Model, Request, Response

REPEATS = {"zh": "你说的是：", "en": "You said: "}
GIVES = {"zh": "正确答案是 {answer}。", "en": "The correct answer is {answer}."}


def reference(item: Item) -> str:
    """The item's first reference: what a good system would score."""
    return item.references[0] if item.references else ""


def null(item: Item) -> str:
    """Nothing at all."""
    return ""


def parrot(item: Item) -> str:
    """The student's own words handed back."""
    return REPEATS[item.language] + item.messages[-1].content


def answer_giver(item: Item) -> str:
    """The right answer, and nothing else."""
    return GIVES[item.language].format(answer=item.answer)


def generic(item: Item) -> str:
    """One and the same answer for every item of a language."""
    return _generic()[item.language]


@cache
def _generic() -> dict[str, str]:
    folder = Path(__file__).with_name("generic")
    return {language: (folder / f"{language}.txt").read_text(encoding="utf-8").strip() for language in ("zh", "en")}


def shotgun(item: Item) -> str:
    """Every misconception of the family and every step; on items without computed facts, the generic answer."""
    if "family" not in item.meta:
        return generic(item)
    from harness.simulator.language import Voice, words

    family, common = words(item.meta["family"]), words("common")
    voice = Voice(item.language, "train", Random(item.id))
    said = [voice.pick(bug["diagnose"]) for bug in family["bugs"].values()]
    for step in range(1, len(item.meta["states"]) + 1):
        said.append(voice.say("locate", where=common["where"]["step"][item.language].format(step=step)))
    return str(common["joiner"][item.language].join([*said, voice.say("redo", step=1)]))


def prior(item: Item) -> str:
    """The most frequent first wrong step and misconception of the family in training, whatever the student wrote."""
    if "family" not in item.meta:
        return generic(item)
    from harness.simulator.language import Voice, words

    family, common = words(item.meta["family"]), words("common")
    voice = Voice(item.language, "train", Random(item.id))
    bug, step = _most_frequent(item.meta["family"])
    where = common["where"]["step"][item.language].format(step=step)
    entry = family["bugs"][bug]
    said = [voice.pick(entry["diagnose"]), voice.say("locate", where=where), voice.say("redo", step=step)]
    return str(common["joiner"][item.language].join([*said, voice.pick(entry["ask"], step=step, op="")]))


@cache
def _most_frequent(family: str) -> tuple[str, int]:
    from harness.simulator.items import Plan, cases

    facts = [case.facts for case in cases(Plan("train", 120, families=(family,))) if case.facts.bug]
    bug = Counter(one.bug for one in facts).most_common(1)[0][0]
    step = Counter(one.first_wrong for one in facts).most_common(1)[0][0]
    assert bug is not None
    assert step is not None
    return bug, step


CONTROLS: dict[str, Callable[[Item], str]] = {
    "reference": reference,
    "answer-giver": answer_giver,
    "generic": generic,
    "shotgun": shotgun,
    "prior": prior,
    "null": null,
    "parrot": parrot,
}


class Control:
    """A control as a model."""

    def __init__(self, name: str, answer: Callable[[Item], str]) -> None:
        self.name = f"control/{name}"
        self._answer = answer

    def identity(self) -> dict[str, Any]:
        """The name, and the texts that controls speak from: other words are another system's answers."""
        words = Path(simulator.__file__).with_name("words")
        texts = [*Path(__file__).with_name("generic").glob("*.txt"), *words.glob("*.yaml")]
        return {"provider": "control", "control": self.name, "texts": files_digest(texts)}

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
