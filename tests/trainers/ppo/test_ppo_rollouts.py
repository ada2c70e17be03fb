"""Episodes: what was sampled is what is measured, and nothing depends on who shared the batch."""

from __future__ import annotations

import gc

import pytest
import torch

from harness.types import Decoding
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo import rollouts
from trainers.ppo.backbone import Backbone
from trainers.ppo.rollouts import Episode, play

HOW = Decoding(max_new_tokens=10, temperature=0.7, seed=3)


@pytest.fixture
def episodes(backbone: Backbone, prompts: list[Prompt], loaded: Loaded) -> list[Episode]:
    return play(backbone, dict(enumerate(prompts * 3)), loaded, HOW, batch_size=5)


def test_log_probabilities_computed_again_are_those_that_were_sampled(
    episodes: list[Episode], backbone: Backbone, loaded: Loaded
) -> None:
    batch = rollouts.measure(backbone, episodes, loaded.pad, HOW.temperature, size=4)
    for row, one in enumerate(episodes):
        assert len(one.sampled) == len(one.tokens) == int(batch.mask[row].sum())
        assert torch.allclose(batch.logp[row, : len(one.tokens)], torch.tensor(one.sampled), atol=1e-4)
        assert not batch.logp[row, len(one.tokens) :].any()


def test_an_episode_ends_with_the_end_of_its_turn_or_at_the_limit(episodes: list[Episode], loaded: Loaded) -> None:
    assert {one.ended for one in episodes} == {True, False}
    for one in episodes:
        assert (one.tokens[-1] == loaded.end) == one.ended
        assert loaded.end not in one.tokens[:-1]
        assert one.ended or len(one.tokens) == HOW.max_new_tokens
        assert "<|im_end|>" not in one.text


def test_an_episode_does_not_depend_on_the_others(
    episodes: list[Episode], backbone: Backbone, prompts: list[Prompt], loaded: Loaded
) -> None:
    asked = dict(enumerate(prompts * 3))
    for part in (range(0, 18, 2), range(1, 18, 2)):  # as two processes share them
        for one in play(backbone, {i: asked[i] for i in part}, loaded, HOW, batch_size=16):
            assert one.tokens == episodes[one.index].tokens
    assert len({tuple(one.tokens) for one in episodes}) > 12


def test_the_kl_is_that_of_the_whole_vocabulary(episodes: list[Episode], backbone: Backbone, loaded: Loaded) -> None:
    batch = rollouts.measure(backbone, episodes, loaded.pad, HOW.temperature, size=7)
    for row, one in enumerate(episodes[:5]):
        ids = torch.tensor([[*one.prompt.ids, *one.tokens]])
        place = slice(len(one.prompt.ids) - 1, -1)
        with torch.no_grad():
            out = backbone.model(input_ids=ids, output_hidden_states=True)
            own = (out.logits[0, place] / HOW.temperature).log_softmax(-1)
            value = backbone.value_head(out.hidden_states[-1])[0, place, 0]
            with backbone.using("reference"):
                other = (backbone.model(input_ids=ids).logits[0, place] / HOW.temperature).log_softmax(-1)
        length = len(one.tokens)
        tokens = torch.tensor(one.tokens)[:, None]
        expected = {
            "kl": torch.nn.functional.kl_div(other, own, log_target=True, reduction="none").sum(-1),
            "reference_logp": other.gather(1, tokens)[:, 0],
            "entropy": torch.distributions.Categorical(logits=own).entropy(),
            "values": value,
        }
        for name, wanted in expected.items():
            assert torch.allclose(getattr(batch, name)[row, :length], wanted, atol=1e-4), name
    assert float(batch.kl.sum()) > 0.1


def test_no_logits_of_a_rollout_are_kept(episodes: list[Episode], backbone: Backbone, loaded: Loaded) -> None:
    batch = rollouts.measure(backbone, episodes, loaded.pad, HOW.temperature, size=4)
    assert batch.logp.shape == batch.mask.shape == (18, 10)
    gc.collect()
    own = {id(one) for one in backbone.peft.parameters()}
    wide = [
        one
        for one in gc.get_objects()
        if torch.is_tensor(one) and id(one) not in own and backbone.model.config.vocab_size in one.shape
    ]
    assert not wide


def test_each_pass_over_the_prompts_is_a_shuffle_of_its_own(prompts: list[Prompt]) -> None:
    drawn = [rollouts.prompts_of(prompts, 5, iteration, 4) for iteration in range(6)]
    flat = [one.turns[0].content for some in drawn for one in some]
    passes = [flat[i : i + 6] for i in range(0, 24, 6)]
    assert all(len(set(one)) == 6 for one in passes)
    assert len({tuple(one) for one in passes}) > 1
    assert rollouts.prompts_of(prompts, 5, 3, 4) == drawn[3], "a function of the iteration alone"
    assert rollouts.prompts_of(prompts, 6, 3, 4) != drawn[3]


def test_answers_to_one_prompt_are_packed_and_do_not_see_each_other(
    episodes: list[Episode], backbone: Backbone, loaded: Loaded
) -> None:
    """18 answers to 6 prompts: six rows, and the same states and gradients as 18 rows."""
    pairs = [one.pair for one in episodes]
    packed = rollouts.pack(pairs, loaded.pad, torch.device("cpu"))
    assert len(packed.ids) == 6
    together = backbone.hidden(packed.ids, packed.positions, packed.allowed)
    alone, ends = [], []
    for pair in pairs:
        one = rollouts.pack([pair], loaded.pad, torch.device("cpu"))
        assert one.ids.tolist() == [[*pair[0], *pair[1]]]
        states = backbone.hidden(one.ids, one.positions, one.allowed)
        alone.append(states[one.before])
        ends.append(states[one.last])
    assert torch.allclose(together[packed.before], torch.cat(alone), atol=1e-5)
    assert torch.allclose(together[packed.last], torch.cat(ends), atol=1e-5)
    parameters = list(backbone.policy_parameters().values())
    weights = torch.linspace(-1, 1, len(packed.before))[:, None]
    ours = torch.autograd.grad((together[packed.before] * weights).sum(), parameters)
    theirs = torch.autograd.grad((torch.cat(alone) * weights).sum(), parameters)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-3) for a, b in zip(ours, theirs))


def test_micro_batches_cover_every_answer_once_and_keep_a_prompts_answers_together() -> None:
    prompts = [[1] * length for length in (5, 1, 4)]
    pairs = [(prompts[i % 3], [i]) for i in range(9)]
    found = list(rollouts.micro_batches(pairs, 3))
    assert sorted(map(sorted, found)) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert sorted(place for some in rollouts.micro_batches(pairs, 4) for place in some) == list(range(9))
