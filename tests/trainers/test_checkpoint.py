"""Checkpoints for training: what loads, what is written, and that it is the same model again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from support import make_adapter
from transformers import AutoModelForCausalLM

from harness.errors import EnvironmentProblem, UsageError
from harness.models import hf
from harness.models.checkpoint import folders, is_oracle
from trainers import checkpoint
from trainers.checkpoint import HEAD, Lora
from trainers.rewards import RewardModel

IDS = torch.tensor([[5, 9, 11, 40, 7], [8, 8, 3, 60, 2]])


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def shaken(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """`model` with an adapter (and head) that do something."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(std=0.3)
    return model


def test_pad_is_not_the_end_of_a_turn_and_eos_is_the_templates(tiny: Path, tmp_path: Path) -> None:
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    (tiny / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<|endoftext|>"}))
    loaded = checkpoint.load(str(tiny), None, tmp_path / "merged")
    assert loaded.tokenizer.eos_token == "<|im_end|>"
    assert loaded.tokenizer.eos_token_id == loaded.end == loaded.model.generation_config.eos_token_id
    assert loaded.tokenizer.pad_token_id == loaded.pad != loaded.end
    assert loaded.folder == tiny


def test_a_base_that_is_an_adapter_is_merged_first(tiny: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny, tmp_path / "adapter", seed=1)
    loaded = checkpoint.load(str(adapter), Lora(), tmp_path / "merged")
    with_adapter = hf.with_adapter(hf.load_base(tiny, torch.float32, "cpu"), adapter)
    assert torch.allclose(logits(loaded.model), logits(with_adapter), atol=1e-4)
    assert not torch.allclose(logits(loaded.model), logits(AutoModelForCausalLM.from_pretrained(tiny)), atol=1e-2)
    assert loaded.folder == tmp_path / "merged"
    assert Lora().config(loaded.folder).base_model_name_or_path == str((tmp_path / "merged").resolve())


def test_a_merged_policy_is_the_policy(tiny: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(str(tiny), Lora(), tmp_path / "merged")
    policy = shaken(get_peft_model(loaded.model, Lora().config(loaded.folder)))
    before = logits(policy)
    checkpoint.save_policy(policy, loaded, tmp_path / "out", merge=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "checkpoint")
    assert torch.allclose(logits(merged), before, atol=1e-4)
    apart = hf.with_adapter(hf.load_base(tiny, torch.float32, "cpu"), tmp_path / "out" / "adapter")
    assert torch.equal(logits(apart), before)


def test_an_adapter_names_its_base_by_its_whole_path_and_the_harness_loads_it(
    tiny: Path, tmp_path: Path, working_folder: Path
) -> None:
    loaded = checkpoint.load(str(tiny), Lora(), tmp_path / "merged")
    policy = shaken(get_peft_model(loaded.model, Lora().config(loaded.folder)))
    before = logits(policy)
    checkpoint.save_policy(policy, loaded, tmp_path / "out", merge=False)
    found = folders(str(tmp_path / "out" / "checkpoint"))
    assert found.base == tiny.resolve()
    assert found.adapter is not None
    assert torch.equal(logits(hf.with_adapter(hf.load_base(found.base, torch.float32, "cpu"), found.adapter)), before)


def test_what_the_gold_score_trained_is_marked_and_so_is_what_comes_of_it(tiny: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(str(tiny), None, tmp_path / "merged")
    checkpoint.save_policy(loaded.model, loaded, tmp_path / "fair", merge=True)
    checkpoint.save_policy(loaded.model, loaded, tmp_path / "oracle", merge=True, oracle=True)
    assert not is_oracle(tmp_path / "fair" / "checkpoint")
    assert is_oracle(tmp_path / "oracle" / "checkpoint")
    child = checkpoint.load(str(tmp_path / "oracle" / "checkpoint"), None, tmp_path / "merged")
    checkpoint.save_policy(child.model, child, tmp_path / "child", merge=True)
    assert is_oracle(tmp_path / "child" / "checkpoint")


@pytest.mark.parametrize("lora", [Lora(), None])
def test_a_reward_models_scores_survive_saving_reloading_and_merging(
    lora: Lora | None, tiny: Path, tmp_path: Path
) -> None:
    loaded = checkpoint.load(str(tiny), lora, tmp_path / "merged")
    scorer = checkpoint.with_head(loaded.model, seed=1)
    scorer.config.pad_token_id = loaded.pad
    if lora:
        scorer = get_peft_model(scorer, lora.config(loaded.folder, head=True))
    shaken(scorer)
    rows = [[5, 9, 11, 40, 7], [8, 8, 3, 60], [2, 9]]
    with torch.no_grad():
        before = [float(scorer.eval()(input_ids=torch.tensor([row])).logits[0, 0]) for row in rows]
    assert len({round(value, 3) for value in before}) == 3
    checkpoint.save_reward(scorer, loaded, tmp_path / "out")
    after = RewardModel(tmp_path / "out" / "checkpoint").scores(rows)
    assert after == pytest.approx(before, abs=1e-5)
    assert load_file(tmp_path / "out" / "checkpoint" / HEAD)["weight"].shape == (1, 32)


def test_a_pickle_beside_the_head_of_a_reward_model_is_not_read(tiny: Path, tmp_path: Path) -> None:
    """S5"""
    loaded = checkpoint.load(str(tiny), None, tmp_path / "merged")
    checkpoint.save_reward(checkpoint.with_head(loaded.model, seed=1), loaded, tmp_path / "out")
    weights = tmp_path / "out" / "checkpoint" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        checkpoint.load_reward(weights.parent)


def test_the_head_in_use_is_the_one_that_was_trained(tiny: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(str(tiny), Lora(), tmp_path / "merged")
    scorer = get_peft_model(checkpoint.with_head(loaded.model, seed=1), Lora().config(loaded.folder, head=True))
    assert all(parameter.requires_grad for name, parameter in scorer.named_parameters() if "modules_to_save" in name)
    with torch.no_grad():
        next(p for name, p in scorer.named_parameters() if "modules_to_save" in name).fill_(0.25)
    checkpoint.save_reward(scorer, loaded, tmp_path / "out")
    assert (load_file(tmp_path / "out" / "checkpoint" / HEAD)["weight"] == 0.25).all()
    model, _ = checkpoint.load_reward(tmp_path / "out" / "checkpoint")
    assert (model.score.weight == 0.25).all()


def test_the_seed_draws_the_head(tiny: Path, tmp_path: Path) -> None:
    def head(seed: int) -> torch.Tensor:
        return checkpoint.with_head(checkpoint.load(str(tiny), None, tmp_path).model, seed).score.weight.detach()

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))


def test_a_changed_base_is_refused(tiny: Path, tmp_path: Path) -> None:
    digest = checkpoint.checkpoint_digest(str(tiny))
    assert checkpoint.require_digest(str(tiny), digest) == digest
    config = tiny / "config.json"
    config.write_text(config.read_text().replace("{", "{ ", 1))
    with pytest.raises(UsageError, match="has changed since the spec was written"):
        checkpoint.require_digest(str(tiny), digest)


def test_an_adapters_digest_covers_its_base(tiny: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny, tmp_path / "adapter", seed=1)
    before = checkpoint.checkpoint_digest(str(adapter))
    config = tiny / "config.json"
    config.write_text(config.read_text().replace("{", "{ ", 1))
    assert checkpoint.checkpoint_digest(str(adapter)) != before


def test_what_is_no_reward_model_is_refused(tiny: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="it is no reward model"):
        checkpoint.load_reward(tiny)


def test_a_base_without_a_template_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tiny / "chat_template.jinja").unlink()
    with pytest.raises(EnvironmentProblem, match="no chat template"):
        checkpoint.load(str(tiny), None, tmp_path)


def test_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match="only pickled weights"):
        checkpoint.load(str(tiny), None, tmp_path)
