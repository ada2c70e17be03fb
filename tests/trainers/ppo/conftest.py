"""What the tests of PPO share: prompts on the tiny random checkpoint, and its one backbone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from ppo_support import LORA, shake
from support import ASKED, item_row, make_task

from harness.models import chat
from harness.types import Message
from trainers import checkpoint
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo.backbone import Backbone


@pytest.fixture
def loaded(tiny: Path, tmp_path: Path) -> Loaded:
    return checkpoint.load(str(tiny), LORA, tmp_path / "merged")


@pytest.fixture
def prompts(loaded: Loaded) -> list[Prompt]:
    turns = [[Message("user", text)] for _, text in ASKED]
    return [Prompt(chat.encode(loaded.tokenizer, chat.render(loaded.tokenizer, one)), one, {}, None) for one in turns]


@pytest.fixture
def reward_model(tiny: Path, tmp_path: Path) -> Path:
    """A reward stage's checkpoint on `tiny`: a random adapter and head."""
    whole = checkpoint.load(str(tiny), LORA, tmp_path / "merged")
    scorer = get_peft_model(checkpoint.with_head(whole.model, 5), LORA.config(tiny, head=True))
    shake(scorer, 6)
    checkpoint.save_reward(scorer, whole, tmp_path / "reward")
    return tmp_path / "reward" / "checkpoint"


@pytest.fixture
def backbone(loaded: Loaded, reward_model: Path) -> Backbone:
    """Policy (moved away from the reference), reference, reward and value head."""
    found = Backbone(loaded.model, LORA.config(loaded.folder), 0, reward_model)
    shake(found.peft, 7, "default")
    torch.nn.init.normal_(found.value_head.weight)
    return found


@pytest.fixture
def write_spec(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a small spec of the stage, with some settings changed; its path. `ppo` changes settings of the algorithm."""
    rows = [item_row(number, split="validation") for number in range(4)]
    task = make_task(tmp_path / "validation", rows)
    data = tmp_path / "prompts.jsonl"
    turns = [asdict(Message("user", text)) for _, text in ASKED]
    data.write_text("".join(json.dumps({"prompt": [turn]}, ensure_ascii=False) + "\n" for turn in turns))

    def write(name: str, **changes: Any) -> Path:
        how = {"iterations": 4, "episodes": 8, "samples": 2, "minibatch": 4, "micro_batch": 3, "max_new_tokens": 8}
        spec = {
            "base": str(tiny),
            "data": str(data),
            "validation": str(task),
            "validation_samples": 1,
            "keep": "reward",
            "output": str(tmp_path / name),
            "reward": {"length": -1.0},
            "lora": asdict(LORA),
            "frontier": 2,
            "save_every": 1,
            **changes,
            "ppo": {**how, "learning_rate": 1e-2, **changes.get("ppo", {})},
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(spec))
        return path

    return write
