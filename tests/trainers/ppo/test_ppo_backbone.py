"""One backbone as policy, reference, reward model and critic: each is itself, and none disturbs the policy's gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from ppo_support import LORA, shake
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from harness.errors import EnvironmentProblem
from trainers import checkpoint
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo import backbone as backbones
from trainers.ppo.backbone import REWARD, Backbone
from trainers.ppo.rewards import AdapterReward
from trainers.rewards import RewardModel

IDS = torch.tensor([[5, 9, 11, 40, 7, 3], [8, 8, 3, 60, 2, 1]])


def states_of(one: Backbone, ids: Tensor = IDS) -> Tensor:
    """Last hidden states [rows, length, width] of rows without padding."""
    rows, length = ids.shape
    causal = torch.ones(length, length, dtype=torch.bool).tril().expand(rows, 1, length, length)
    return one.hidden(ids, torch.arange(length).expand(rows, -1), causal).view(rows, length, -1)


def objective(one: Backbone, ids: Tensor = IDS) -> Tensor:
    """Something like a loss, of the policy's log-probabilities."""
    states = states_of(one, ids)[:, :-1].flatten(0, 1)
    return -(one.token_log_probs(states, ids[:, 1:].flatten(), 0.7) * torch.linspace(-1, 1, ids[:, 1:].numel())).sum()


def gradients(one: Backbone) -> dict[str, Tensor]:
    found = {}
    for name, parameter in one.policy_parameters().items():
        assert parameter.grad is not None, f"{name} got no gradient"
        found[name] = parameter.grad.clone()
        parameter.grad = None
    return found


def same(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[name], b[name], rtol=0, atol=tolerance) for name in a)


@pytest.fixture
def lone(tiny: Path, tmp_path: Path) -> Backbone:
    """The same policy on a model of its own, without a reward adapter."""
    loaded = checkpoint.load(str(tiny), LORA, tmp_path / "merged")
    found = Backbone(loaded.model, LORA.config(loaded.folder), 0)
    shake(found.peft, 7, "default")
    return found


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_no_log_probability(side: str, backbone: Backbone) -> None:
    alone = backbone.log_probs(states_of(backbone, IDS[:1, :4])[0], 1.0)
    ids, place = IDS.clone(), slice(0, 4) if side == "right" else slice(2, 6)
    ids[0, place] = IDS[0, :4]
    positions = torch.zeros(2, 6, dtype=torch.long)
    positions[0, place], positions[1] = torch.arange(4), torch.arange(6)
    allowed = torch.ones(6, 6, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    allowed[0, 0, :, : place.start] = False
    allowed[0, 0] |= torch.eye(6, dtype=torch.bool)
    padded = backbone.log_probs(backbone.hidden(ids, positions, allowed)[place], 1.0)
    assert torch.allclose(padded, alone, atol=1e-5)


def test_a_fresh_policy_is_the_reference_and_the_reference_is_the_base(
    tiny: Path, lone: Backbone, loaded: Loaded
) -> None:
    fresh = Backbone(loaded.model, LORA.config(loaded.folder), 0)
    states = states_of(fresh)
    with fresh.using("reference"):
        assert torch.equal(states_of(fresh), states)
    base = AutoModelForCausalLM.from_pretrained(tiny).eval()
    with torch.no_grad(), lone.using("reference"):
        found = lone.log_probs(states_of(lone), 1.0)
        assert torch.allclose(found, base(input_ids=IDS).logits.log_softmax(-1), atol=1e-5)
    assert not torch.allclose(states_of(lone), states, atol=1e-2)


def test_the_reward_adapter_scores_as_the_reward_model_does(
    backbone: Backbone, reward_model: Path, loaded: Loaded, prompts: list[Prompt]
) -> None:
    completions = [[9, 11, 40, 7, loaded.end][i % 3 :] for i in range(len(prompts))]
    ours = AdapterReward(backbone, loaded.pad, size=4)(prompts, completions)
    theirs = RewardModel(reward_model)(prompts, completions)
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert len(set(ours)) == len(prompts)


def test_a_reward_adapter_that_lacks_weights_is_refused(reward_model: Path, loaded: Loaded) -> None:
    path = reward_model / "adapter_model.safetensors"
    weights = load_file(path)
    weights.pop(next(name for name in weights if "layers.1" in name and "lora_A" in name))
    save_file(weights, path)
    with pytest.raises(EnvironmentProblem, match="does not fit"):
        Backbone(loaded.model, LORA.config(loaded.folder), 0, reward_model)


def test_looking_at_other_adapters_before_the_backward_pass_costs_no_gradient(
    backbone: Backbone, lone: Backbone
) -> None:
    objective(lone).backward()
    loss = objective(backbone)
    for other in ("reference", "reward"):
        with backbone.using(other):  # type: ignore[arg-type]
            states_of(backbone)
    loss.backward()
    assert same(gradients(backbone), gradients(lone))


def test_peft_alone_would_lose_that_gradient(backbone: Backbone) -> None:
    """The trap that `using` is for: should PEFT ever mend it, this fails and `using` can go."""
    names = list(backbone.policy_parameters())
    backbone.peft.set_adapter(REWARD)
    parameters = dict(backbone.peft.named_parameters())
    assert not any(parameters[name].requires_grad for name in names)
    with pytest.raises(AssertionError, match="frozen"):
        backbone.policy_parameters()


def test_a_gradient_inside_another_adapter_cannot_be_made(backbone: Backbone) -> None:
    for other in ("reference", "reward"):
        with backbone.using(other):  # type: ignore[arg-type]
            assert not objective(backbone).requires_grad
        backbone.policy_parameters()


def test_an_error_under_another_adapter_leaves_the_policy_active(backbone: Backbone, lone: Backbone) -> None:
    for other in ("reference", "reward"):
        with pytest.raises(KeyError), backbone.using(other):  # type: ignore[arg-type]
            raise KeyError
    assert torch.equal(objective(backbone), objective(lone))


def test_gradient_checkpointing_recomputes_through_the_policy(backbone: Backbone, lone: Backbone) -> None:
    objective(lone).backward()
    backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    backbone.model.train()
    loss = objective(backbone)
    with backbone.using("reward"):
        states_of(backbone)
    with backbone.using("reference"):
        states_of(backbone)
    loss.backward()
    assert same(gradients(backbone), gradients(lone), 1e-6)


def test_train_mode_drops_nothing(backbone: Backbone) -> None:
    before = states_of(backbone)
    backbone.model.train()
    assert torch.equal(states_of(backbone), before)


def test_logits_are_made_in_chunks_with_the_same_values_and_gradients(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective(backbone).backward()
    whole, wanted = objective(backbone), gradients(backbone)
    sizes: list[int] = []
    backbone.model.lm_head.register_forward_hook(lambda _, __, out: sizes.append(out.shape[0]))
    monkeypatch.setattr(backbones, "LOGITS", 4 * backbone.model.config.vocab_size)
    loss = objective(backbone)
    loss.backward()
    assert loss.item() == pytest.approx(whole.item(), abs=1e-5)
    assert same(gradients(backbone), wanted, 1e-5)
    assert sorted(sizes) == [2, 2, 4, 4, 4, 4], "once forwards and once backwards"


def test_the_critic_does_not_bend_the_policy(backbone: Backbone) -> None:
    backbone.values(states_of(backbone)).sum().backward()
    assert backbone.value_head.weight.grad is not None
    assert all(one.grad is None for one in backbone.policy_parameters().values())


def test_what_trains_is_the_policy_adapter_and_the_value_head(backbone: Backbone, lone: Backbone) -> None:
    names = set(backbone.policy_parameters())
    assert names == set(lone.policy_parameters())
    assert all("lora_" in name and REWARD not in name for name in names)
    state = {name: one.clone() for name, one in backbone.state().items()}
    assert set(state) == names | {"value_head.weight", "value_head.bias"}
    before = objective(backbone)
    shake(backbone.peft, 9, "default")
    assert not torch.equal(objective(backbone), before)
    backbone.load_state(state)
    assert torch.equal(objective(backbone), before)
    with pytest.raises(KeyError):
        backbone.load_state({name: state[name] for name in list(state)[1:]})


def test_the_same_seed_gives_the_same_adapter(tiny: Path, tmp_path: Path) -> None:
    def new(seed: int) -> dict[str, Any]:
        loaded = checkpoint.load(str(tiny), LORA, tmp_path / "merged")
        torch.rand(seed + 3)  # whatever was drawn before
        return dict(Backbone(loaded.model, LORA.config(loaded.folder), seed).state())

    assert same(new(1), new(1))
    assert not same(new(1), new(2))


def test_separate_models_give_each_adapter_the_same_states(backbone: Backbone, reward_model: Path, tiny: Path) -> None:
    scorer, _ = checkpoint.load_reward(reward_model)
    with torch.no_grad(), backbone.using("reward"):
        ours = states_of(backbone)
    body: Any = scorer.base_model
    assert torch.allclose(ours, body(input_ids=IDS).last_hidden_state, atol=1e-4)
    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), LORA.config(tiny)).eval()
    shake(policy, 7, "default")
    weights = dict(policy.named_parameters())
    for name, one in backbone.policy_parameters().items():
        weights[name].data.copy_(one.data)
    with torch.no_grad():
        theirs = policy.get_base_model().model(input_ids=IDS).last_hidden_state
    assert torch.allclose(states_of(backbone), theirs, atol=1e-5)
