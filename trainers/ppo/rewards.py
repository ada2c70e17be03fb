"""The rewards that a PPO run weighs against each other: trainers.rewards, and those that need the one backbone.

`gold` makes an oracle arm: it shows how far the optimiser gets, not how good a reward is. `length` alone is a control:
what it gains is what length gains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from trainers.data import Prompt
from trainers.ppo.backbone import Backbone
from trainers.ppo.rollouts import micro_batches, pack
from trainers.rewards import GOLD, Reward

KNOWN = (GOLD, "length")


def length(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
    """Tokens of the completion, in hundreds."""
    return [len(one) / 100 for one in completions]


class AdapterReward:
    """The reward adapter's score at a completion's last token, the place where it was trained to judge."""

    def __init__(self, backbone: Backbone, filler: int, size: int) -> None:
        assert backbone.reward_head is not None, "the backbone has no reward adapter"
        self.backbone, self.head, self.filler, self.size = backbone, backbone.reward_head, filler, size

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
        pairs = [(prompt.ids, completion) for prompt, completion in zip(prompts, completions)]
        scores = torch.zeros(len(pairs))
        with self.backbone.using("reward"):
            for places in micro_batches(pairs, self.size):
                packed = pack([pairs[i] for i in places], self.filler, self.backbone.model.device)
                states = self.backbone.hidden(packed.ids, packed.positions, packed.allowed)
                scores[places] = (states[packed.last].float() @ self.head.float()).cpu()
        return scores.tolist()


def have_facts(prompts: Sequence[Prompt]) -> bool:
    """Whether every prompt belongs to an item whose facts a simulator has computed, so that checks can score answers."""
    return all(one.item is not None and "states" in one.item.meta for one in prompts)


def weighted(weights: Mapping[str, float], known: Mapping[str, Reward]) -> Reward:
    """The weighted sum of rewards by name."""

    def total(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
        columns = [[weight * value for value in known[name](prompts, completions)] for name, weight in weights.items()]
        return [sum(values) for values in zip(*columns)]

    return total
