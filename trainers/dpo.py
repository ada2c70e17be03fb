"""Stage `dpo`: direct preference optimisation (Rafailov et al. 2023) on pairs. `checkpoint/` is an adapter on the base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from harness.errors import EnvironmentProblem, UsageError
from trainers import checkpoint, trl
from trainers.data import labelled_by_gold, read_pairs
from trainers.stage import CHECKPOINT

LOSSES = {
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
}


@dataclass(frozen=True, kw_only=True)
class Spec(trl.TrainSpec):
    """`data`: rows of prompt, chosen and rejected (see `Columns`)."""

    beta: float = 0.1
    """How dear it is to leave the reference: larger stays nearer."""
    losses: tuple[str, ...] = ("sigmoid", "sft")
    """TRL's loss types, added up. The SFT term keeps small models fluent (docs/model_training.md)."""
    weights: tuple[float, ...] = ()
    """One for each loss; all 1 by default."""
    label_smoothing: float = 0.0


class _Trainer(DPOTrainer):
    """DPOTrainer on our token ids: its own preparation would render and cut the text once more."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    with trl.opened("dpo", Spec, path) as (spec, stage):
        if unknown := next((one for one in spec.losses if one not in LOSSES), None):
            raise UsageError(f"{path}: unknown loss '{unknown}'. TRL has {', '.join(sorted(LOSSES))}.")
        if stage.done:
            return
        loaded = trl.load(spec, stage)
        pairs = read_pairs(Path(spec.data), loaded, spec.columns, trl.limit(spec, loaded))
        rows = [{"prompt_ids": one.prompt.ids, "chosen_ids": one.chosen, "rejected_ids": one.rejected} for one in pairs]
        config = DPOConfig(
            **trl.arguments(spec, stage),
            max_length=None,
            beta=spec.beta,
            loss_type=list(spec.losses),
            loss_weights=list(spec.weights) or None,
            label_smoothing=spec.label_smoothing,
            disable_dropout=True,
        )
        trainer = _Trainer(
            model=loaded.model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
            peft_config=trl.adapter(spec, loaded),
        )
        if not trl.train(trainer, stage, NAMES, lambda step, values: watch(spec, step, values)):
            return
        oracle = labelled_by_gold(pairs)
        checkpoint.save_policy(trainer.model, loaded, stage.folder, merge=False, oracle=oracle)
        stage.finish(
            pairs=len(pairs),
            oracle=oracle or loaded.oracle,
            checkpoint_digest=checkpoint.checkpoint_digest(str(stage.folder / CHECKPOINT)),
        )


def watch(spec: Spec, step: int, values: dict[str, Any]) -> None:
    """Adds the chosen answers' drift in nats to the values of an update.

    Before the first update the policy is the reference: margin 0, a sigmoid loss of ln 2. Raises EnvironmentProblem if
    it is not, which means that the reference is another model (an adapter that was not merged).
    """
    if step == 1 and abs(values["margin"]) > 1e-3:
        raise EnvironmentProblem(
            f"dpo: at the first step the margin is {values['margin']:.4f}, not 0: the reference is not the model that "
            "training begins with. Merge the base's adapter first."
        )
    values["chosen_drift"] = values["chosen_reward"] / spec.beta


NAMES = {
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "logps/chosen": "chosen_logp",
    "logps/rejected": "rejected_logp",
    "entropy": "entropy",
}
"""chosen_reward is beta times the drift of the chosen answers' log-probability from the reference."""
