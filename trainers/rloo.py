"""Stage `rloo`: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024): RLHF without a critic, the control of PPO.

`checkpoint/` is an adapter on the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from harness.errors import UsageError
from harness.models import chat
from trainers import checkpoint, trl
from trainers.data import read_prompts
from trainers.ppo.maths import distinct
from trainers.rewards import is_oracle, open_reward
from trainers.stage import CHECKPOINT


@dataclass(frozen=True, kw_only=True)
class Spec(trl.TrainSpec):
    """`data`: rows with a prompt (pairs, conversations, items). `batch_size` x `accumulation` completions an update."""

    reward: str
    """The checkpoint of a reward model, or `gold` (an oracle arm: never ranked)."""
    beta: float = 0.05
    """Weight of the KL to the base."""
    generations: int = 4
    """Completions of each prompt."""
    max_new_tokens: int = 120
    temperature: float = 1.0


class _Trainer(RLOOTrainer):
    """RLOOTrainer that asks with our prompt tokens: its own tokenising may add special tokens to rendered text."""

    def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [chat.encode(self.processing_class, prompt) for prompt in prompts], None, {}


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    with trl.opened("rloo", Spec, path, checkpoints=("reward",)) as (spec, stage):
        if stage.done:
            return
        if spec.batch_size * spec.accumulation % spec.generations:
            raise UsageError(f"{path}: 'batch_size' x 'accumulation' must be a multiple of 'generations'.")
        loaded = trl.load(spec, stage)
        prompts = read_prompts(Path(spec.data), loaded, spec.columns, trl.limit(spec, loaded) - spec.max_new_tokens)
        judge = open_reward(spec.reward, loaded.tokenizer)

        seen: dict[str, float] = {}

        def reward(row: Sequence[int], completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
            seen["distinct"] = distinct([list(one) for one in completion_ids])
            return judge([prompts[index] for index in row], completion_ids)

        config = RLOOConfig(
            **trl.arguments(spec, stage),
            beta=spec.beta,
            num_generations=spec.generations,
            max_completion_length=spec.max_new_tokens,
            temperature=spec.temperature,
            remove_unused_columns=False,
            disable_dropout=True,
        )
        trainer = _Trainer(
            model=loaded.model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(
                [
                    {"prompt": chat.render(loaded.tokenizer, one.turns), "row": index}
                    for index, one in enumerate(prompts)
                ]
            ),
            processing_class=loaded.tokenizer,
            peft_config=trl.adapter(spec, loaded),
        )
        if not trl.train(trainer, stage, NAMES, lambda step, values: refine(values, seen)):
            return
        oracle = is_oracle(spec.reward)
        checkpoint.save_policy(trainer.model, loaded, stage.folder, merge=False, oracle=oracle)
        stage.finish(
            prompts=len(prompts),
            oracle=oracle or loaded.oracle,
            checkpoint_digest=checkpoint.checkpoint_digest(str(stage.folder / CHECKPOINT)),
        )


def refine(values: dict[str, Any], seen: dict[str, float]) -> None:
    """TRL tells the share of answers that did not come to an end; ours is the share that did. Adds what was seen."""
    values["ended"] = 1.0 - values["ended"]
    values |= seen


NAMES = {
    "reward": "reward",
    "reward_std": "reward_std",
    "kl": "reference_kl_per_token",
    "entropy": "entropy",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "ended",
    "frac_reward_zero_std": "no_signal",
}
