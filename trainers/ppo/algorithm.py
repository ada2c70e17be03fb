"""Proximal policy optimisation of one policy: an iteration is play, measure, reward, update, and the two control loops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.errors import EnvironmentProblem
from harness.types import Decoding
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo import maths, rollouts
from trainers.ppo.backbone import Backbone
from trainers.ppo.ranks import Ranks
from trainers.ppo.rollouts import Batch, Episode, noise
from trainers.rewards import Reward

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}
"""Largest mean difference in nats between a token's log-probability when it was drawn and when it is computed again."""


@dataclass(frozen=True, kw_only=True)
class UpdateKL:
    """The loop on the learning rate: see maths.RateControl. KL(old || new) of an iteration in nats per sequence."""

    target: float = 0.1
    factor: float = 1.5
    low: float = 0.05
    high: float = 5.0
    stop: float = 1.5
    """The epochs of an iteration end once a minibatch's KL exceeds this multiple of the target."""


@dataclass(frozen=True, kw_only=True)
class ReferenceKL:
    """The loop on the penalty: see maths.PenaltyControl. KL(policy || reference) in nats per sequence."""

    coefficient: float = 0.05
    target: float | None = None
    """None: the coefficient is fixed."""
    horizon: float = 0.1
    """Fraction of the run."""
    floor: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The settings of PPO itself."""

    iterations: int = 40
    episodes: int = 256
    """Episodes an iteration, of all processes together."""
    samples: int = 4
    """Episodes a prompt; they share its computation, and a minibatch holds all of them."""
    epochs: int = 2
    minibatch: int = 64
    micro_batch: int = 32
    """Episodes in one forward pass with gradients; changes memory, not results (but for the last bits)."""
    generation_batch: int = 256
    max_new_tokens: int = 256
    temperature: float = 1.0
    learning_rate: float = 1e-4
    value_learning_rate: float = 1e-2
    warmup: float = 0.05
    clip: float = 0.2
    value_clip: float = 0.5
    discount: float = 1.0
    decay: float = 0.95
    """lambda of the generalised advantage estimate."""
    max_grad_norm: float = 1.0
    normalise: bool = True
    """Bring scores to deviation 1 by all scores so far, clipped to +-5."""
    missing_end: float = 1.0
    """What an episode loses that was cut off before its end of turn, after normalising."""
    gradient_checkpointing: bool = False
    update_kl: UpdateKL = field(default_factory=UpdateKL)
    reference_kl: ReferenceKL = field(default_factory=ReferenceKL)


class Trainer:
    """The state of a run between iterations, and what one iteration does to it."""

    def __init__(
        self, how: Algorithm, backbone: Backbone, loaded: Loaded, reward: Reward, seed: int, ranks: Ranks
    ) -> None:
        self.how, self.backbone, self.loaded, self.reward = how, backbone, loaded, reward
        self.seed, self.ranks = seed, ranks
        self.policy = list(backbone.policy_parameters().values())
        self.critic = list(backbone.value_head.parameters())
        self.optimizer = torch.optim.AdamW(
            [{"params": self.policy}, {"params": self.critic}], lr=how.learning_rate, weight_decay=0.0
        )
        update, reference = how.update_kl, how.reference_kl
        self.rate = maths.RateControl(update.target, update.factor, update.low, update.high)
        horizon = max(1.0, reference.horizon * how.iterations)
        self.penalty = maths.PenaltyControl(reference.coefficient, reference.target, horizon, reference.floor)
        self.normaliser = maths.ScoreNormaliser.new(5.0)
        self.tokens = 0
        if how.gradient_checkpointing:
            backbone.model.activation_checkpointing_enable({"use_reentrant": False})

    def state(self) -> dict[str, Any]:
        """All that the next iteration depends on. Draws come from (seed, iteration), so no generator has a state."""
        return {
            "weights": self.backbone.state(),
            "optimizer": self.optimizer.state_dict(),
            "multiplier": self.rate.multiplier,
            "coefficient": self.penalty.coefficient,
            "moments": self.normaliser.moments,
            "tokens": self.tokens,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.backbone.load_state(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.multiplier = state["multiplier"]
        self.penalty.coefficient = state["coefficient"]
        self.normaliser.moments = state["moments"]
        self.tokens = state["tokens"]

    def iterate(self, iteration: int, prompts: Sequence[Prompt]) -> tuple[list[Episode], dict[str, float]]:
        """Iteration number `iteration` (from 0): this process's episodes, and what happened in all processes."""
        clock = Clock()
        how = self.how
        asked = rollouts.prompts_of(prompts, self.seed, iteration, how.episodes // how.samples)
        own = [i for i in range(how.episodes) if i // how.samples % self.ranks.count == self.ranks.rank]
        decoding = Decoding(how.max_new_tokens, how.temperature, seed=noise(self.seed, "play", iteration))
        episodes = rollouts.play(
            self.backbone, {i: asked[i // how.samples] for i in own}, self.loaded, decoding, how.generation_batch
        )
        clock.lap("generate")
        batch = self.measure(episodes)
        facts = self._facts(batch) | {"prompt_tokens": sum(len(one.ids) for one in asked)}
        self.tokens += round(facts["tokens"])
        clock.lap("measure")
        raw = torch.tensor(self.score(self.reward, episodes), device=batch.mask.device)
        clock.lap("reward")
        facts |= self.assign(batch, raw)
        facts |= self._update(batch, iteration)
        update_kl = self._update_kl(batch)
        clock.lap("update")
        self.rate.update(update_kl["update_kl"])
        self.penalty.update(facts["reference_kl"])
        self.ranks.require_equal(self.backbone.state())
        return episodes, {**facts, **update_kl, **clock.laps, "tokens": self.tokens}

    @staticmethod
    def score(reward: Reward, episodes: Sequence[Episode]) -> list[float]:
        return reward([one.prompt for one in episodes], [one.tokens for one in episodes])

    def measure(self, episodes: list[Episode]) -> Batch:
        """See rollouts.measure. Raises EnvironmentProblem if a token is not as likely as when it was drawn."""
        how = self.how
        batch = rollouts.measure(self.backbone, episodes, self.loaded.pad, how.temperature, how.micro_batch)
        sampled = torch.zeros_like(batch.logp)
        for row, one in enumerate(episodes):
            sampled[row, : len(one.sampled)] = sampled.new_tensor(one.sampled)
        gap = float(maths.masked_mean((sampled - batch.logp).abs(), batch.mask))
        if gap > TOLERANCE.get(self.backbone.model.dtype, 0.1):
            raise EnvironmentProblem(
                f"the policy's log-probabilities are {gap:.2g} nats a token off those that were sampled from, so the updates "
                "would follow another policy. This model may not support left padding or a key-value cache here."
            )
        return batch

    def assign(self, batch: Batch, raw: Tensor) -> dict[str, float]:
        """Turn the episodes' rewards into advantages and returns of their tokens."""
        how, ranks = self.how, self.ranks
        moments = ranks.sum(maths.moments_of(raw))
        self.normaliser.update(moments)
        ended = raw.new_tensor([one.ended for one in batch.episodes])
        scores = (self.normaliser(raw) if how.normalise else raw) - how.missing_end * (1 - ended)
        rewards = maths.token_rewards(scores, batch.logp, batch.reference_logp, batch.mask, self.penalty.coefficient)
        advantages, batch.returns = maths.advantages(rewards, batch.values, batch.mask, how.discount, how.decay)
        batch.advantages = maths.whiten(advantages, batch.mask, ranks.sum(maths.moments_of(advantages, batch.mask)))
        mean, deviation = maths.mean_and_deviation(moments)
        spread = ranks.sum(maths.moments_of(batch.returns, batch.mask))
        rest = ranks.sum(maths.moments_of(batch.returns - batch.values, batch.mask))
        return {
            "reward": mean,
            "reward_deviation": deviation,
            "coefficient": self.penalty.coefficient,
            "explained_variance": maths.explained_variance(rest, spread),
        }

    def _facts(self, batch: Batch) -> dict[str, float]:
        """Means over all processes' episodes: both units of the KL to the reference, length, endings, entropy."""
        mask = batch.mask
        sums = [mask.sum(), (batch.kl * mask).sum(), (batch.entropy * mask).sum(), mask.new_tensor(len(mask))]
        sums += [mask.new_tensor(float(sum(one.ended for one in batch.episodes)))]
        tokens, kl, entropy, count, ended = self.ranks.sum(torch.stack(sums)).tolist()
        return {
            "reference_kl": kl / count,
            "reference_kl_per_token": kl / tokens,
            "entropy": entropy / tokens,
            "length": tokens / count,
            "ended": ended / count,
            "tokens": tokens,
        }

    def _update(self, batch: Batch, iteration: int) -> dict[str, float]:
        """The epochs over one batch, ended early when a minibatch has moved too far."""
        how = self.how
        factor = maths.schedule(iteration, how.iterations, how.warmup)
        policy, critic = self.optimizer.param_groups
        policy["lr"] = how.learning_rate * factor * self.rate.multiplier
        critic["lr"] = how.value_learning_rate * factor
        places = {one.index: place for place, one in enumerate(batch.episodes)}
        steps: list[dict[str, float]] = []
        stopped = False
        for epoch in range(how.epochs):
            draw = torch.Generator().manual_seed(noise(self.seed, "epoch", iteration, epoch))
            order = torch.randperm(how.episodes // how.samples, generator=draw)
            for prompts in order.split(how.minibatch // how.samples):
                chosen = [int(prompt) * how.samples + sample for prompt in prompts for sample in range(how.samples)]
                found = self._gradients(batch, [places[i] for i in chosen if i in places], len(chosen))
                stopped = found["kl"] > how.update_kl.stop * how.update_kl.target
                if stopped:
                    break
                found["grad_norm"] = float(torch.nn.utils.clip_grad_norm_(self.policy, how.max_grad_norm))
                found["value_grad_norm"] = float(torch.nn.utils.clip_grad_norm_(self.critic, how.max_grad_norm))
                self.optimizer.step()
                steps.append(found)
            if stopped:
                break
        self.optimizer.zero_grad(set_to_none=True)
        norms = [one["grad_norm"] for one in steps]
        means = {name: sum(one[name] for one in steps) / len(steps) for name in steps[0] if name != "kl"}
        return {
            **means,
            "grad_norm_max": max(norms),
            "clipped_gradients": sum(norm > how.max_grad_norm for norm in norms) / len(norms),
            "updates": float(len(steps)),
            "stopped_early": float(stopped),
            "learning_rate": policy["lr"],
            "multiplier": self.rate.multiplier,
        }

    def _gradients(self, batch: Batch, places: list[int], count: int) -> dict[str, float]:
        """Gradients of one minibatch of `count` episodes, of which those at `places` are this process's."""
        how = self.how
        self.optimizer.zero_grad(set_to_none=True)
        tokens = self.ranks.sum(batch.mask[places].sum())
        totals = batch.mask.new_zeros(4)
        self.backbone.model.train(how.gradient_checkpointing)
        for some in rollouts.micro_batches([batch.episodes[i].pair for i in places], how.micro_batch):
            rows = [places[i] for i in some]
            mask, old = batch.mask[rows], batch.logp[rows]
            logp, values = self._again(batch, rows)
            policy = maths.policy_loss(logp, old, batch.advantages[rows], how.clip)
            value = maths.value_loss(values, batch.values[rows], batch.returns[rows], how.value_clip)
            ((policy + value) * mask).sum().div(tokens).backward()
            with torch.no_grad():
                beyond = ((logp - old).exp() - 1).abs() > how.clip
                parts = (policy, value, beyond, maths.k3(old, logp))
                totals += torch.stack([(part * mask).sum() for part in parts])
        self.backbone.model.eval()
        self.ranks.sum_gradients([*self.policy, *self.critic])
        policy_loss, value_loss, beyond, kl = self.ranks.sum(totals).tolist()
        size = float(tokens)
        return {
            "policy_loss": policy_loss / size,
            "value_loss": value_loss / size,
            "clip_fraction": beyond / size,
            "kl": kl / count,
        }

    def _again(self, batch: Batch, rows: list[int]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and values of the episodes at `rows` under the policy as it is now."""
        states, tokens = rollouts.response_states(self.backbone, [batch.episodes[i] for i in rows], self.loaded.pad)
        mask = batch.mask[rows].bool()
        logp = self.backbone.token_log_probs(states, tokens, self.how.temperature)
        return rollouts.spread(logp, mask), rollouts.spread(self.backbone.values(states), mask)

    @torch.no_grad()
    def _update_kl(self, batch: Batch) -> dict[str, float]:
        """KL(old || new) of the whole iteration, in both units."""
        totals = batch.mask.new_zeros(3)
        for rows in rollouts.micro_batches([one.pair for one in batch.episodes], self.how.micro_batch):
            logp, _ = self._again(batch, rows)
            mask = batch.mask[rows]
            kl = (maths.k3(batch.logp[rows], logp) * mask).sum()
            totals += torch.stack([kl, mask.sum(), mask.new_tensor(len(rows))])
        kl, tokens, count = self.ranks.sum(totals).tolist()
        return {"update_kl": kl / count, "update_kl_per_token": kl / tokens}


class Clock:
    """Seconds of an iteration's phases."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[f"{name}_s"] = round(now - self._last, 3)
        self._last = now
