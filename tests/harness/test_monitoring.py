"""Following a stage: its events told once and in order, the view, and trackers that copy them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support import command, easyds

from harness.cli.watch import Follow
from harness.errors import EnvironmentProblem, UsageError
from harness.stages import Tail
from harness.trackers import open_tracker

ROW: dict[str, Any] = {
    "step": 10,
    "steps": 40,
    "phase": "sft",
    "seconds": 6.0,
    "memory": 1_500_000_000,
    "tokens": 3000,
    "loss": 1.25,
    "learning_rate": 1e-4,
    "grad_norm": 0.5,
}
ALARM = {"step": 10, "phase": "alarm", "seconds": 6.0, "alarm": "ended", "message": "only 3% come to an end"}


def write(path: Path, steps: list[int], torn: str = "") -> None:
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in steps) + torn, encoding="utf-8")


def steps(tail: Tail, ended: bool = False) -> list[int]:
    return [row["step"] for row in tail.rows(ended)]


def test_events_are_told_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert steps(tail) == []
    write(path, [1, 2], torn='{"step": 3')
    assert steps(tail) == [1, 2]
    write(path, [1, 2, 3, 4])
    assert steps(tail) == [3, 4]
    assert steps(tail, ended=True) == []


def test_events_that_will_happen_again_are_not_told_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, [1, 2, 3, 4])
    tail = Tail(path)
    assert steps(tail) == []  # the stage has not yet gone back to its state
    write(tmp_path / "new", [1, 2])
    os.replace(tmp_path / "new", path)
    assert steps(tail) == [1, 2]
    write(path, [1, 2, 3, 4, 5])
    assert steps(tail) == [3, 4, 5]


def test_a_stage_that_was_done_is_told_at_its_end(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [1, 2])
    tail = Tail(tmp_path / "events.jsonl")
    assert steps(tail) == []
    assert steps(tail, ended=True) == [1, 2]


def test_a_foreign_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('hello\n[1]\n{"step": 1}\n')
    tail = Tail(tmp_path / "none")
    tail._path = tmp_path / "events.jsonl"
    assert steps(tail) == [1]


def test_what_is_shown_counts_from_the_first_event(capsys: pytest.CaptureFixture[str]) -> None:
    with Follow("sft") as follow:
        follow({**ROW, "step": 0, "seconds": 1.0, "tokens": 500})
        follow(ROW)
        follow(ALARM)
    assert follow.facts() == {
        "step": "10/40",
        "loss": "1.25",
        "learning rate": "0.0001",
        "gradient norm": "0.5",
        "tokens/s": "500",
        "memory": "1.50 GB",
        "time left": "15.0 s",
    }
    assert "sft: ALARM step 10: ended: only 3% come to an end" in capsys.readouterr().err


def test_the_table_of_a_terminal_keeps_the_alarms_and_shows_no_escapes() -> None:
    follow = Follow("sft\x1b[31m")
    follow(ROW)
    follow({**ALARM, "message": "bad\x1b[2J"})
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(follow._table())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "10/40" in shown
    assert "ALARM step 10: ended: bad" in shown
    assert "\x1b" not in shown


def test_tensorboard_holds_every_number_at_its_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # a second start copies the same events again, and does not double them
        tracker = open_tracker("tensorboard", tmp_path)
        for row in (ROW, {**ROW, "step": 11, "loss": 1.0}, ALARM):
            tracker(row)
        tracker.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("sft/loss")] == [(10, 1.25), (11, 1.0)]
    assert [one.value for one in found.Scalars("sft/tokens")] == [3000.0, 3000.0]
    assert "alarm/text_summary" in found.Tags()["tensors"]


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentProblem, match=f"--track {name} needs the package '{name}': pip install {name}"):
        open_tracker(name, tmp_path)


def test_an_unknown_tracker_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'tensorboard'"):
        open_tracker("tensorbord", tmp_path)


def write_program(folder: Path, pause: float = 0.0) -> Path:
    """A stage that writes a row and an alarm."""
    program = folder / "program"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys, pathlib, time\n"
        "out = pathlib.Path(json.load(open(sys.argv[1]))['output'])\n"
        f"rows = [{ROW!r}, {ALARM!r}]\n"
        "(out / 'events.jsonl').write_text(''.join(json.dumps(row) + '\\n' for row in rows))\n"
        f"time.sleep({pause})\n"
        "(out / 'result.json').write_text('{}')\n"
    )
    program.chmod(0o755)
    return program


def test_a_program_s_events_reach_the_terminal_and_the_tracker(tmp_path: Path) -> None:
    done = easyds("train", write_program(tmp_path), "--output", tmp_path / "out", "--track", "tensorboard")
    assert done.returncode == 0, done.stderr
    assert "ALARM step 10: ended" in done.stderr
    assert list((tmp_path / "out" / "tensorboard").glob("events.out.*"))


def test_a_terminal_gets_the_live_table(tmp_path: Path) -> None:
    near, far = pty.openpty()
    process = subprocess.Popen(
        command("train", write_program(tmp_path, pause=1.0), "--output", tmp_path / "out"),
        stdout=subprocess.DEVNULL,
        stderr=far,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(far)
    shown = b""
    with suppress(OSError):  # the far end is closed
        while part := os.read(near, 4096):
            shown += part
    os.close(near)
    assert process.wait() == 0
    assert b"10/40" in shown
    assert b"gradient norm" in shown
    assert b"ALARM step 10: ended" in shown
