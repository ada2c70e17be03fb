"""`easyds train`: stages as child processes, by name or as a program, and how each of their ends is told."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import command, read_jsonl

from harness import stages
from harness.errors import EnvironmentProblem, UsageError

HONEST = """
import json, pathlib, sys
spec = json.load(open(sys.argv[1]))
output = pathlib.Path(spec["output"])
print("noise that means nothing", flush=True)
with open(output / "events.jsonl", "a") as file:
    for step in (1, 2):
        file.write(json.dumps({"step": step, "phase": "mine", "seconds": 0.1, "loss": 1 / step}) + "\\n")
"""
FINISH = '(output / "result.json").write_text(json.dumps({"stage": "mine", "seconds": 1.5, "given": spec}))\n'


def program(folder: Path, body: str) -> Path:
    path = folder / "stage"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def order(path: Path, tmp_path: Path, **spec: Any) -> stages.Order:
    return stages.Order(str(path), {"output": str(tmp_path / "out"), **spec})


def test_any_program_that_keeps_the_contract_is_a_stage(tmp_path: Path, cli: Any) -> None:
    path = program(tmp_path, HONEST + FINISH)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"output": str(tmp_path / "no"), "rate": 1, "deep": {"r": 8}}))
    args = ("train", path, spec, "--output", tmp_path / "out", "--seed", 3, "--set", "deep.r=16", "--set", "name=x")
    done = cli(*args, "--format", "json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["given"] == {"output": str(tmp_path / "out"), "rate": 1, "deep": {"r": 16}, "seed": 3, "name": "x"}
    assert "noise" not in done.out
    assert "noise" in (tmp_path / "out" / "log.txt").read_text()
    again = cli(*args)
    assert (again.code, again.out.split(" in ")[0]) == (0, f"{path}: done")
    assert len(read_jsonl(tmp_path / "out" / "events.jsonl")) == 2, "a stage that is done is not run again"


def test_events_are_told_as_they_come(tmp_path: Path) -> None:
    told: list[Any] = []
    stages.run(order(program(tmp_path, HONEST + FINISH), tmp_path), told.append)
    assert [row["step"] for row in told] == [1, 2]


def test_the_child_is_the_first_to_die_when_memory_runs_out(tmp_path: Path) -> None:
    look = 'import time\ntime.sleep(0.3)\nspec["adj"] = open("/proc/self/oom_score_adj").read().strip()\n'
    result = stages.run(order(program(tmp_path, HONEST + look + FINISH), tmp_path))
    assert result["given"]["adj"] == "1000"


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        ("", 3, "wrote no"),
        ('(output / "result.json").write_text("{")\n', 3, "is not valid JSON"),
        ('(output / "result.json").write_text("[]")\n', 3, "is no JSON object"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", 3, "was killed (SIGKILL"),
        ('sys.exit("trainers: row 7 is empty")\n', 3, "row 7 is empty"),
        ('print("trainers: no such key", file=sys.stderr)\nsys.exit(2)\n', 2, "no such key"),
        ('print("trainers: disk full", file=sys.stderr)\nsys.exit(3)\n', 3, "disk full"),
        ('print("trainers: half done", file=sys.stderr)\nsys.exit(4)\n', 4, "half done"),
        ("raise ValueError('what is this')\n", 3, "ValueError: what is this (see "),
        ("sys.exit(130)\n", 130, "interrupted"),
    ],
)
def test_every_bad_end_is_told_in_one_line(body: str, code: int, word: str, tmp_path: Path, cli: Any) -> None:
    done = cli("train", program(tmp_path, HONEST + body), "--output", tmp_path / "out")
    assert done.code == code
    assert word in done.err
    assert len([line for line in done.err.strip().splitlines() if line.startswith("easyds: ")]) == 1


def test_a_killed_stage_is_started_again_by_the_same_command(tmp_path: Path) -> None:
    once = "import os, signal\nif not (output / 'mark').exists():\n    (output / 'mark').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
    one = order(program(tmp_path, HONEST + once + FINISH), tmp_path)
    with pytest.raises(stages.StageFailed, match="The same command goes on"):
        stages.run(one)
    assert stages.run(one)["stage"] == "mine"


def test_a_folder_that_was_begun_belongs_to_its_spec(tmp_path: Path) -> None:
    path = program(tmp_path, HONEST + FINISH)
    stages.run(order(path, tmp_path, rate=1))
    with pytest.raises(UsageError, match=r"begun with another spec \(rate was 1, is 2\)"):
        stages.run(order(path, tmp_path, rate=2))


def test_what_is_no_program_is_refused(tmp_path: Path, cli: Any) -> None:
    (tmp_path / "text").write_text("no")
    assert "is no executable file" in cli("train", tmp_path / "text", "--output", tmp_path / "o").err
    (tmp_path / "odd").write_bytes(b"\x00\x01")
    (tmp_path / "odd").chmod(0o755)
    done = cli("train", tmp_path / "odd", "--output", tmp_path / "o")
    assert (done.code, "cannot be started" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("sft",), "names no output folder"),
        (("sft", "nowhere.json"), "not a readable JSON spec"),
        (("sft", "--output", "o", "--set", "steps"), "is not KEY=VALUE"),
        (("sft", "--output", "o", "--set", "a=1", "--set", "a.b=1"), "'a' is no object"),
        (("sft", "--output", "o", "--format", "csv"), "unknown format"),
    ],
)
def test_wrong_use_is_one_line(args: tuple[str, ...], word: str, cli: Any, working_folder: Path) -> None:
    done = cli("train", *args)
    assert done.code == 2
    assert word in done.err


def test_stages_by_name_keep_their_own_words(cli: Any, tmp_path: Path) -> None:
    done = cli("train", "sfd", "--output", tmp_path / "o")
    assert done.code == 2
    assert "unknown stage 'sfd'. Did you mean 'sft'?" in done.err
    assert not (tmp_path / "o" / "result.json").exists()


def test_an_interrupt_reaches_the_stage(tmp_path: Path) -> None:
    slow = "import time\n(output / 'ready').touch()\ntime.sleep(60)\n"
    path = program(tmp_path, HONEST + slow + FINISH)
    process = subprocess.Popen(command("train", path, "--output", tmp_path / "out"), stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "out" / "ready").exists():
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told


def test_out_of_memory_in_a_stage_is_one_line(tmp_path: Path) -> None:
    from trainers.__main__ import run_stage

    (tmp_path / "greedy_stage.py").write_text("import torch\ndef run(spec):\n    torch.empty(1 << 60)\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(EnvironmentProblem, match=r"out of memory .* Halve 'batch_size'"):
            run_stage("greedy_stage:run", tmp_path)
    finally:
        sys.path.remove(str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="needs the package 'nowhere'"):
        run_stage("nowhere.at_all:run", tmp_path)
