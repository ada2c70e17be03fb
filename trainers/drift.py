"""Stage `drift`: how far a policy has moved from the checkpoint it began with, and what its answers are then worth.

Nothing is trained. The policy answers items of a validation task; the one event is a point of the frontier "gold score
against KL", as the stage `ppo` writes them along its run, so that all methods can be drawn into one figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, load_peft_weights, set_peft_model_state_dict

from harness import task as tasks
from harness.errors import UsageError
from harness.models.checkpoint import folders
from harness.types import Decoding
from trainers import checkpoint
from trainers.checkpoint import Lora
from trainers.ppo import rewards, rollouts
from trainers.ppo.backbone import POLICY, Backbone
from trainers.ppo.stage import validation_prompts
from trainers.rewards import Gold
from trainers.stage import Stage, StageSpec, read_spec


@dataclass(frozen=True, kw_only=True)
class Spec(StageSpec):
    """`policy` is an adapter, `base` what it was trained on; `validation` a task of the validation split."""

    base: str
    policy: str
    validation: str
    validation_items: int = 100
    validation_samples: int = 2
    max_new_tokens: int = 120
    temperature: float = 1.0
    batch_size: int = 64
    lora: Lora = field(default_factory=Lora)
    """Only its `quantize` counts: how the base is loaded."""


def run(path: Path) -> None:
    """Measure as the spec at `path` says."""
    spec = read_spec(Spec, path)
    folder = folders(checkpoint.place(spec.policy)).adapter
    if folder is None:
        raise UsageError(
            f"{path}: the policy {spec.policy} is no adapter, so it has no reference on the same backbone."
        )
    inputs: dict[str, Path | str] = {
        "base": checkpoint.checkpoint_digest(spec.base),
        "policy": checkpoint.checkpoint_digest(spec.policy),
        "validation": tasks.load(spec.validation).digest,
    }
    with Stage("drift", spec, inputs) as stage:
        if stage.done:
            return
        facts = measure(spec, folder, stage.folder / "base")
        stage.event(0, "validation", **facts)
        stage.finish(**facts)


def measure(spec: Spec, folder: Path, merged: Path) -> dict[str, float]:
    """Means over sampled answers to the validation items: exact KL in nats per sequence, length, endings, gold score."""
    loaded = checkpoint.load(spec.base, spec.lora, merged)
    backbone = Backbone(loaded.model, LoraConfig.from_pretrained(str(folder)), spec.seed)
    weights = load_peft_weights(str(folder), device=str(backbone.model.device))
    set_peft_model_state_dict(backbone.peft, weights, POLICY)
    prompts = validation_prompts(spec.validation, spec.validation_items, loaded)
    asked = dict(enumerate(prompt for prompt in prompts for _ in range(spec.validation_samples)))
    decoding = Decoding(spec.max_new_tokens, spec.temperature, seed=rollouts.noise(spec.seed, "validation"))
    with torch.no_grad():
        episodes = rollouts.play(backbone, asked, loaded, decoding, spec.batch_size)
    batch = rollouts.measure(backbone, episodes, loaded.pad, spec.temperature, spec.batch_size)
    count = len(episodes)
    facts = {
        "reference_kl": float((batch.kl * batch.mask).sum()) / count,
        "length": float(batch.mask.sum()) / count,
        "ended": sum(one.ended for one in episodes) / count,
        "n": count,
    }
    if rewards.have_facts(prompts):
        scores = Gold(loaded.tokenizer)([one.prompt for one in episodes], [one.tokens for one in episodes])
        facts["gold"] = sum(scores) / count
    return facts
