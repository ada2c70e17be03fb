"""What the stages on TRL share: the common part of their specs, and a trainer that keeps our records and resumes exactly.

TRL trains; ours are the data, the events (one a step), the states and the result. TRL's own logging and its progress
bars are off, its state folders are moved into the stage's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from transformers import PrinterCallback, TrainerCallback, set_seed

from harness.errors import UsageError
from harness.record import read_lines
from trainers import checkpoint, preflight
from trainers.checkpoint import Loaded, Lora
from trainers.data import Columns, require_file
from trainers.rewards import GOLD
from trainers.stage import EVENTS, Stage, StageSpec, read_spec


@dataclass(frozen=True, kw_only=True)
class TrainSpec(StageSpec):
    """What is trained on what, and how. Rates are for adapters; all weights (`lora: null`) need lower ones."""

    base: str
    """A folder (checkpoint or adapter) or a name of the hub."""
    base_digest: str | None = None
    """Refuse another base than this one ('checkpoint_digest' in the result of the stage that made it)."""
    data: str
    columns: Columns = field(default_factory=Columns)
    epochs: float = 1.0
    steps: int | None = None
    """Updates; in place of epochs."""
    batch_size: int = 8
    """Rows that go through the model together."""
    accumulation: int = 1
    """Batches that make one update."""
    learning_rate: float = 1e-4
    warmup: float = 0.05
    """Share of the updates in which the rate rises; it falls to 0 afterwards."""
    schedule: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int | None = None
    """Longest row in tokens; the model's context by default. Longer rows are refused."""
    gradient_checkpointing: bool = False
    lora: Lora | None = field(default_factory=Lora)


T = TypeVar("T", bound=TrainSpec)


@contextmanager
def opened(name: str, kind: type[T], path: Path, checkpoints: tuple[str, ...] = ()) -> Iterator[tuple[T, Stage]]:
    """The spec at `path` and its stage, whose identity covers the base, the data and the `checkpoints` (spec keys)."""
    spec = read_spec(kind, path)
    if spec.batch_size < 1 or spec.accumulation < 1 or (spec.steps is not None and spec.steps < 1):
        raise UsageError(f"{path}: 'batch_size', 'accumulation' and 'steps' must be at least 1.")
    require_file(Path(spec.data), path)
    inputs: dict[str, Path | str] = {
        "data": Path(spec.data),
        "base": checkpoint.require_digest(spec.base, spec.base_digest),
    }
    for key in checkpoints:
        name_or_folder = getattr(spec, key)
        inputs[key] = name_or_folder if name_or_folder == GOLD else checkpoint.checkpoint_digest(name_or_folder)
    ranks = PartialState(cpu=not torch.cuda.is_available())
    with ranks.main_process_first():  # the others read what it has claimed
        stage = Stage(name, spec, inputs, main=ranks.is_main_process)
    with stage:
        set_seed(spec.seed)
        yield spec, stage


def load(spec: TrainSpec, stage: Stage) -> Loaded:
    """The base of a stage; one that is an adapter is merged into `base/`.

    Raises EnvironmentProblem before anything is loaded if the training will not fit into memory.
    """
    preflight.require_fit(stage.name, spec)
    merged = stage.folder / ("base" if stage.main else f".base-{PartialState().process_index}")
    return checkpoint.load(spec.base, spec.lora, merged)


def limit(spec: TrainSpec, loaded: Loaded) -> int:
    """Longest row in tokens."""
    return min(spec.max_length or loaded.context, loaded.context)


def arguments(spec: TrainSpec, stage: Stage) -> dict[str, Any]:
    """Settings of a TRL config that follow from the spec."""
    return {
        "output_dir": str(stage.folder / ".trl"),
        "seed": spec.seed,
        "num_train_epochs": spec.epochs,
        "max_steps": spec.steps or -1,
        "per_device_train_batch_size": spec.batch_size,
        "gradient_accumulation_steps": spec.accumulation,
        "learning_rate": spec.learning_rate,
        "warmup_steps": spec.warmup,
        "lr_scheduler_type": spec.schedule,
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "gradient_checkpointing": spec.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": spec.save_every,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def adapter(spec: TrainSpec, loaded: Loaded, *, head: bool = False) -> Any:
    """PEFT's configuration for a TRL trainer, or None when all weights are trained."""
    return spec.lora.config(loaded.folder, head=head) if spec.lora else None


Refine = Callable[[int, dict[str, Any]], None]
"""Looks at the values of an update before they are written, and adds what follows from them."""


class Record(TrainerCallback):
    """Writes our events, and keeps the trainer's states as ours: moved into the stage's folder once they are whole."""

    def __init__(self, stage: Stage, names: Mapping[str, str], refine: Refine | None) -> None:
        """`names`: which of TRL's values go into the events, and under what name."""
        self.stage, self._refine = stage, refine
        self._names = {
            "loss": "loss",
            "learning_rate": "learning_rate",
            "grad_norm": "grad_norm",
            "num_tokens": "tokens",
        }
        self._names.update(names)
        past = [row["tokens"] for row in read_lines(stage.folder / EVENTS) if "tokens" in row]
        self._tokens_before = past[-1] if stage.step and past else 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tokens_before -= state.num_input_tokens_seen  # some of TRL's trainers keep their count in the state

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs or not self.stage.main:
            return
        values = {ours: logs[theirs] for theirs, ours in self._names.items() if theirs in logs}
        if "tokens" in values:
            values["tokens"] = int(values["tokens"]) + self._tokens_before
        if self._refine:
            self._refine(state.global_step, values)
        self.stage.event(state.global_step, self.stage.name, steps=state.max_steps, **values)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes the state of its random numbers
        if not self.stage.main:
            return
        made = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        with self.stage.saving(state.global_step) as folder:
            for part in made.iterdir():
                shutil.move(str(part), folder / part.name)
        made.rmdir()


def train(trainer: Any, stage: Stage, names: Mapping[str, str], refine: Refine | None = None) -> bool:
    """Run a TRL trainer to its end, from the stage's newest whole state if there is one.

    Returns whether this process is the one that writes what was made.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Record(stage, names, refine))
    try:
        trainer.train(resume_from_checkpoint=str(stage.state) if stage.state else None)
    finally:
        if stage.main:
            shutil.rmtree(trainer.args.output_dir, ignore_errors=True)
    PartialState().wait_for_everyone()
    shutil.rmtree(stage.folder / f".base-{PartialState().process_index}", ignore_errors=True)
    return stage.main
