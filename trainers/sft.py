"""Stage `sft`: supervised fine-tuning on prompts and responses. `checkpoint/` is the merged model, `adapter/` the adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from harness.errors import UsageError
from trainers import checkpoint, trl
from trainers.data import InputOutputDataset
from trainers.stage import CHECKPOINT


@dataclass(frozen=True, kw_only=True)
class Spec(trl.TrainSpec):
    """`data`: rows of prompt and response, or of messages (see `Columns`)."""

    augment: dict[str, float] = field(default_factory=dict)
    """Share of the rows to which each named augmentation is applied (`trainers.data.AUGMENTATIONS`)."""
    curriculum: bool = False
    """Whether rows come by their `difficulty`, easy ones first, in place of a shuffled order."""


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    with trl.opened("sft", Spec, path) as (spec, stage):
        if stage.done:
            return
        loaded = trl.load(spec, stage)
        rows = InputOutputDataset(Path(spec.data), loaded, spec.columns, trl.limit(spec, loaded), spec.augment)
        config = SFTConfig(
            **trl.arguments(spec, stage),
            max_length=None,
            train_sampling_strategy="sequential" if spec.curriculum else "random",
        )
        trainer = SFTTrainer(
            model=loaded.model,
            args=config,
            train_dataset=Dataset.from_list([rows[index] for index in _order(rows, spec, path)]),
            processing_class=loaded.tokenizer,
            peft_config=trl.adapter(spec, loaded),
        )
        if not trl.train(trainer, stage, {"entropy": "entropy", "mean_token_accuracy": "token_accuracy"}):
            return
        checkpoint.save_policy(trainer.model, loaded, stage.folder, merge=True)
        stage.finish(rows=len(rows), checkpoint_digest=checkpoint.checkpoint_digest(str(stage.folder / CHECKPOINT)))


def _order(rows: InputOutputDataset, spec: Spec, path: Path) -> list[int]:
    if not spec.curriculum:
        return list(range(len(rows)))
    if missing := next((index for index, row in enumerate(rows.rows, 1) if "difficulty" not in row), None):
        raise UsageError(
            f"{path}: a curriculum needs a 'difficulty' in every row; row {missing} of {spec.data} has none."
        )
    return sorted(range(len(rows)), key=lambda index: rows.rows[index]["difficulty"])
