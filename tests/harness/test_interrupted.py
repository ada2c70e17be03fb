"""A run that is killed at any moment and started again equals one that was never disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import answers, command, easyds, item_row, make_task, manifest, only_run, read_jsonl, scores

SLOW_CONTROL = """
import time
from harness.models.control import Control
quick = Control.generate
def slow(self, requests, decoding):
    for response in quick(self, requests, decoding):
        time.sleep(0.002)
        yield response
Control.generate = slow
"""
SLOW_SCORER = """
import time
from harness.scorers.reference import Reference
quick_score = Reference.score
def slow_score(self, items, responses):
    for score in quick_score(self, items, responses):
        time.sleep(0.0005)
        yield score
Reference.score = slow_score
"""
LOG_ADMITTED = """
import os
from harness.models.engine import Slots
log = os.open(os.environ["ADMITTED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
quick_admit = Slots.admit
def admit(self, rows):
    os.write(log, f"{len(rows)}\\n".encode())
    quick_admit(self, rows)
Slots.admit = admit
"""


def lines_in(runs: Path, name: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in runs.glob(f"*/{name}"))


def kill_when(process: subprocess.Popen, runs: Path, name: str, lines: int) -> bool:
    """SIGKILL `process` once `name` has `lines` lines. False if it ended before."""
    while lines_in(runs, name) < lines:
        if process.poll() is not None:
            return False
        time.sleep(0.0005)
    process.kill()
    return process.wait() == -signal.SIGKILL


def start(args: list[str | Path], before: str = "", env: dict[str, str] | None = None) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command(*args, before=before), env={**os.environ, **(env or {})}, **quiet)


def forked(args: list[str | Path]) -> int:
    """`easyds ARGS` in a forked child, so that twenty kills do not cost twenty starts of Python. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        for patch in (SLOW_CONTROL, SLOW_SCORER):
            exec(patch, {})  # noqa: S102  our own text, above
        from harness.cli import main

        main([str(arg) for arg in args])
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    finally:
        os._exit(99)


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_twenty_kills(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", [item_row(number) for number in range(40)], scorers=["rouge_l", "chrf"])
    args: list[str | Path] = ["run", "-m", "control/parrot", "-t", task, "--samples", "5"]
    assert easyds(*args, "--runs", tmp_path / "whole").returncode == 0
    whole = only_run(tmp_path / "whole")
    for module in (
        "harness.cli.app",
        "harness.board",
        "harness.run",
        "harness.models.control",
        "sacrebleu.metrics.chrf",
    ):
        import_module(module)  # once here, not in every fork
    draw, runs = Random(7), tmp_path / "killed"
    kills, during_generation, during_scoring = 0, 0, 0
    while kills < 20:
        scoring = kills >= 14
        name, seen = ("scores.jsonl", "during_scoring") if scoring else ("responses.jsonl", "during_generation")
        target = lines_in(runs, name) + draw.randint(0, 12)
        before = {path: path.read_bytes() for path in runs.glob("*/*.jsonl")}
        pid = forked([*args, "--runs", runs])
        while lines_in(runs, name) < target and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.0005)
        time.sleep(draw.random() * 0.005)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the run ended before it was killed: give it more to do"
        kills += 1
        during_generation += seen == "during_generation" and 0 < lines_in(runs, "responses.jsonl") < 200
        during_scoring += seen == "during_scoring" and 0 < lines_in(runs, "scores.jsonl") < 400
        for path, data in before.items():
            assert path.read_bytes().startswith(data[: data.rfind(b"\n") + 1]), "what was written before is gone"
    assert during_generation >= 8
    assert during_scoring >= 3
    done = easyds(*args, "--runs", runs)
    assert done.returncode == 0, done.stderr
    folder = only_run(runs)
    assert manifest(folder)["status"] == "complete"
    assert answers(folder) == answers(whole)
    assert len(answers(folder)) == 200
    assert scores(folder) == scores(whole)


@pytest.mark.slow
def test_three_kills_of_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", [item_row(number) for number in range(60)])
    batch = 4
    args: list[str | Path] = [
        "run",
        "-m",
        f"hf/{tiny}",
        "-t",
        task,
        "--batch-size",
        str(batch),
        "--max-new-tokens",
        "40",
    ]
    args += ["--temperature", "1", "--as", "tiny"]
    assert easyds(*args, "--runs", tmp_path / "whole").returncode == 0
    runs, asked = tmp_path / "killed", 0
    for kill, lines in enumerate((5, 20, 41)):
        log = tmp_path / f"admitted-{kill}"
        had = lines_in(runs, "responses.jsonl")
        process = start([*args, "--runs", runs], LOG_ADMITTED, {"ADMITTED": str(log)})
        assert kill_when(process, runs, "responses.jsonl", lines)
        answered = lines_in(runs, "responses.jsonl") - had
        asked = sum(map(int, log.read_text().split()))
        assert asked - answered <= batch + 1, "more than one batch (and the row being written) is to be done again"
    assert easyds(*args, "--runs", runs).returncode == 0
    assert answers(only_run(runs)) == answers(only_run(tmp_path / "whole"))
    assert len(answers(only_run(runs))) == 60


def test_interrupt_ends_with_130_and_continues(tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task", [item_row(number) for number in range(300)])
    args: list[str | Path] = ["run", "-m", "control/parrot", "-t", task, "--runs", runs]
    process = subprocess.Popen(
        command(*args, before=SLOW_CONTROL), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while lines_in(runs, "responses.jsonl") < 5:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.startswith("easyds: interrupted")
    assert err.count("\n") == 1
    kept = answers(only_run(runs))
    assert 5 <= len(kept) < 300
    assert manifest(only_run(runs))["status"] != "complete"
    assert easyds(*args).returncode == 0
    assert answers(only_run(runs)).items() >= kept.items()
    assert len(answers(only_run(runs))) == 300


def test_a_torn_last_line_is_asked_again(cli: Callable[..., Any], task_file: Path, runs: Path) -> None:
    args = ("run", "-m", "control/parrot", "-t", task_file, "--runs", runs)
    assert cli(*args).code == 0
    folder = only_run(runs)
    whole = answers(folder)
    data = (folder / "responses.jsonl").read_bytes()
    (folder / "responses.jsonl").write_bytes(data[:-10])
    assert cli(*args).code == 0
    assert answers(folder) == whole
    assert len(read_jsonl(folder / "scores.jsonl")) == 6
