"""Settings and helpers of the tests of PPO."""

from __future__ import annotations

from typing import Any

import torch

from trainers.checkpoint import Lora

LORA = Lora(r=4, alpha=8, dropout=0.5, targets=("q_proj", "v_proj", "o_proj", "up_proj"))
"""With a dropout, which PPO must switch off."""


def shake(model: Any, seed: int, adapter: str = "") -> None:
    """Give every weight of the adapter that starts at zero, and every head, a random value."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f"lora_B.{adapter}" in name or "modules_to_save" in name:
                parameter.normal_(std=0.3)
