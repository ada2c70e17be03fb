"""The stage `ppo`: its spec, exact resume, validation at frontier checkpoints, stop rules, and the checkpoint that is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from harness import task as tasks
from harness.errors import UsageError
from harness.models import chat
from harness.models.checkpoint import MARK
from harness.record import write_json
from harness.types import Decoding
from trainers import checkpoint, preflight
from trainers.checkpoint import Loaded, Lora
from trainers.data import Columns, Prompt, read_prompts, require_file
from trainers.ppo import maths, rewards, rollouts
from trainers.ppo.algorithm import Algorithm, Trainer
from trainers.ppo.backbone import POLICY, Backbone
from trainers.ppo.ranks import Ranks
from trainers.ppo.rollouts import Episode
from trainers.rewards import Gold, Reward, is_oracle
from trainers.stage import Stage, StageSpec, load_tensors, read_spec, save_tensors

FRONTIER, VALUE_HEAD = "frontier", "value_head.safetensors"


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """The run ends after an iteration in which one of these holds."""

    reference_kl: float | None = None
    """nats per sequence above this"""
    ended: float = 0.1
    """share of episodes with an end of turn below this"""
    distinct: float = 0.2
    """different 3-grams over all answers below this share of the first iteration's"""


@dataclass(frozen=True, kw_only=True)
class Spec(StageSpec):
    """What to train. `base` is a checkpoint (an adapter is merged first), `data` JSONL rows with `prompt` and `item`."""

    base: str
    base_digest: str | None = None
    data: str
    columns: Columns = field(default_factory=Columns)
    validation: str
    """A task of the validation split, by name or by file: keeps the best checkpoint and draws the frontier."""
    validation_items: int = 100
    validation_samples: int = 2
    keep: Literal["gold", "reward"] = "gold"
    """Which mean on the validation items chooses the checkpoint that is kept."""
    frontier: int = 8
    """Checkpoints kept along the run, evenly spaced, each validated."""
    reward: str | dict[str, float]
    """`gold` (an oracle arm), `length` (a control) or the checkpoint of a reward stage; or several with their weights."""
    lora: Lora = field(default_factory=lambda: Lora(dropout=0.0))
    merge: bool = False
    ppo: Algorithm = field(default_factory=Algorithm)
    stop: StopRules = field(default_factory=StopRules)

    @property
    def weights(self) -> dict[str, float]:
        return {self.reward: 1.0} if isinstance(self.reward, str) else self.reward

    @property
    def reward_model(self) -> str | None:
        """The checkpoint among the rewards."""
        return next((name for name in self.weights if name not in rewards.KNOWN), None)


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    spec = read_spec(Spec, path)
    ranks = Ranks()
    _check(spec, path, ranks)
    preflight.require_fit("ppo", spec)
    torch.set_num_threads(spec.threads)
    inputs: dict[str, Path | str] = {
        "data": Path(spec.data),
        "base": checkpoint.require_digest(spec.base, spec.base_digest),
        "validation": tasks.load(spec.validation).digest,
    }
    if spec.reward_model:
        inputs["reward_model"] = checkpoint.checkpoint_digest(spec.reward_model)
    with Stage("ppo", spec, inputs) if ranks.main else nullcontext() as stage:
        done, start, state = ranks.share((stage.done, stage.step, stage.state) if stage else None)
        if done:
            return
        Run(spec, ranks, stage).train(start, state)


def _check(spec: Spec, path: Path, ranks: Ranks) -> None:
    require_file(Path(spec.data), path)
    how = spec.ppo
    if how.episodes % how.minibatch or how.minibatch % how.samples:
        raise UsageError(f"{path}: ppo.episodes must be a multiple of ppo.minibatch, and that one of ppo.samples.")
    if not 1 <= spec.frontier <= how.iterations:
        raise UsageError(f"{path}: frontier must be between 1 and ppo.iterations ({how.iterations}).")
    others = set(spec.weights) - set(rewards.KNOWN)
    if not spec.weights or len(others) > 1:
        raise UsageError(f"{path}: 'reward' must name {', '.join(rewards.KNOWN)} or one reward model's checkpoint.")
    if ranks.count > how.episodes // how.samples:
        raise UsageError(
            f"{path}: {ranks.count} processes, but an iteration has {how.episodes // how.samples} prompts."
        )
    if how.temperature <= 0:
        raise UsageError(f"{path}: ppo.temperature must be above 0; a greedy policy explores nothing.")


class Run:
    """One run of the stage in this process. `stage` is None in all processes but the first."""

    def __init__(self, spec: Spec, ranks: Ranks, stage: Stage | None) -> None:
        self.spec, self.ranks, self.stage = spec, ranks, stage
        self.output = Path(spec.output)
        preflight.require_fit("ppo", spec)
        self.loaded = checkpoint.load(spec.base, spec.lora, self.output / "base")
        folder = Path(spec.reward_model) if spec.reward_model else None
        if folder is not None:
            _require_same_base(folder, spec.base)
        self.backbone = Backbone(self.loaded.model, spec.lora.config(self.loaded.folder), spec.seed, folder)
        limit = self.loaded.context - spec.ppo.max_new_tokens
        self.prompts = read_prompts(Path(spec.data), self.loaded, spec.columns, limit)
        self.validation = validation_prompts(spec.validation, spec.validation_items, self.loaded)
        gold = Gold(self.loaded.tokenizer)
        known: dict[str, Reward] = {"gold": gold, "length": rewards.length}
        if spec.reward_model:
            known[spec.reward_model] = rewards.AdapterReward(self.backbone, self.loaded.pad, spec.ppo.micro_batch)
        self.measures = {"reward": rewards.weighted(spec.weights, known)}
        if rewards.have_facts(self.validation):
            self.measures["gold"] = gold
        if spec.keep not in self.measures or ("gold" in spec.weights and not rewards.have_facts(self.prompts)):
            raise UsageError("the gold score needs items with a simulator's facts; choose another 'keep' or 'reward'.")
        self.trainer = Trainer(spec.ppo, self.backbone, self.loaded, self.measures["reward"], spec.seed, ranks)
        points = (round(i * spec.ppo.iterations / spec.frontier) for i in range(spec.frontier + 1))
        self.points = sorted({*points})
        self.distinct = 0.0
        self.best: dict[str, float] = {}

    def train(self, start: int, state: Path | None) -> None:
        """Iterations from `start` to the end of the run or to a stop rule, then the checkpoint that is kept."""
        if state is not None:
            (saved,) = load_tensors(state, "ppo")
            self.trainer.load_state(saved["trainer"])
            self.distinct, self.best = saved["distinct"], saved["best"]
        else:
            self._validate(0)
        iterations, reason = self.spec.ppo.iterations, ""
        step = start
        for step in range(start + 1, iterations + 1):
            episodes, facts = self.trainer.iterate(step - 1, self.prompts)
            reason = self._stop(episodes, facts)
            if self.stage:
                self.stage.event(step, "ppo", steps=iterations, **facts)
            if step in self.points or reason:
                self._validate(step)
            if reason:
                break
            if step % self.spec.save_every == 0 and step < iterations:
                self._save(step)
        if self.stage:
            self._finish(self.stage, step, reason)

    def _stop(self, episodes: Sequence[Episode], facts: dict[str, float]) -> str:
        """Why the run ends after this iteration, or "". Adds the share of distinct 3-grams to `facts`."""
        rules = self.spec.stop
        facts["distinct"] = maths.distinct(self.ranks.gather([one.tokens for one in episodes]))
        self.distinct = self.distinct or facts["distinct"]
        if rules.reference_kl is not None and facts["reference_kl"] > rules.reference_kl:
            return f"the KL to the reference passed {rules.reference_kl} nats per sequence"
        if facts["ended"] < rules.ended:
            return f"fewer than {rules.ended:.0%} of the answers came to an end"
        if facts["distinct"] < rules.distinct * self.distinct:
            return f"the answers' distinct 3-grams fell below {rules.distinct:.0%} of the first iteration's"
        return ""

    def _validate(self, step: int) -> None:
        """Play the validation items, record reward and gold beside the KL, keep adapter, critic and episodes of `step`."""
        how, ranks = self.spec.ppo, self.ranks
        asked = [prompt for prompt in self.validation for _ in range(self.spec.validation_samples)]
        own = [i for i in range(len(asked)) if i // self.spec.validation_samples % ranks.count == ranks.rank]
        decoding = Decoding(how.max_new_tokens, how.temperature, seed=rollouts.noise(self.spec.seed, "validation"))
        episodes = rollouts.play(self.backbone, {i: asked[i] for i in own}, self.loaded, decoding, how.generation_batch)
        batch = self.trainer.measure(episodes)
        kls = (batch.kl * batch.mask).sum(1).tolist()
        scores = {name: self.trainer.score(one, episodes) for name, one in self.measures.items()}
        rows = [
            {
                "item": one.prompt.item.id if one.prompt.item else "",
                "index": one.index,
                "text": one.text,
                "ended": one.ended,
                "length": len(one.tokens),
                "reference_kl": kls[place],
                **{name: values[place] for name, values in scores.items()},
            }
            for place, one in enumerate(episodes)
        ]
        rows = ranks.gather(rows)
        columns = ("reference_kl", "length", "ended", *scores)
        means = {name: sum(row[name] for row in rows) / len(rows) for name in columns}
        if not self.best or means[self.spec.keep] > self.best["value"]:
            self.best = {"step": step, "value": means[self.spec.keep]}
        if self.stage:
            self.stage.event(step, "validation", **means, n=len(rows))
            folder = self._frontier(step)
            shutil.rmtree(folder, ignore_errors=True)
            self.backbone.peft.save_pretrained(str(folder), selected_adapters=[POLICY], safe_serialization=True)
            if self.oracle:
                write_json(folder / MARK, {"oracle": True})
            save_file(dict(self.backbone.value_head.state_dict()), folder / VALUE_HEAD)
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in sorted(rows, key=lambda row: row["index"]))
            (folder / "validation.jsonl").write_text("".join(lines), encoding="utf-8")

    @property
    def oracle(self) -> bool:
        """Whether the gold score trained this policy, its reward model or its base: then no board may rank it."""
        return any(is_oracle(name) for name in self.spec.weights) or self.loaded.oracle

    def _frontier(self, step: int) -> Path:
        return self.output / FRONTIER / f"step-{step:06d}"

    def _save(self, step: int) -> None:
        if self.stage:
            with self.stage.saving(step) as folder:
                save_tensors(
                    folder, ppo={"trainer": self.trainer.state(), "distinct": self.distinct, "best": self.best}
                )

    def _finish(self, stage: Stage, step: int, reason: str) -> None:
        """Write the best checkpoint and what the run was."""
        from peft import load_peft_weights, set_peft_model_state_dict

        best = self._frontier(int(self.best["step"]))
        peft = self.backbone.peft
        set_peft_model_state_dict(peft, load_peft_weights(str(best), device=str(peft.device)), POLICY)
        shutil.copy(best / VALUE_HEAD, self.output / VALUE_HEAD)
        if self.backbone.reward_head is not None:
            peft.delete_adapter("reward")
        checkpoint.save_policy(peft, self.loaded, self.output, merge=self.spec.merge, oracle=self.oracle)
        stage.finish(
            iterations=step,
            kept=self.best,
            oracle=self.oracle,
            stopped=reason,
            episodes=step * self.spec.ppo.episodes,
            processes=self.ranks.count,
            trainable=sum(one.numel() for one in self.backbone.state().values()),
        )


def validation_prompts(name: str, count: int, loaded: Loaded) -> list[Prompt]:
    """The first items of a validation task as prompts. Raises UsageError if one is of another split."""
    task = tasks.load(name)
    found = []
    for item in tasks.limited(task.items, count):
        if item.split != "validation":
            raise UsageError(
                f"the task {name} holds the item {item.id} of the split '{item.split}'. Only items of the split 'validation' may choose a checkpoint."
            )
        turns = list(tasks.prompt(task, item))
        found.append(Prompt(chat.encode(loaded.tokenizer, chat.render(loaded.tokenizer, turns)), turns, {}, item))
    return found


def _require_same_base(folder: Path, own: str) -> None:
    """Raises UsageError if the reward adapter was trained on other weights than the policy starts from."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = str(config["base_model_name_or_path"])
    if checkpoint.checkpoint_digest(base) != checkpoint.checkpoint_digest(own):
        raise UsageError(
            f"the reward model {folder} was trained on {base}, whose weights are not the base's. One backbone carries both "
            "adapters, so train the reward model on the checkpoint that PPO starts from."
        )
