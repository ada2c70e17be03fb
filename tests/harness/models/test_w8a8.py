"""INT8: the arithmetic against full precision, the files as vLLM reads them, and what is saved is what is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.models import Options, hf, open_model, w8a8
from harness.types import Decoding, Item, KeyPoints, Message, Request


def test_the_product_is_that_of_the_rounded_numbers() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 10), torch.randn(2, 5, 24)
    made = w8a8.Linear8.of(layer)
    steps = x.abs().amax(-1, keepdim=True) / 127
    rounded_x = (x / steps).round() * steps
    rounded_w = made.weight.float() * made.weight_scale
    assert torch.allclose(made(x), rounded_x @ rounded_w.t() + layer.bias, atol=1e-5)


def test_the_error_is_that_of_two_roundings() -> None:
    """An entry is off by at most half a step: of 254 steps for the weights of an output, and for a token."""
    torch.manual_seed(1)
    layer, x = nn.Linear(512, 64, bias=False), torch.randn(40, 512)
    made = w8a8.Linear8.of(layer)
    assert (made.weight.float() * made.weight_scale - layer.weight).abs().max() <= layer.weight.abs().max() / 254 + 1e-7
    error = (made(x) - layer(x)).norm() / layer(x).norm()
    assert error < 0.02


@pytest.mark.parametrize("x", [torch.zeros(3, 8), torch.full((1, 8), 1e-30), torch.full((1, 8), 1e30)])
def test_extremes_stay_finite(x: torch.Tensor) -> None:
    made = w8a8.Linear8.of(nn.Linear(8, 8, bias=False))
    assert torch.isfinite(made(x)).all()
    empty = nn.Linear(8, 8, bias=False)
    empty.weight.data.zero_()
    assert (w8a8.Linear8.of(empty)(torch.randn(2, 8)) == 0).all()


@pytest.fixture
def saved(tiny: Path, tmp_path: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).eval()
    w8a8.quantise(model)
    model.save_pretrained(tmp_path / "int8")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "int8")
    return tmp_path / "int8"


def test_files_are_compressed_tensors(saved: Path) -> None:
    """The names, types and shapes that vLLM's int-quantized loader asks for."""
    scheme = json.loads((saved / "config.json").read_text())["quantization_config"]
    assert (scheme["quant_method"], scheme["format"], scheme["ignore"]) == (
        "compressed-tensors",
        "int-quantized",
        ["lm_head"],
    )
    group = scheme["config_groups"]["group_0"]
    assert (group["weights"]["strategy"], group["input_activations"]["strategy"]) == ("channel", "token")
    with safe_open(saved / "model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    layers = [name for name in tensors if name.endswith("_proj.weight")]
    assert len(layers) == 2 * 7
    for name in layers:
        scale = tensors[f"{name}_scale"]
        assert tensors[name].dtype == torch.int8
        assert (scale.dtype, scale.shape) == (torch.bfloat16, (tensors[name].shape[0], 1))
    assert tensors["lm_head.weight"].dtype == tensors["model.embed_tokens.weight"].dtype == torch.bfloat16


def test_what_is_loaded_is_what_was_saved(tiny: Path, saved: Path) -> None:
    before = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).eval()
    full = before(torch.arange(40)[None]).logits
    w8a8.quantise(before)
    loaded = hf.load_base(saved, torch.bfloat16, "cpu")
    ids = torch.arange(40)[None]
    assert torch.equal(loaded(ids).logits, before(ids).logits)
    assert not torch.equal(loaded(ids).logits, full), "nothing was quantised"


def test_the_engine_generates_from_it(saved: Path) -> None:
    item = Item(
        "a", "a", "en", "queue", 1, "test", 1, (Message("user", "Is my heap right?"),), KeyPoints("", "", ()), ""
    )
    requests = [Request(item, 0, item.messages)]
    model = open_model(f"hf/{saved}", Options(device="cpu", dtype="bfloat16"))
    first, again = (list(model.generate(requests, Decoding(max_new_tokens=8))) for _ in range(2))
    assert first[0].text == again[0].text  # type: ignore[union-attr]


def test_another_scheme_is_not_taken_for_ours(saved: Path) -> None:
    """Four bits in int8 clothes would be read as nonsense: compressed-tensors must load it, or nobody."""
    path = saved / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = 4
    path.write_text(json.dumps(config))
    with pytest.raises(hf.EnvironmentProblem, match="does not load"):
        hf.load_base(saved, torch.bfloat16, "cpu")
