"""Best of n as a model, `best-of/N/REWARD_CHECKPOINT`: the policy is sampled N times, the reward model picks.

The policy is the checkpoint that the reward model was trained on. What an optimiser of this reward gains should be held
against this: it is what the reward knows without any training of the policy (Stiennon et al. 2020, Gao et al. 2023).
Memory: policy and reward model beside each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.models import Options, chat, hf
from harness.models.checkpoint import folders
from harness.types import Decoding, Failure, Request, Response
from trainers import checkpoint
from trainers.rewards import RewardModel, is_oracle


class BestOf:
    """The answer that the reward model scores highest of `count` drawn ones.

    A Failure if the policy failed on one of them. Its latency is that of the slowest of the n, which are drawn side by
    side, its tokens those of the answer that is given.
    """

    def __init__(self, name: str, options: Options) -> None:
        self.name = f"best-of/{name}"
        count, _, folder = name.partition("/")
        if not count.isdecimal() or int(count) < 2 or not folder:
            raise UsageError(
                f"model '{self.name}' must be best-of/N/FOLDER, N at least 2 and FOLDER a reward checkpoint."
            )
        self.count, self._reward = int(count), Path(folder)
        found = folders(checkpoint.place(folder))
        if found.adapter is None:
            raise UsageError(f"the reward model {folder} is no adapter, so the policy it was trained on is not known.")
        self._policy = hf.HFModel(str(found.base), options)
        self._judge: RewardModel | None = None

    def identity(self) -> dict[str, Any]:
        oracle = {"oracle": True} if is_oracle(str(self._reward)) else {}
        judge = checkpoint.checkpoint_digest(str(self._reward))
        return {**self._policy.identity(), **oracle, "provider": "best-of", "count": self.count, "reward": judge}

    def load(self) -> None:
        self._policy.load()
        self._judge = self._judge or RewardModel(self._reward)

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Response | Failure]:
        """Sampled at the decoding's temperature, at 1 where that is greedy: n greedy answers are one."""
        self.load()
        how = replace(decoding, temperature=decoding.temperature or 1.0)
        asked = {(one.item.id, one.sample): one for one in requests}
        drawn: dict[tuple[str, int], list[Response | Failure]] = defaultdict(list)
        tries = [
            replace(one, sample=one.sample * self.count + number) for one in requests for number in range(self.count)
        ]
        for outcome in self._policy.generate(tries, how):
            key = (outcome.item, outcome.sample // self.count)
            drawn[key].append(outcome)
            if len(drawn[key]) == self.count:
                yield self._best(asked[key], drawn.pop(key))

    def _best(self, request: Request, drawn: Sequence[Response | Failure]) -> Response | Failure:
        failed = next((one for one in drawn if isinstance(one, Failure)), None)
        if failed:
            return replace(failed, sample=request.sample)
        answers = sorted((one for one in drawn if isinstance(one, Response)), key=lambda one: one.sample)
        assert self._judge is not None, "load() makes it"
        prompt = self._policy.tokens(request.messages)
        scores = self._judge.scores([prompt + self._tokens(one) for one in answers])
        best = answers[scores.index(max(scores))]
        slowest = max(one.latency_s for one in answers if one.latency_s is not None)
        return replace(best, sample=request.sample, latency_s=slowest, first_token_s=None)

    def _tokens(self, answer: Response) -> list[int]:
        """The answer as the reward model was trained to read it: up to the token that ends the turn."""
        assert self._judge is not None, "load() makes it"
        end = [self._judge.tokenizer.eos_token_id] if answer.finish_reason == "stop" else []
        return [*chat.encode(self._judge.tokenizer, answer.text), *end]


def open_model(name: str, options: Options) -> BestOf:
    return BestOf(name, options)
