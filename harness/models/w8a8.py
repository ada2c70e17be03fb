"""INT8 (W8A8): int8 weights with a scale for each output, int8 activations with a scale for each token as they come.

Weights are rounded to the nearest step, without calibration; embeddings and the output layer keep their precision. The files
are in the compressed-tensors format ("int-quantized"), which vLLM runs by its own INT8 kernels. Here transformers runs them
through `Linear8`, on a processor and on a GPU, without compressed-tensors, which would make full weights of them again.
`install` makes transformers do so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.quantizers import auto
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from harness.errors import EnvironmentProblem

METHOD = "compressed-tensors"
KEPT = ["lm_head"]
_EIGHT = {"num_bits": 8, "type": "int", "symmetric": True}
SCHEME: dict[str, Any] = {
    "quant_method": METHOD,
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {**_EIGHT, "strategy": "channel", "dynamic": False},
            "input_activations": {**_EIGHT, "strategy": "token", "dynamic": True},
        }
    },
    "ignore": KEPT,
}
STEPS = 127
_ROWS = 17
"""Fewest rows that a GPU's int8 product takes"""


class Linear8(nn.Module):
    """y = (round(x / s) @ W.T) * s * weight_scale + bias, with s = max|x| / 127 of each token; the product is exact in int32."""

    def __init__(self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=torch.int8), requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(outputs, 1, dtype=dtype), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs, dtype=dtype), requires_grad=False) if bias else None

    @classmethod
    def of(cls, linear: nn.Linear) -> Linear8:
        """A layer's weights rounded to the nearest of 255 steps; an output's largest weight is the last step."""
        made = cls(linear.in_features, linear.out_features, linear.bias is not None, linear.weight.dtype)
        weight = linear.weight.data.float()
        scale = (
            (weight.abs().amax(1, keepdim=True) / STEPS)
            .clamp(min=torch.finfo(torch.float32).tiny)
            .to(linear.weight.dtype)
        )
        made.weight.data = (weight / scale.float()).round().clamp(-STEPS, STEPS).to(torch.int8)
        made.weight_scale.data = scale
        if linear.bias is not None and made.bias is not None:
            made.bias.data = linear.bias.data
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1]).float()
        scale = (rows.abs().amax(1, keepdim=True) / STEPS).clamp(min=1e-12)
        whole = (rows / scale).round_().to(torch.int8)
        short = max(0, _ROWS - len(whole)) if x.is_cuda else 0
        product = torch._int_mm(nn.functional.pad(whole, (0, 0, 0, short)), self.weight.t())[: len(whole)]
        out = (product.float() * scale * self.weight_scale.float().t()).to(x.dtype)
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*x.shape[:-1], out.shape[-1])


def quantise(model: Any) -> None:
    """Put `Linear8` in the place of every linear layer of a loaded model but the output layer; it can then be saved.

    Raises EnvironmentProblem for a model without such layers.
    """
    layers = [(name, one) for name, one in model.named_modules() if type(one) is nn.Linear and not _kept(name, KEPT)]
    if not layers:
        raise EnvironmentProblem(
            f"{type(model).__name__} has no linear layers to make INT8 of. Choose another --precision."
        )
    for name, layer in layers:
        model.set_submodule(name, Linear8.of(layer))
    model.config.quantization_config = Config(**SCHEME)


def _kept(name: str, ignored: list[str]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in ignored)


class Config(QuantizationConfigMixin):  # type: ignore[misc]
    """The scheme of this module, as it stands in config.json."""

    def __init__(self, **scheme: Any) -> None:
        self.quant_method = METHOD
        self.scheme = scheme

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **others: Any) -> Any:
        """Ours if it is this scheme, else compressed-tensors' own (which needs that package)."""
        if not _is_ours(config_dict):
            return _THEIRS.from_dict(config_dict, return_unused_kwargs=return_unused_kwargs, **others)
        made = cls(**config_dict)
        return (made, others) if return_unused_kwargs else made

    def to_dict(self) -> dict[str, Any]:
        return dict(self.scheme)

    def to_diff_dict(self) -> dict[str, Any]:
        return self.to_dict()


def _is_ours(scheme: dict[str, Any]) -> bool:
    groups = list((scheme.get("config_groups") or {}).values())
    wanted = SCHEME["config_groups"]["group_0"]

    def agrees(name: str) -> bool:
        given = groups[0].get(name) or {}
        return all(given.get(key) == value for key, value in wanted[name].items())

    return (
        scheme.get("format") == SCHEME["format"]
        and len(groups) == 1
        and groups[0].get("targets") == ["Linear"]
        and agrees("weights")
        and agrees("input_activations")
        and not groups[0].get("output_activations")
        and not scheme.get("kv_cache_scheme")
        and not any(name.startswith("re:") for name in scheme.get("ignore") or ())
    )


class Quantizer(HfQuantizer):  # type: ignore[misc]
    """Loads what `quantise` saved."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        ignored = self.quantization_config.scheme.get("ignore") or []
        for name, layer in list(model.named_modules()):
            if type(layer) is nn.Linear and not _kept(name, ignored):
                with torch.device("meta"):
                    made = Linear8(layer.in_features, layer.out_features, layer.bias is not None, layer.weight.dtype)
                model.set_submodule(name, made)

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def install() -> None:
    """Let transformers load this scheme through `Linear8`; other compressed-tensors schemes go their usual way."""
    auto.AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD] = Config
    auto.AUTO_QUANTIZER_MAPPING[METHOD] = _quantizer


def _quantizer(config: Any, **settings: Any) -> Any:
    return (Quantizer if isinstance(config, Config) else _THEIR_QUANTIZER)(config, **settings)


_THEIRS = auto.AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD]
_THEIR_QUANTIZER = auto.AUTO_QUANTIZER_MAPPING[METHOD]
