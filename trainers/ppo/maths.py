"""The arithmetic of PPO. Tensors in, tensors out; no model, no files.

Everything about single tokens is [episodes, tokens], response-aligned and padded on the right; `mask` is 1 where a token
is the response's own (its end of turn included). Log-probabilities and KLs are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions where `mask` is 1."""
    return (values * mask).sum() / mask.sum()


def token_rewards(scores: Tensor, logp: Tensor, reference_logp: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Rewards per token: -coefficient * (log pi - log pi_ref), plus the episode's score on its last token.

    The penalty is the log-ratio itself ("k1"), although single ones can be negative: of the usual estimators it is
    the one whose policy gradient is the gradient of the KL (Tang and Munos, "On a few pitfalls in KL divergence gradient
    estimation for RL", 2025). What is reported and steered by is the exact KL.
    `scores` has shape [episodes]. The rewards of an episode sum to score - coefficient * sum of its log-ratios.
    """
    rewards = -coefficient * (logp - reference_logp) * mask
    last = mask.sum(1).long() - 1
    rewards[torch.arange(len(scores), device=scores.device), last] += scores
    return rewards


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, decay: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns they imply, both 0 at padding.

    A_t = sum_k (discount * decay)^k delta_{t+k}, delta_t = r_t + discount * V_{t+1} - V_t (Schulman et al., "High-dimensional
    continuous control using generalized advantage estimation", 2016). An episode ends at its last token whether it said
    its end of turn or was cut off: nothing is bootstrapped beyond it. Returns are A + V.
    """
    values = values * mask
    after = following = rewards.new_zeros(len(rewards))
    found = torch.zeros_like(rewards)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + discount * following - values[:, t]
        after = (delta + discount * decay * after) * mask[:, t]
        found[:, t] = after
        following = values[:, t]
    return found, found + values


def whiten(values: Tensor, mask: Tensor, moments: Tensor) -> Tensor:
    """`values` less their mean, over their standard deviation; 0 at padding.

    `moments` is (count, sum, sum of squares) of all processes' values, see `moments_of`.
    """
    mean, deviation = mean_and_deviation(moments)
    return (values - mean) / (deviation + 1e-8) * mask


def moments_of(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """(count, sum, sum of squares) in float64, which add up over processes and over time."""
    kept = (values if mask is None else values[mask.bool()]).double()
    return torch.stack([kept.new_tensor(kept.numel()), kept.sum(), (kept * kept).sum()])


def mean_and_deviation(moments: Tensor) -> tuple[float, float]:
    """Mean and population standard deviation."""
    count, total, squares = moments.tolist()
    mean = total / count
    return mean, math.sqrt(max(0.0, squares / count - mean * mean))


def policy_loss(logp: Tensor, old_logp: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Clipped surrogate loss per token (Schulman et al., "Proximal policy optimization algorithms", 2017, eq. 7)."""
    ratio = (logp - old_logp).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error per token, the larger of the value's own and that of the value moved by at most `clip`."""
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def k3(old_logp: Tensor, logp: Tensor) -> Tensor:
    """Estimate of KL(old || new) per token from tokens that `old` drew: r - 1 - log r with r = new / old; never negative.

    Schulman, "Approximating KL divergence", 2020.
    """
    log_ratio = logp - old_logp
    return log_ratio.exp() - 1 - log_ratio


def exact_kl(log_probs: Tensor, other: Tensor) -> Tensor:
    """KL(p || q) over the last dimension, from log-probabilities of the whole vocabulary."""
    return (log_probs.exp() * (log_probs - other)).sum(-1)


def explained_variance(errors: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns), from the moments of both; 1 is a perfect critic, 0 one that knows the mean."""
    _, spread = mean_and_deviation(returns)
    _, rest = mean_and_deviation(errors)
    return 1 - (rest / spread) ** 2 if spread else 0.0


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate at `step` (from 0): linear warm-up over a fraction of the run, then linear decay."""
    rising = max(1, math.ceil(warmup * steps))
    return min((step + 1) / rising, (steps - step) / (steps - rising + 1))


@dataclass
class RateControl:
    """Multiplier on the scheduled learning rate that holds the *update KL* near a target.

    KL(old || new) of one iteration, per sequence. Above twice the target the multiplier is divided by `factor`, below
    half of it multiplied; in between, the dead band, it stays: the rule of leggedrobotics/rsl_rl. Fed with the KL to the
    reference it would lock: that one grows over the run, and no learning rate takes it back.
    """

    target: float
    factor: float
    low: float
    high: float
    multiplier: float = 1.0

    def update(self, kl: float) -> None:
        if kl > 2 * self.target:
            self.multiplier = max(self.low, self.multiplier / self.factor)
        elif kl < self.target / 2:
            self.multiplier = min(self.high, self.multiplier * self.factor)


@dataclass
class PenaltyControl:
    """Coefficient of the KL penalty: fixed without a target, else steered by the *reference KL* per sequence.

    c <- c * (1 + clip(KL / target - 1, -0.2, 0.2) / horizon), `horizon` in iterations (Ziegler et al., "Fine-tuning language
    models from human preferences", 2019), never below `floor`.
    """

    coefficient: float
    target: float | None
    horizon: float
    floor: float

    def update(self, kl: float) -> None:
        if self.target is not None:
            error = min(0.2, max(-0.2, kl / self.target - 1))
            self.coefficient = max(self.floor, self.coefficient * (1 + error / self.horizon))


@dataclass
class ScoreNormaliser:
    """Brings scores to mean 0 and deviation 1 by all scores so far, and clips them to +-`clip` deviations."""

    clip: float
    moments: Tensor

    @classmethod
    def new(cls, clip: float) -> ScoreNormaliser:
        return cls(clip, torch.zeros(3, dtype=torch.float64))

    def update(self, moments: Tensor) -> None:
        self.moments = self.moments.to(moments.device) + moments

    def __call__(self, scores: Tensor) -> Tensor:
        mean, deviation = mean_and_deviation(self.moments)
        return ((scores - mean) / (deviation + 1e-4)).clamp(-self.clip, self.clip)


def distinct(texts: list[list[int]], n: int = 3) -> float:
    """Share of different n-grams among all n-grams of the token sequences; 1.0 if there are none."""
    grams: list[Any] = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
