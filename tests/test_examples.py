"""The external stage of examples/: another TRL than ours, in an environment of its own, started by `easyds train`."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import easyds, read_jsonl

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "trl_ppo"
PAIRS = [
    {"prompt": "My queue gives 3 first. Why?", "chosen": "Which end does it leave from?", "rejected": "1, 2, 3"},
    {"prompt": "我把 1、2、3 依次入队，为什么先得到 3？", "chosen": "元素从哪一端离开？", "rejected": "答案是 1。"},
]


def environment() -> Any:
    """The module examples/trl_ppo/environment.py."""
    spec = importlib.util.spec_from_file_location("environment", EXAMPLE / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_ppo_of_trl_1_12_on_our_reward_model(tiny: Path, task_file: Path, tmp_path: Path) -> None:
    environment().python()  # FileNotFoundError names the command that makes it; 'make test-all' makes it
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in PAIRS * 4), encoding="utf-8")
    reward, policy = tmp_path / "reward", tmp_path / "ppo"
    settings = ["--set", "steps=2", "--set", "batch_size=2", "--set", "held_out=0.5"]
    done = easyds("train", "reward", "--base", tiny, "--data", data, "--output", reward, *settings, timeout=400)
    assert done.returncode == 0, done.stderr
    spec = tmp_path / "spec.json"
    small = {"updates": 2, "episodes": 4, "micro_batch": 2, "epochs": 2, "max_new_tokens": 8}
    spec.write_text(json.dumps({**small, "base": str(tiny), "data": str(data), "reward": str(reward / "checkpoint")}))
    command = ("train", EXAMPLE / "run", spec, "--output", policy)
    done = easyds(*command, timeout=400)
    assert done.returncode == 0, done.stderr
    result = json.loads((policy / "result.json").read_text())
    assert result["versions"]["trl"] == "1.12.0"
    events = read_jsonl(policy / "events.jsonl")
    assert [row["step"] for row in events] == [1, 2]
    assert events[0]["reference_kl"] == pytest.approx(0.0, abs=1e-3)  # the policy begins as the reference
    adapter = json.loads((policy / "checkpoint" / "adapter_config.json").read_text())
    assert Path(adapter["base_model_name_or_path"]) == tiny
    assert not list(policy.glob("checkpoint/*.bin"))
    assert easyds(*command).returncode == 0  # done: nothing is trained again
    assert len(read_jsonl(policy / "events.jsonl")) == 2
    answered = easyds("run", "--model", f"hf/{policy / 'checkpoint'}", "--task", task_file, cwd=tmp_path)
    assert answered.returncode == 0, answered.stderr
    refused = easyds("train", EXAMPLE / "run", spec, "--output", tmp_path / "other", "--set", "update=3")
    assert refused.returncode == 3
    assert "unknown key 'update'" in refused.stderr


@pytest.mark.parametrize("name", ["easyds-serve.service", "compose.yaml"])
def test_the_examples_of_serving_give_options_that_exist(name: str) -> None:
    text = (EXAMPLE.parent / "serve" / name).read_text(encoding="utf-8")
    if name.endswith(".yaml"):
        given = yaml.safe_load(text)["services"]["gateway"]["command"]
    else:
        given = re.search(r"^ExecStart=\S+/easyds (.*)$", text, re.M)[1].split()  # type: ignore[index]
    assert given[0] == "serve"
    done = easyds(*given, "--help")
    assert done.returncode == 0, done.stderr
    done = easyds(*(one if one != "--log" else "--lag" for one in given), "--help")
    assert done.returncode == 2, "this test cannot fail"
