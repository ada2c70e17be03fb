"""The memory estimate, against what torch keeps, against closed forms, and in what it advises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from harness.errors import EnvironmentProblem, UsageError
from trainers import memory
from trainers.__main__ import main
from trainers.memory import Load, Shape, estimate, halvings, kept_per_token, require_fit, trainable

ATTENTION = ("q_proj", "k_proj", "v_proj")
EVERY = (*ATTENTION, "o_proj", "gate_proj", "up_proj", "down_proj")
SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
QWEN_7B = Shape(
    hidden=3584,
    layers=28,
    heads=28,
    kv_heads=4,
    head_dim=128,
    intermediate=18944,
    vocabulary=152064,
    tied=False,
    qkv_bias=True,
)
"""Qwen2.5-7B's config.json."""


def shape_of(config: Any, folder: Path) -> Shape:
    config.save_pretrained(folder)
    return Shape.read(folder)


@pytest.mark.parametrize(("kind", "model"), [(Qwen2Config, Qwen2ForCausalLM), (LlamaConfig, LlamaForCausalLM)])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_counted_as_transformers_makes_them(kind: Any, model: Any, tied: bool, tmp_path: Path) -> None:
    config = kind(**SIZES, num_hidden_layers=3, tie_word_embeddings=tied)
    assert shape_of(config, tmp_path).parameters == model(config).num_parameters()


def test_the_published_counts_of_qwen_7b() -> None:
    assert QWEN_7B.parameters == 7_615_616_512
    assert QWEN_7B.in_linears == 6_525_288_448
    load = Load(method="sft", rows=1, length=2048, rank=8, targets=ATTENTION)
    assert trainable(QWEN_7B, load) == 3_440_640


def kept_by_torch(load: Load, layers: int) -> int:
    """Bytes of distinct storages that autograd keeps in a forward pass, parameters aside."""
    torch.manual_seed(0)
    config = Qwen2Config(**SIZES, num_hidden_layers=layers)
    model: Any = Qwen2ForCausalLM(config).to(torch.float32 if load.weight_bytes == 4 else torch.bfloat16)
    if load.rank:
        adapter = LoraConfig(r=load.rank, lora_dropout=load.dropout, target_modules=list(load.targets))
        model = get_peft_model(model, adapter).base_model.model
    model.train()
    mine = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, 300, (load.rows, load.length))
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(one.untyped_storage().nbytes() for key, one in kept.items() if key not in mine)


@pytest.mark.parametrize("weight_bytes", [4, 2])
@pytest.mark.parametrize(
    ("rank", "targets", "dropout"),
    [(8, ATTENTION, 0.1), (8, ATTENTION, 0.0), (8, EVERY, 0.1), (4, EVERY, 0.0), (0, (), 0.0)],
)
def test_what_a_layer_keeps_is_what_torch_keeps(
    weight_bytes: int, rank: int, targets: tuple[str, ...], dropout: float, tmp_path: Path
) -> None:
    shape = shape_of(Qwen2Config(**SIZES, num_hidden_layers=1), tmp_path)
    load = Load(method="sft", rows=2, length=48, weight_bytes=weight_bytes, rank=rank, targets=targets, dropout=dropout)
    measured = (kept_by_torch(load, 3) - kept_by_torch(load, 2)) / (load.rows * load.length)
    assert kept_per_token(shape, load) == pytest.approx(measured, rel=0.01)


LORA = Load(method="sft", rows=8, length=512, rank=8, targets=ATTENTION, dropout=0.1)


def test_fewer_rows_come_first_then_checkpointing_then_four_bits() -> None:
    def advice(load: Load, room: float) -> str:
        with pytest.raises(EnvironmentProblem) as raised:
            require_fit(QWEN_7B, load, 2, int(room))
        return str(raised.value)

    gpu = replace(LORA, device="cuda", weight_bytes=2)
    assert require_fit(QWEN_7B, gpu, 2, 10**12) == estimate(QWEN_7B, gpu)
    least = {rows: estimate(QWEN_7B, replace(gpu, rows=rows))["total"] for rows in (8, 4, 1)}
    assert least[8] > least[4] > least[1]
    assert "This would fit: batch_size 4 with accumulation 4." in advice(gpu, memory.MARGIN * least[4] + 1)
    assert "This would fit: batch_size 4 with accumulation 4, gradient_checkpointing true." in advice(
        gpu, memory.MARGIN * estimate(QWEN_7B, replace(gpu, rows=4, checkpointing=True))["total"] + 1
    )
    assert "lora.quantize 4bit" in advice(gpu, 10e9)
    assert "Nothing that the spec can change" in advice(gpu, 5e9)


def test_halvings_divide_the_batch() -> None:
    assert halvings(12) == [12, 6, 3, 1]
    assert halvings(16) == [16, 8, 4, 2, 1]
    assert halvings(7) == [7, 1]


def test_zero_shares_what_it_says_it_shares() -> None:
    whole = replace(LORA, device="cuda", weight_bytes=2, rank=0, targets=())
    alone, two, three = (estimate(QWEN_7B, replace(whole, ranks=2, zero=zero)) for zero in (0, 2, 3))
    assert two["optimiser"] == alone["optimiser"] // 2
    assert two["weights"] == alone["weights"] == 2 * three["weights"]


def test_a_pair_is_two_sequences_and_a_reward_model_has_no_logits() -> None:
    assert estimate(QWEN_7B, replace(LORA, method="dpo")) == estimate(QWEN_7B, replace(LORA, rows=16))
    assert "logits" not in estimate(QWEN_7B, replace(LORA, method="reward"))
    assert "logits" in estimate(QWEN_7B, replace(LORA, checkpointing=True, whole_logits=True))


@pytest.fixture
def big(tiny: Path, tmp_path: Path) -> Path:
    """A spec on a base that has Qwen2.5-7B's config.json and no weights at all."""
    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    )
    config.save_pretrained(tiny)
    assert Shape.read(tiny) == QWEN_7B
    (tiny / "model.safetensors").write_bytes(b"")
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": "Why?" * length, "response": "Look at the front."} for length in (1, 30, 2)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"base": str(tiny), "data": str(data), "output": str(tmp_path / "out")}))
    return spec


def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    big: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 16 << 30)
    assert main(["sft", str(big)]) == 137  # and easyds train ends with 3
    problem = capsys.readouterr().err
    assert "weights 30.46 GB" in problem  # four bytes for each of 7.6 thousand million
    assert "17.18 GB are there" in problem
    assert "lora.quantize 4bit" in problem


def test_a_dry_run_tells_the_parts_and_writes_nothing(big: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sft", str(big), "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained"] == 3_440_640
    assert found["bytes"]["total"] == sum(value for name, value in found["bytes"].items() if name != "total")
    tokens = len(AutoTokenizer.from_pretrained(big.parent / "tiny")("Why?" * 30)["input_ids"])
    assert tokens < found["load"]["length"] < tokens + 60  # the longest row, its answer and the template's marks
    assert not (big.parent / "out").exists()


def test_no_estimate_for_another_kind_of_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(UsageError, match="memory cannot be estimated"):
        Shape.read(tmp_path)
