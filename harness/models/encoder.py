"""Sentence vectors of a local encoder: texts that say the same lie near each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from harness.errors import EnvironmentProblem
from harness.models import hf

TOKENS = 512
Encode = Callable[[Sequence[str]], np.ndarray]


def encoder(folder: Path, device: str = "cpu") -> Encode:
    """A function from n texts to n vectors of length 1 (n, width) in float32: the mean of the last hidden states.

    Loads safetensors only and no code of the checkpoint's. Raises EnvironmentProblem for a folder that does not load.
    """
    tokenizer: Any = hf.load_tokenizer(folder)
    load: Any = AutoModel.from_pretrained
    try:
        model = load(folder, trust_remote_code=False, use_safetensors=True, local_files_only=True).to(device).eval()
    except Exception as error:  # each format and architecture fails in its own way
        raise EnvironmentProblem(
            f"{folder} does not load as an encoder ({str(error).splitlines()[0][:200]})."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    def encode(texts: Sequence[str]) -> np.ndarray:
        batch = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=TOKENS).to(device)
        with torch.inference_mode():
            states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        mask = batch["attention_mask"][..., None].to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        vectors: np.ndarray = torch.nn.functional.normalize(mean.float(), dim=1).cpu().numpy()
        return vectors

    return encode
