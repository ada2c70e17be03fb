"""Stage `reward`: a reward model from preference pairs (Bradley-Terry). `checkpoint/` is the adapter and the head.

A part of the pairs is held out; how often the preferred answer gets the higher score is told for each kind of rejected
answer, and how well the differences are calibrated as probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from harness.errors import UsageError
from trainers import checkpoint, trl
from trainers.data import Pair, labelled_by_gold, read_pairs
from trainers.rewards import RewardModel
from trainers.stage import CHECKPOINT


@dataclass(frozen=True, kw_only=True)
class Spec(trl.TrainSpec):
    """`data`: rows of prompt, chosen and rejected (see `Columns`); `kind` says what is wrong with the rejected one."""

    held_out: float = 0.1
    """Share of the prompts kept for measuring, at least one."""
    center: float = 0.01
    """Pull of the scores towards a mean of 0 (Eisenstein et al. 2023)."""


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    with trl.opened("reward", Spec, path) as (spec, stage):
        if stage.done:
            return
        loaded = trl.load(spec, stage)
        pairs = read_pairs(Path(spec.data), loaded, spec.columns, trl.limit(spec, loaded))
        training, held = split(pairs, spec.held_out)
        if not training or not held:
            raise UsageError(f"{path}: {len(pairs)} pairs cannot be split; give more pairs or another 'held_out'.")
        trainer = RewardTrainer(
            model=checkpoint.with_head(loaded.model, spec.seed),
            args=RewardConfig(
                **trl.arguments(spec, stage),
                max_length=None,
                center_rewards_coefficient=spec.center,
                disable_dropout=False,
            ),
            train_dataset=Dataset.from_list([_row(pair) for pair in training]),
            processing_class=loaded.tokenizer,
            peft_config=trl.adapter(spec, loaded, head=True),
        )
        if not trl.train(trainer, stage, {"accuracy": "accuracy", "margin": "margin", "mean_reward": "reward"}):
            return
        checkpoint.save_reward(trainer.model, loaded, stage.folder, oracle=labelled_by_gold(pairs))
        del trainer, loaded  # a GPU need not hold the model twice
        judge = RewardModel(stage.folder / CHECKPOINT)
        stage.finish(
            pairs=len(training),
            held_out=report(judge, held),
            checkpoint_digest=checkpoint.checkpoint_digest(str(stage.folder / CHECKPOINT)),
        )


def _row(pair: Pair) -> dict[str, list[int]]:
    return {"chosen_ids": pair.prompt.ids + pair.chosen, "rejected_ids": pair.prompt.ids + pair.rejected}


def split(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """(for training, held out): all pairs of a prompt fall on one side, whatever the stage's seed."""
    prompts = sorted({tuple(pair.prompt.ids) for pair in pairs})
    Random(0).shuffle(prompts)
    held = set(prompts[: max(1, round(share * len(prompts)))])
    sides: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        sides[tuple(pair.prompt.ids) in held].append(pair)
    return sides


def report(judge: RewardModel, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Accuracy with n for all pairs and each kind, and calibration: Brier score and log loss of sigmoid(difference)."""
    chosen = judge.scores([pair.prompt.ids + pair.chosen for pair in pairs])
    rejected = judge.scores([pair.prompt.ids + pair.rejected for pair in pairs])
    margins = [a - b for a, b in zip(chosen, rejected)]
    kinds = sorted({pair.kind for pair in pairs})
    by_kind = {kind: _accuracy([m for m, pair in zip(margins, pairs) if pair.kind == kind]) for kind in kinds}
    chances = torch.sigmoid(torch.tensor(margins, dtype=torch.float64))
    return {
        **_accuracy(margins),
        "by_kind": by_kind,
        "brier": float(((1 - chances) ** 2).mean()),
        "log_loss": float(-chances.clamp_min(1e-12).log().mean()),
        "bins": _bins(chances.tolist()),
    }


def _accuracy(margins: Sequence[float]) -> dict[str, Any]:
    right = sum(1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in margins)
    return {"accuracy": right / len(margins), "n": len(margins)}


def _bins(chances: Sequence[float], count: int = 5) -> list[dict[str, float]]:
    """Calibration: pairs by how sure the model is of its own preference, with how often that preference is right."""
    sure = [(max(chance, 1 - chance), chance > 0.5) for chance in chances]
    found = []
    for index in range(count):
        low = 0.5 + 0.5 * index / count
        inside = [
            right for value, right in sure if low <= value < low + 0.5 / count or (index == count - 1 and value == 1)
        ]
        if inside:
            confidence = math.fsum(
                value for value, _ in sure if low <= value < low + 0.5 / count or (index == count - 1 and value == 1)
            )
            found.append(
                {"confidence": confidence / len(inside), "accuracy": sum(inside) / len(inside), "n": len(inside)}
            )
    return found
