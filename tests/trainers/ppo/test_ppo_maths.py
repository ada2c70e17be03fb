"""The formulas of PPO against hand-computed values, sums over everything, and gradients by autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from trainers.ppo import maths

MASK = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_score_stands_on_the_last_token_and_rewards_sum_to_score_less_penalty() -> None:
    logp, reference = random(1, 2, 4), random(2, 2, 4)
    scores = torch.tensor([2.0, -1.0], dtype=torch.float64)
    rewards = maths.token_rewards(scores, logp, reference, MASK, 0.3)
    ratios = (logp - reference) * MASK
    assert torch.allclose(rewards.sum(1), scores - 0.3 * ratios.sum(1))
    without = maths.token_rewards(torch.zeros(2), logp, reference, MASK, 0.3)
    assert torch.allclose(rewards - without, torch.tensor([[0, 0, 0, 2.0], [0, -1.0, 0, 0]]).double())
    assert not rewards[1, 2:].any()


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (1.0, 0.0)])
def test_advantages_are_the_sum_of_their_definition(discount: float, decay: float) -> None:
    rewards, values = random(1, 2, 4) * MASK, random(2, 2, 4)
    found, returns = maths.advantages(rewards, values, MASK, discount, decay)
    for row, length in enumerate((4, 2)):
        v = [*values[row, :length].tolist(), 0.0]
        deltas = [float(rewards[row, t]) + discount * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            expected = sum((discount * decay) ** k * deltas[t + k] for k in range(length - t))
            assert float(found[row, t]) == pytest.approx(expected)
            assert float(returns[row, t]) == pytest.approx(expected + v[t])
    assert not found[1, 2:].any()
    assert not returns[1, 2:].any()


def test_with_full_decay_returns_are_the_rewards_to_go() -> None:
    rewards = random(3, 2, 4) * MASK
    _, returns = maths.advantages(rewards, random(4, 2, 4), MASK, 1.0, 1.0)
    assert torch.allclose(returns, rewards.flip(1).cumsum(1).flip(1) * MASK)


def test_whitening_knows_no_padding_and_adds_up_over_processes() -> None:
    values = random(5, 2, 4) * 3 + 1
    parts = [maths.moments_of(values[i : i + 1], MASK[i : i + 1]) for i in (0, 1)]
    white = maths.whiten(values, MASK, parts[0] + parts[1])
    inside = white[MASK.bool()]
    assert float(inside.mean()) == pytest.approx(0, abs=1e-9)
    assert float(inside.std(unbiased=False)) == pytest.approx(1)
    assert not white[1, 2:].any()


def test_the_policy_loss_is_clipped_where_it_would_go_on() -> None:
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    logp = ratios.log().requires_grad_()
    loss = maths.policy_loss(logp, torch.zeros(5), advantage, 0.2)
    assert loss.tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8, -2.2])
    loss.sum().backward()
    assert logp.grad is not None
    assert [bool(one) for one in logp.grad] == [False, True, True, False, True]


def test_the_value_loss_takes_the_larger_of_two_errors() -> None:
    values, old, returns = torch.tensor([1.0, 0.1, 2.0]), torch.zeros(3), torch.tensor([1.0, 1.0, 0.0])
    assert maths.value_loss(values, old, returns, 0.5).tolist() == pytest.approx([0.125, 0.405, 2.0])


def test_kl_estimates_agree_with_the_kl() -> None:
    p, q = random(6, 7).log_softmax(-1), random(7, 7).log_softmax(-1)
    exact = float(kl_divergence(Categorical(logits=p), Categorical(logits=q)))
    assert float(maths.exact_kl(p, q)) == pytest.approx(exact)
    assert float((p.exp() * maths.k3(p, q)).sum()) == pytest.approx(exact)
    assert bool((maths.k3(p, q) >= 0).all())
    assert float(maths.exact_kl(p, p)) == 0


def test_the_penalty_in_the_reward_has_the_gradient_of_the_kl() -> None:
    """E[grad log pi * penalty] over all tokens: equal to the KL's gradient for the log-ratio, not for k3."""
    logits, reference = random(8, 5).requires_grad_(), random(9, 5).log_softmax(-1)
    (wanted,) = torch.autograd.grad(maths.exact_kl(logits.log_softmax(-1), reference), logits)

    def expected(penalty: Tensor) -> Tensor:
        weights = (logits.log_softmax(-1).exp() * penalty).detach()
        return torch.autograd.grad((weights * logits.log_softmax(-1)).sum(), logits)[0]

    logp = logits.log_softmax(-1).detach()
    as_rewarded = -maths.token_rewards(torch.zeros(5), logp[:, None], reference[:, None], torch.ones(5, 1), 1.0)[:, 0]
    assert torch.allclose(expected(as_rewarded), wanted)
    assert not torch.allclose(expected(maths.k3(logp, reference)), wanted, atol=1e-2)


def test_the_rate_rises_and_falls_linearly() -> None:
    factors = [maths.schedule(step, 10, 0.2) for step in range(10)]
    assert factors[:3] == pytest.approx([0.5, 1.0, 8 / 9])
    assert factors[-1] == pytest.approx(1 / 9)
    assert maths.schedule(0, 1, 0.5) == 1.0


def test_the_rate_control_acts_outside_the_dead_band_only_and_within_its_limits() -> None:
    control = maths.RateControl(target=0.1, factor=1.5, low=0.5, high=2.0)
    for kl, expected in [(0.05, 1.0), (0.2, 1.0), (0.049, 1.5), (0.0, 2.0), (0.21, 4 / 3), (9, 8 / 9)]:
        control.update(kl)
        assert control.multiplier == pytest.approx(expected)
    for _ in range(9):
        control.update(1.0)
    assert control.multiplier == 0.5


def test_the_penalty_control_moves_by_its_horizon_and_stops_at_its_floor() -> None:
    control = maths.PenaltyControl(coefficient=0.1, target=2.0, horizon=4.0, floor=0.05)
    control.update(2.2)
    assert control.coefficient == pytest.approx(0.1 * (1 + 0.1 / 4))
    control.update(99)
    assert control.coefficient == pytest.approx(0.1 * 1.025 * 1.05)
    for _ in range(99):
        control.update(0.0)
    assert control.coefficient == 0.05
    fixed = maths.PenaltyControl(coefficient=0.1, target=None, horizon=4.0, floor=0.05)
    fixed.update(99)
    assert fixed.coefficient == 0.1


def test_scores_are_normalised_by_all_scores_so_far() -> None:
    normaliser = maths.ScoreNormaliser.new(clip=2.0)
    batches = [random(10, 6) * 4 + 7, random(11, 6) * 4 + 7]
    for batch in batches:
        normaliser.update(maths.moments_of(batch))
    seen = torch.cat(batches).numpy()
    expected = np.clip((batches[1].numpy() - seen.mean()) / (seen.std() + 1e-4), -2, 2)
    assert np.allclose(normaliser(batches[1]).numpy(), expected)


def test_explained_variance() -> None:
    returns = random(12, 50)
    moments = maths.moments_of
    assert maths.explained_variance(moments(returns - returns), moments(returns)) == pytest.approx(1)
    assert maths.explained_variance(moments(returns - 3), moments(returns)) == pytest.approx(0)
    assert maths.explained_variance(moments(returns), moments(torch.ones(3))) == 0.0


def test_distinct_grams() -> None:
    assert maths.distinct([[1, 2, 3, 4], [1, 2, 3]], n=3) == pytest.approx(2 / 3)
    assert maths.distinct([[1, 2]], n=3) == 1.0


def test_scores_are_gathered_where_they_are_computed() -> None:
    """Seen on a GPU only: the first moments lay on the host."""
    normaliser = maths.ScoreNormaliser.new(5.0)
    normaliser.update(torch.zeros(3, dtype=torch.float64, device="meta"))
    assert normaliser.moments.device.type == "meta"
