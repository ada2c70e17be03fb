"""Fluency by perplexity under a named local model: `--scorer perplexity:model=hf/./folder`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.digest import digest
from harness.errors import UsageError
from harness.types import Item, Response, Score

BATCH = 16


class Perplexity:
    """log_perplexity: mean negative log-likelihood per token, in nats, of a response under the reference model.

    The text is scored as plain text, without the item: the question is whether it reads like language, not whether it
    fits. An empty response is unscored. Values under different reference models cannot be compared; the source names it.
    """

    criteria = ("log_perplexity",)

    def __init__(self, model: str) -> None:
        provider, _, name = model.partition("/")
        if provider != "hf" or not name:
            raise UsageError(f"scorer 'perplexity': model '{model}' is not of the form hf/NAME.")
        from harness.models import Options
        from harness.models.hf import HFModel

        self._model = HFModel(name, Options())
        self.source = f"perplexity/{slug_of(name)}-{digest(self._model.identity())[:8]}@1"

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        texts = sorted(responses, key=lambda response: len(response.text))
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            for response, value in zip(batch, self._model.log_perplexity([one.text for one in batch])):
                reason = "" if value is not None else "the response has fewer than two tokens"
                value = None if value is None else round(value, 6)
                yield Score(response.item, response.sample, "log_perplexity", self.source, value, reason)


def slug_of(name: str) -> str:
    """Last part of a model's name."""
    return name.rstrip("/").rsplit("/", 1)[-1]
