"""Profiles: parsed by the libraries that will read them, and training on two processes of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from safetensors.torch import load_file
from support import read_jsonl

from harness.errors import EnvironmentProblem, UsageError
from trainers import profiles
from trainers.__main__ import main
from trainers.sft import Spec
from trainers.stage import read_spec

GPUS = [name for name in profiles.names() if name != "cpu"]


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_the_profiles() -> None:
    assert profiles.names() == ["a100", "cpu", "h200", "rtx3080x2", "rtx3080x2-zero3"]
    assert profiles.load("rtx3080x2-zero3").sharing == 3
    assert profiles.load("a100").sharing == 0
    assert profiles.load("a100", ranks=4).sharing == 2
    with pytest.raises(UsageError, match="Did you mean 'a100'"):
        profiles.load("a10")


@pytest.mark.parametrize("name", GPUS)
def test_accelerate_reads_what_the_launcher_gives_it(name: str) -> None:
    profile = profiles.load(name, ranks=2)
    module, *options = profile.launcher()
    assert module == "accelerate.commands.launch"
    config = ClusterConfig.from_yaml_file(options[options.index("--config_file") + 1])
    args = launch_command_parser().parse_args([*options, "-m", "trainers", "sft", "spec.json"])
    args, _, _ = _validate_launch_command(args)
    assert (args.num_processes, args.module, args.training_script) == (2, True, "trainers")
    assert args.use_deepspeed == bool(profile.sharing)
    assert str(config.distributed_type).endswith("DEEPSPEED" if profile.sharing else "MULTI_GPU")


@pytest.mark.parametrize("stage", [2, 3])
def test_the_deepspeed_files_are_of_their_stage(stage: int) -> None:
    config = HfDeepSpeedConfig(str(profiles.FOLDER / "deepspeed" / f"zero{stage}.json"))
    assert (config.is_zero2(), config.is_zero3()) == (stage == 2, stage == 3)
    assert not config.is_offload()
    for key in ("train_batch_size", "gradient_accumulation_steps", "gradient_clipping", "bf16.enabled"):
        assert config.get_value(key) == "auto"  # the spec says it, once
    launch = yaml.safe_load((profiles.FOLDER / "accelerate" / f"zero{stage}.yaml").read_text())
    assert launch["deepspeed_config"]["zero3_init_flag"] is (stage == 3)


def test_a_profile_sets_what_the_spec_leaves_open(tmp_path: Path) -> None:
    given = {"output": "o", "base": "b", "data": "d", "profile": "rtx3080x2"}
    spec = read_spec(Spec, write(tmp_path / "s.json", given))
    assert spec.gradient_checkpointing
    assert spec.lora is not None
    assert (spec.lora.quantize, spec.lora.r) == ("4bit", 8)
    given |= {"gradient_checkpointing": False, "lora": {"r": 4}}
    spec = read_spec(Spec, write(tmp_path / "s.json", given))
    assert not spec.gradient_checkpointing
    assert spec.lora is not None
    assert (spec.lora.quantize, spec.lora.r) == ("4bit", 4)
    assert read_spec(Spec, write(tmp_path / "s.json", {**given, "lora": None})).lora is None


def test_a_machine_without_the_gpus_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="needs 2 GPUs, this machine has 0"):
        profiles.start_ranks({"profile": "rtx3080x2"}, [])


@pytest.mark.parametrize("name", GPUS)
def test_a_dry_run_answers_for_machines_that_are_not_here(
    name: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "data.jsonl", {"prompt": "Why?", "chosen": "Look.", "rejected": "3"})
    spec = {"base": str(tiny), "data": str(data), "output": str(tmp_path / "out"), "profile": name}
    assert main(["dpo", str(write(tmp_path / "spec.json", spec)), "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    profile = profiles.load(name)
    assert found["available_bytes"] == profile.memory_bytes
    assert (found["load"]["device"], found["load"]["ranks"]) == ("cuda", profile.ranks)


def curve(stage: str, folder: Path, base: Path, batch: int, **spec: Any) -> list[tuple[float, float, float]]:
    """(loss, gradient norm, tokens) of each update."""
    rows = [
        {
            "prompt": "Why does my queue give 3 first? " * (i % 3 + 1),
            "response": "Look at the front. " * (i % 4 + 1),
            "chosen": "Look at the front. " * (i % 4 + 1),
            "rejected": "3, 2, 1",
        }
        for i in range(16)
    ]
    folder.mkdir()
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    whole = {"base": str(base), "data": str(data), "output": str(folder / "out"), "batch_size": batch, "steps": 6}
    path = write(
        folder / "spec.json", {**whole, "learning_rate": 0.01, "save_every": 4, "lora": {"dropout": 0.0}, **spec}
    )
    done = subprocess.run([sys.executable, "-m", "trainers", stage, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(row["loss"], row["grad_norm"], row["tokens"]) for row in read_jsonl(folder / "out" / "events.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_two_processes_train_as_one_does(stage: str, tiny: Path, tmp_path: Path) -> None:
    """The same rows an update, so the same curve. Sums are taken in another order: equal to 1e-5, not to the bit.

    Without DPO's SFT term: TRL 1.16 takes its mean over the tokens of each process, not of all.
    """
    losses = {"losses": ["sigmoid"]} if stage == "dpo" else {}
    one = curve(stage, tmp_path / "one", tiny, 4, **losses)
    two = curve(stage, tmp_path / "two", tiny, 2, ranks=2, **losses)
    assert len(one) == len(two) == 6
    for alone, together in zip(one, two):
        assert together == pytest.approx(alone, rel=1e-5)
    weights = [load_file(tmp_path / name / "out" / "checkpoint" / _FILE[stage]) for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    assert all(abs(weights[0][key] - weights[1][key]).max() < 1e-4 for key in weights[0])


_FILE = {"sft": "model.safetensors", "dpo": "adapter_model.safetensors"}
