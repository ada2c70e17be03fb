"""One iteration of PPO: the gradient it takes is the formula's, and it makes what is rewarded likelier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from harness.errors import EnvironmentProblem
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo import maths, rewards
from trainers.ppo.algorithm import Algorithm, ReferenceKL, Trainer, UpdateKL
from trainers.ppo.backbone import Backbone
from trainers.ppo.ranks import Ranks
from trainers.ppo.rollouts import Episode
from trainers.rewards import Reward

HOW = Algorithm(
    iterations=10,
    episodes=12,
    samples=2,
    minibatch=6,
    micro_batch=4,
    max_new_tokens=8,
    temperature=0.8,
    learning_rate=3e-3,
    reference_kl=ReferenceKL(coefficient=0.3),
)


def shorter(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
    return [-value for value in rewards.length(prompts, completions)]


def trainer(backbone: Backbone, loaded: Loaded, how: Algorithm = HOW, reward: Reward = shorter) -> Trainer:
    return Trainer(how, backbone, loaded, reward, 1, Ranks())


@pytest.fixture
def fresh(loaded: Loaded) -> Backbone:
    from ppo_support import LORA

    return Backbone(loaded.model, LORA.config(loaded.folder), 0)


def episodes_of(one: Trainer, prompts: list[Prompt]) -> list[Episode]:
    from harness.types import Decoding
    from trainers.ppo.rollouts import play

    return play(one.backbone, dict(enumerate(prompts * 2)), one.loaded, Decoding(8, 0.8, seed=2), 12)


def test_the_first_iteration_starts_at_the_reference(fresh: Backbone, prompts: list[Prompt], loaded: Loaded) -> None:
    _, facts = trainer(fresh, loaded).iterate(0, prompts)
    assert facts["reference_kl"] == facts["reference_kl_per_token"] == 0.0
    assert facts["update_kl"] > 0
    assert facts["update_kl"] == pytest.approx(facts["update_kl_per_token"] * facts["length"])
    assert facts["tokens"] == pytest.approx(facts["length"] * HOW.episodes)


def test_rewards_reach_the_advantages_as_score_less_penalty(
    backbone: Backbone, prompts: list[Prompt], loaded: Loaded
) -> None:
    one = trainer(backbone, loaded, replace(HOW, normalise=False, decay=1.0))
    batch = one.measure(episodes_of(one, prompts))
    raw = torch.tensor(one.score(shorter, batch.episodes))
    one.assign(batch, raw)
    for row, episode in enumerate(batch.episodes):
        score = float(raw[row]) - (0 if episode.ended else HOW.missing_end)
        penalty = 0.3 * float((batch.logp[row] - batch.reference_logp[row]).sum())
        assert float(batch.returns[row, 0]) == pytest.approx(score - penalty, abs=1e-4)
        last = len(episode.tokens) - 1
        step = 0.3 * float(batch.logp[row, last] - batch.reference_logp[row, last])
        assert float(batch.returns[row, last]) == pytest.approx(score - step, abs=1e-4)
        assert not batch.returns[row, last + 1 :].any()


def test_the_gradient_of_a_minibatch_is_the_formulas(backbone: Backbone, prompts: list[Prompt], loaded: Loaded) -> None:
    """Against each episode alone, unpadded, through the whole model, with losses averaged over the tokens of all."""
    one = trainer(backbone, loaded)
    batch = one.measure(episodes_of(one, prompts))
    one.assign(batch, torch.tensor(one.score(shorter, batch.episodes)))
    places = [0, 3, 4, 7, 9]
    with torch.no_grad():
        for name, parameter in backbone.policy_parameters().items():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
        backbone.value_head.bias += 0.1
    one._gradients(batch, places, len(places))
    found = [parameter.grad.clone() for parameter in [*one.policy, *one.critic]]  # type: ignore[union-attr]
    for parameter in [*one.policy, *one.critic]:
        parameter.grad = None
    total = batch.mask[places].sum()
    for place in places:
        episode = batch.episodes[place]
        ids, length = torch.tensor([[*episode.prompt.ids, *episode.tokens]]), len(episode.tokens)
        out = backbone.model(input_ids=ids, output_hidden_states=True)
        logits = out.logits[0, -length - 1 : -1] / 0.8
        logp = logits.log_softmax(-1).gather(1, ids[0, -length:, None])[:, 0]
        values = backbone.value_head(out.hidden_states[-1][0, -length - 1 : -1].detach())[:, 0]
        old, advantage = batch.logp[place, :length], batch.advantages[place, :length]
        ratio = (logp - old).exp()
        policy = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        near = batch.values[place, :length] + (values - batch.values[place, :length]).clamp(-0.5, 0.5)
        returns = batch.returns[place, :length]
        value = 0.5 * torch.max((values - returns) ** 2, (near - returns) ** 2)
        ((policy + value).sum() / total).backward()
    for parameter, gradient in zip([*one.policy, *one.critic], found):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-5, rtol=1e-3)
    assert max(float(gradient.abs().max()) for gradient in found) > 1e-3


def test_what_is_rewarded_becomes_likelier_and_the_norm_is_clipped(
    fresh: Backbone, prompts: list[Prompt], loaded: Loaded
) -> None:
    how = replace(HOW, episodes=24, minibatch=12, update_kl=UpdateKL(target=0.3), missing_end=0.0)
    one = trainer(
        fresh, loaded, replace(how, learning_rate=1e-2, max_grad_norm=0.05, reference_kl=ReferenceKL(coefficient=0.0))
    )
    rows = [one.iterate(iteration, prompts)[1] for iteration in range(10)]
    assert rows[-1]["length"] < rows[0]["length"] - 1
    assert rows[-1]["reward"] > rows[0]["reward"]
    assert max(row["grad_norm"] for row in rows) > 0.05, "the norm before clipping is told"
    assert max(row["clipped_gradients"] for row in rows) > 0


def test_epochs_end_once_the_policy_has_moved_too_far(fresh: Backbone, prompts: list[Prompt], loaded: Loaded) -> None:
    how = replace(HOW, epochs=5, learning_rate=0.05)
    one = trainer(fresh, loaded, how)
    _, facts = one.iterate(0, prompts)
    assert facts["stopped_early"] == 1
    assert 1 <= facts["updates"] < 10
    assert facts["update_kl"] > 0.2
    assert one.rate.multiplier == pytest.approx(1 / 1.5)
    _, after = one.iterate(1, prompts)
    assert after["learning_rate"] == pytest.approx(0.05 * maths.schedule(1, 10, how.warmup) / 1.5)


def test_the_penalty_follows_the_reference_kl(backbone: Backbone, prompts: list[Prompt], loaded: Loaded) -> None:
    control = ReferenceKL(coefficient=0.1, target=0.01, horizon=0.2)
    one = trainer(backbone, loaded, replace(HOW, reference_kl=control))
    _, facts = one.iterate(0, prompts)
    assert facts["reference_kl"] > 0.012
    assert one.penalty.coefficient == pytest.approx(0.1 * (1 + 0.2 / 2))
    assert facts["coefficient"] == 0.1


def test_micro_batches_change_no_result(backbone: Backbone, prompts: list[Prompt], loaded: Loaded) -> None:
    start = {name: one.clone() for name, one in backbone.state().items()}
    ends = []
    for size in (2, 12):
        backbone.load_state(start)
        one = trainer(backbone, loaded, replace(HOW, micro_batch=size))
        one.iterate(0, prompts)
        ends.append({name: weight.clone() for name, weight in backbone.state().items()})
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-3) for name in start)
    assert not torch.allclose(ends[0]["value_head.weight"], start["value_head.weight"], atol=1e-3)


def test_log_probabilities_that_do_not_match_end_the_run(
    backbone: Backbone, prompts: list[Prompt], loaded: Loaded
) -> None:
    one = trainer(backbone, loaded)
    episodes = episodes_of(one, prompts)
    for episode in episodes:
        episode.sampled = [value - 0.01 for value in episode.sampled]
    with pytest.raises(EnvironmentProblem, match="another policy"):
        one.measure(episodes)


def test_rewards_are_weighed_and_added() -> None:
    known: dict[str, Reward] = {"length": rewards.length, "one": lambda prompts, completions: [1.0] * len(prompts)}
    prompt = Prompt([1], [], {}, None)
    found = rewards.weighted({"length": -10.0, "one": 0.5}, known)([prompt, prompt], [[1, 2], [1, 2, 3]])
    assert found == pytest.approx([0.3, 0.2])
