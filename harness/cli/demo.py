"""`easyds demo`: from nothing to a board. A tiny checkpoint is trained, then benchmarked beside the controls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import board, models, run
from harness import task as loader
from harness.cli import show
from harness.cli.progress import Progress
from harness.cli.simulate import rows, write
from harness.errors import EnvironmentProblem
from harness.models.control import CONTROLS
from harness.record import write_json

TRAINING_CLUSTERS = 16_000
BASE = {"steps": 620, "batch_size": 16, "learning_rate": 2.5e-3}
"""How the demo's base is trained: settings of trainers.base."""


def run_demo(folder: Path, task_name: str) -> None:
    """Train the base once, run it and every control on the task, print the board. What exists is not made again."""
    task = loader.load(task_name)
    checkpoint = make_base(folder, task_name)
    for name in (f"hf/{checkpoint}", *(f"control/{control}" for control in CONTROLS)):
        model = models.open_model(name, models.Options(batch_size=16))
        label = "tiny base" if name.startswith("hf/") else name
        with Progress(label) as bar:
            run.execute(run.Plan.of(task), model, folder / "runs", system=label, progress=bar.begin)
    print(show.render(board.from_folder(task, folder / "runs"), "text"))
    print(
        f"runs: {folder / 'runs'}; the board again: easyds board --task {task_name} --runs {folder / 'runs'}",
        file=sys.stderr,
    )


def make_base(folder: Path, task_name: str) -> Path:
    """The demo's checkpoint below `folder`, trained by the stage `base` in its own process if it is not there.

    Raises EnvironmentProblem if the training fails; its message stands above.
    """
    output = folder / "base"
    checkpoint = output.resolve() / "checkpoint"
    if (output / "result.json").exists():
        return checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "train.jsonl"
    data.unlink(missing_ok=True)
    write(rows(loader.exercises(task_name, "train", TRAINING_CLUSTERS, 1), "mixture", task_name), data)
    spec = folder / "base.json"
    write_json(spec, {**BASE, "data": str(data), "output": str(output)})
    print("training the tiny base (a few minutes, once)", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "trainers", "base", str(spec)])
    if done.returncode:
        raise EnvironmentProblem(
            f"training the base ended with exit code {done.returncode}. 'easyds demo' starts it again."
        )
    return checkpoint
