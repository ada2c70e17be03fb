"""What every stage shares: its spec, its folder, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import Runs, read_jsonl

from harness.errors import EnvironmentProblem, UsageError
from harness.record import Lines
from harness.simulator import dialogues
from harness.simulator.items import Plan
from trainers.stage import Stage, StageSpec, load_tensors, read_spec, save_tensors

SYSTEM = {"zh": "辅导学生。", "en": "Tutor the student."}


@dataclass(frozen=True, kw_only=True)
class Inner:
    r: int = 8
    targets: tuple[str, ...] = ("q_proj",)


@dataclass(frozen=True, kw_only=True)
class Toy(StageSpec):
    rate: float = 0.5
    lora: Inner | None = None


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_spec_is_read_with_its_nested_parts(tmp_path: Path) -> None:
    spec = read_spec(Toy, write(tmp_path / "s.json", {"output": "o", "rate": 1, "lora": {"targets": ["a", "b"]}}))
    assert spec == Toy(output="o", rate=1.0, lora=Inner(targets=("a", "b")))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([], "JSON object"),
        ({}, "'output' is missing"),
        ({"output": "o", "rat": 1}, "unknown key 'rat'"),
        ({"output": "o", "rate": "fast"}, "'rate' cannot be 'fast'"),
        ({"output": "o", "seed": True}, "'seed' cannot be True"),
        ({"output": "o", "lora": {"q": 1}}, "unknown key 'q'"),
        ({"output": "o", "threads": 0}, "at least 1"),
    ],
)
def test_a_bad_spec_says_which_key(given: Any, word: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=word):
        read_spec(Toy, write(tmp_path / "s.json", given))


def test_a_folder_belongs_to_one_spec_and_one_writer(tmp_path: Path) -> None:
    data = write(tmp_path / "data", 1)
    stage = Stage("toy", Toy(output=str(tmp_path / "o")), {"data": data})
    with stage, pytest.raises(EnvironmentProblem, match="another process"):
        Stage("toy", Toy(output=str(tmp_path / "o")), {"data": data})
    with Stage("toy", Toy(output=str(tmp_path / "o"), rate=0.4), {"data": data}):
        pass  # nothing was trained yet: the spec may still be mended
    with Stage("toy", Toy(output=str(tmp_path / "o")), {"data": data}) as stage:
        stage.event(1, "toy", loss=1.0)
    with pytest.raises(UsageError, match=r"spec: rate was 0\.5, is 0\.6"):
        Stage("toy", Toy(output=str(tmp_path / "o"), rate=0.6), {"data": data})
    write(data, 2)
    with pytest.raises(UsageError, match="inputs: data was"):
        Stage("toy", Toy(output=str(tmp_path / "o")), {"data": data})


def test_a_state_from_elsewhere_runs_no_code(tmp_path: Path) -> None:
    """S5"""
    save_tensors(tmp_path, optimizer=Runs(tmp_path / "ran"))
    with pytest.raises(UnpicklingError):
        load_tensors(tmp_path, "optimizer")
    assert not (tmp_path / "ran").exists()


def test_a_state_counts_when_it_is_whole_and_events_go_back_to_it(tmp_path: Path) -> None:
    spec = Toy(output=str(tmp_path / "o"))
    with Stage("toy", spec, {}) as stage:
        for step in (1, 2, 3):
            stage.event(step, "toy", loss=1.0 / step)
        with stage.saving(2) as folder:
            save_tensors(folder, weights={"w": torch.ones(2)})
        with suppress(KeyError), stage.saving(3) as folder:
            save_tensors(folder, weights={"w": torch.zeros(2)})
            raise KeyError
    with Stage("toy", spec, {}) as stage:
        assert stage.step == 2
        assert stage.state is not None
        assert torch.equal(load_tensors(stage.state, "weights")[0]["w"], torch.ones(2))
        assert [row["step"] for row in read_jsonl(stage.folder / "events.jsonl")] == [1, 2]
        stage.finish(answer=42)
    assert Stage("toy", spec, {}).done


def test_a_state_counts_only_once_the_events_before_it_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are written by a thread of its own; with a slow disk a kill would lose those that the state stands on."""
    write = Lines._write
    monkeypatch.setattr(Lines, "_write", lambda self, line: (time.sleep(0.05), write(self, line))[1])
    with Stage("toy", Toy(output=str(tmp_path / "o")), {}) as stage:
        for step in (1, 2, 3):
            stage.event(step, "toy", loss=1.0)
        with stage.saving(3):
            pass
        assert [row["step"] for row in read_jsonl(stage.folder / "events.jsonl")] == [1, 2, 3]
        stage.event(4, "toy", loss=1.0)
    assert [row["step"] for row in read_jsonl(stage.folder / "events.jsonl")] == [1, 2, 3, 4]


def test_a_loss_that_is_no_number_ends_the_stage(tmp_path: Path) -> None:
    stage = Stage("toy", Toy(output=str(tmp_path / "o")), {})
    with stage, pytest.raises(EnvironmentProblem, match="loss became nan at step 7"):
        stage.event(7, "toy", loss=float("nan"))


def test_a_killed_stage_ends_with_the_weights_it_would_have_had(tmp_path: Path) -> None:
    rows = list(dialogues.build(Plan("train", 40, families=("stack",), difficulties=(1,)), "mixture", SYSTEM))
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    small = {"data": str(data), "steps": 30, "batch_size": 4, "hidden": 32, "layers": 1, "vocabulary": 700}

    def start(name: str) -> tuple[Path, list[str]]:
        spec = write(tmp_path / f"{name}.json", {**small, "save_every": 5, "output": str(tmp_path / name)})
        return tmp_path / name, [sys.executable, "-m", "trainers", "base", str(spec)]

    whole, command = start("whole")
    assert subprocess.run(command).returncode == 0
    killed, command = start("killed")
    process = subprocess.Popen(command)
    while not any((killed / "trainer_state").glob("step-*/whole.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "result.json").exists()
    assert subprocess.run(command).returncode == 0
    first, second = (load_file(folder / "checkpoint" / "model.safetensors") for folder in (whole, killed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [[(row["step"], row["loss"]) for row in read_jsonl(one / "events.jsonl")] for one in (whole, killed)]
    assert steps[0] == steps[1]
