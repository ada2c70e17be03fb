"""S5, S6 behind the look at a folder (checkpoint.folders): the loaders themselves run nothing that a checkpoint brings."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import EnvironmentProblem
from harness.models import hf
from harness.models.encoder import encoder

LOADERS: dict[str, Callable[[Path], Any]] = {
    "model": lambda folder: hf.load_base(folder, torch.float32, "cpu"),
    "tokenizer": hf.load_tokenizer,
    "encoder": encoder,
}


@pytest.mark.parametrize("name", LOADERS)
def test_code_of_a_checkpoint_does_not_run(tiny: Path, name: str) -> None:
    ran = tiny / "ran"
    (tiny / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    auto_map = {
        "config.json": dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForCausalLM"), "evil.Evil"),
        "tokenizer_config.json": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
    }
    for file, found in auto_map.items():
        config = json.loads((tiny / file).read_text(encoding="utf-8"))
        (tiny / file).write_text(json.dumps({**config, "auto_map": found}), encoding="utf-8")
    with suppress(EnvironmentProblem):
        LOADERS[name](tiny)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["model", "encoder"])
def test_pickled_weights_are_not_read(tiny: Path, name: str) -> None:
    weights = tiny / "model.safetensors"
    torch.save(load_file(weights), tiny / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(EnvironmentProblem):
        LOADERS[name](tiny)
