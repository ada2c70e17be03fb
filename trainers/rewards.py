"""Where rewards come from: a reward model, or the gold score of the checks (oracle arms only, never ranked).

A reward takes prompts and completions as token ids and gives one number each, whatever trainer asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from transformers import PreTrainedTokenizerBase

from harness import rubric
from harness.errors import UsageError
from harness.models.checkpoint import is_oracle as is_marked
from harness.rubric import gold_score
from harness.scorers.checks import check
from trainers import checkpoint
from trainers.data import Prompt

GOLD = "gold"


class Reward(Protocol):
    """Scores completions (token ids, with the end of the turn if they ended) of prompts."""

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]: ...


class RewardModel:
    """The reward model that the stage `reward` wrote, merged and frozen."""

    def __init__(self, folder: Path, batch_size: int = 32) -> None:
        self.model, self.tokenizer = checkpoint.load_reward(folder)
        self._batch_size = batch_size

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
        return self.scores([[*prompt.ids, *completion] for prompt, completion in zip(prompts, completions)])

    @torch.no_grad()
    def scores(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """The score of each row of token ids, read at its last token."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found = [0.0] * len(rows)
        pad = self.tokenizer.pad_token_id
        for start in range(0, len(order), self._batch_size):
            part = order[start : start + self._batch_size]
            width = max(len(rows[index]) for index in part)
            ids = torch.tensor([[*rows[index], *[pad] * (width - len(rows[index]))] for index in part])
            mask = torch.tensor([[1] * len(rows[index]) + [0] * (width - len(rows[index])) for index in part])
            place = self.model.device
            logits = self.model(input_ids=ids.to(place), attention_mask=mask.to(place)).logits
            for index, value in zip(part, logits[:, 0].float().tolist()):
                found[index] = value
        return found


class Gold:
    """The gold score of the rubric, computed by the checks from the item's facts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rubric_name: str = "guidance") -> None:
        self._tokenizer, self._rubric = tokenizer, rubric.load(rubric_name)

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
        found = []
        for prompt, completion in zip(prompts, completions):
            if prompt.item is None:
                raise UsageError("the gold score needs the item's facts: the data must hold an 'item' in every row.")
            text = str(self._tokenizer.decode(list(completion), skip_special_tokens=True)).strip()
            values = {name: value for name, (value, _) in check(prompt.item, text).items()}
            found.append(gold_score(self._rubric, values) or 0.0)
        return found


def is_oracle(name: str) -> bool:
    """Whether a reward is the gold score, or a reward model that learnt the gold score's own labels."""
    return name == GOLD or is_marked(Path(name))


def open_reward(name: str, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """`gold`, or the folder of a reward model. Raises UsageError if it reads other tokens than the policy writes."""
    if name == GOLD:
        return Gold(tokenizer)
    model = RewardModel(Path(name))
    if model.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise UsageError(f"the reward model {name} has another vocabulary than the policy. Train it on the same base.")
    return model
