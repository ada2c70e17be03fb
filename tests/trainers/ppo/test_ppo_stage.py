"""The stage `ppo`: its contract, exact resume, what is kept, stop rules, several processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import item_row, make_adapter, make_task, read_jsonl

from harness.errors import UsageError
from harness.models import hf
from harness.models.checkpoint import MARK, folders, is_oracle
from trainers.ppo import stage

Spec = Callable[..., Path]


def output(spec: Path) -> Path:
    return Path(json.loads(spec.read_text())["output"])


def events(spec: Path, phase: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(output(spec) / "events.jsonl") if row["phase"] == phase]


def result(spec: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output(spec) / "result.json").read_text())
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    adapter = load_file(folder / "checkpoint" / "adapter_model.safetensors")
    return {**adapter, **load_file(folder / stage.VALUE_HEAD)}


def test_the_stage_writes_its_contract(write_spec: Spec, reward_model: Path) -> None:
    spec = write_spec("all", reward={str(reward_model): 1.0, "length": -0.1}, frontier=4)
    stage.run(spec)
    rows = events(spec, "ppo")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    wanted = (
        "reward reference_kl reference_kl_per_token update_kl update_kl_per_token learning_rate multiplier coefficient"
    )
    wanted += " grad_norm clipped_gradients entropy length ended distinct tokens memory generate_s update_s"
    assert set(wanted.split()) <= set(rows[0])
    assert rows[0]["reference_kl"] == 0
    validated = events(spec, "validation")
    assert [row["step"] for row in validated] == [0, 1, 2, 3, 4]
    assert validated[0]["reference_kl"] == 0
    assert "gold" not in validated[0], "these items have no facts, so gold was not measured"
    for row in validated:
        folder = output(spec) / "frontier" / f"step-{row['step']:06d}"
        assert {path.name for path in folder.glob("*.safetensors")} == {"adapter_model.safetensors", stage.VALUE_HEAD}
        episodes = read_jsonl(folder / "validation.jsonl")
        assert sum(one["reward"] for one in episodes) / len(episodes) == pytest.approx(row["reward"])
    kept = result(spec)["kept"]
    assert kept["value"] == max(row["reward"] for row in validated)
    best = output(spec) / "frontier" / f"step-{int(kept['step']):06d}"
    saved = load_file(best / "adapter_model.safetensors")
    assert all(torch.equal(one, saved[name]) for name, one in weights(output(spec)).items() if name in saved)
    assert len(weights(output(spec))) == len(saved) + 2
    assert not (output(spec) / "trainer_state").exists()
    assert not is_oracle(output(spec) / "checkpoint")


def test_what_comes_from_an_oracle_arm_is_marked(write_spec: Spec, tiny: Path) -> None:
    (tiny / MARK).write_text('{"oracle": true}')
    spec = write_spec("marked")
    stage.run(spec)
    assert is_oracle(output(spec) / "checkpoint")
    assert is_oracle(output(spec) / "frontier" / "step-000004")
    assert result(spec)["oracle"] is True


def test_the_checkpoint_loads_as_any_adapter_does(write_spec: Spec, tiny: Path) -> None:
    spec = write_spec("loads", stop={"distinct": 0.0, "ended": 0.0})
    stage.run(spec)
    last = output(spec) / "frontier" / "step-000004"
    model = hf.with_adapter(hf.load_base(tiny, torch.float32, "cpu"), last)
    found = folders(str(output(spec) / "checkpoint"))
    assert found.base == tiny.resolve()
    assert (found.adapter, found.tokenizer) == (output(spec) / "checkpoint",) * 2
    ids = torch.tensor([[5, 9, 11, 40, 7]])
    with torch.no_grad(), model.disable_adapter():
        before = model(input_ids=ids).logits
    assert not torch.allclose(model(input_ids=ids).logits, before, atol=1e-3)


def test_a_merged_checkpoint_is_whole(write_spec: Spec, reward_model: Path) -> None:
    spec = write_spec("merged", merge=True, reward=str(reward_model), ppo={"iterations": 2})
    stage.run(spec)
    assert folders(str(output(spec) / "checkpoint")).adapter is None
    assert (output(spec) / "adapter" / "adapter_model.safetensors").exists()
    assert not (output(spec) / "adapter" / "reward").exists()


def test_a_killed_run_ends_with_the_weights_it_would_have_had(write_spec: Spec, reward_model: Path) -> None:
    changes = {
        "reward": {str(reward_model): 1.0, "length": -1.0},
        "save_every": 2,
        "ppo": {"iterations": 7, "reference_kl": {"target": 0.5}},
    }
    whole, killed = write_spec("whole", **changes), write_spec("killed", **changes)
    stage.run(whole)
    process = subprocess.Popen([sys.executable, "-m", "trainers", "ppo", str(killed)])
    while not list((output(killed) / "trainer_state").glob("step-*/whole.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output(killed) / "result.json").exists(), "it ended before it could be killed"
    stage.run(killed)
    ours, theirs = weights(output(killed)), weights(output(whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    timeless = [
        [
            {k: v for k, v in row.items() if k not in ("seconds", "memory") and not k.endswith("_s")}
            for row in read_jsonl(output(one) / "events.jsonl")
        ]
        for one in (killed, whole)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ({"reference_kl": 1e-6}, "KL to the reference"),
        ({"ended": 1.01}, "came to an end"),
        ({"distinct": 1.5}, "3-grams"),
    ],
)
def test_a_stop_rule_ends_the_run_and_says_why(rules: dict[str, float], word: str, write_spec: Spec) -> None:
    spec = write_spec("stopped", stop=rules, ppo={"iterations": 9})
    stage.run(spec)
    assert word in result(spec)["stopped"]
    assert result(spec)["iterations"] == events(spec, "ppo")[-1]["step"] == events(spec, "validation")[-1]["step"] < 9


def test_a_bad_spec_is_refused_before_training(
    write_spec: Spec, tiny: Path, reward_model: Path, tmp_path: Path
) -> None:
    test_items = make_task(tmp_path / "test-task", [item_row(0, split="test")])
    other = make_adapter(tiny, tmp_path / "other", seed=4)
    refused = {
        "multiple of": {"ppo": {"episodes": 9}},
        "temperature": {"ppo": {"temperature": 0.0}},
        "frontier": {"frontier": 99},
        "of the split 'test'": {"validation": str(test_items)},
        "must name gold, length": {"reward": {}},
        "simulator's facts": {"reward": "gold"},
        "another 'keep'": {"keep": "gold"},
        "not the base's": {"reward": str(reward_model), "base": str(other)},
    }
    for number, (word, changes) in enumerate(refused.items()):
        with pytest.raises(UsageError, match=word):
            stage.run(write_spec(f"refused-{number}", **changes))


@pytest.mark.slow
def test_two_processes_train_as_one_does(write_spec: Spec) -> None:
    changes = {"ppo": {"iterations": 3, "learning_rate": 1e-3, "reference_kl": {"coefficient": 0.3}}}
    one, two = write_spec("one", **changes), write_spec("two", **changes)
    stage.run(one)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    done = subprocess.run([*launcher, "-m", "trainers", "ppo", str(two)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert result(two)["processes"] == 2
    for ours, theirs in zip(events(two, "ppo"), events(one, "ppo")):
        for name in (
            "reward",
            "length",
            "reference_kl",
            "update_kl",
            "grad_norm",
            "policy_loss",
            "value_loss",
            "tokens",
        ):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), name
    ours, theirs = weights(output(two)), weights(output(one))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)
