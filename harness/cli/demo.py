"""`easyds demo`: from nothing to a report. A tiny base is trained, tuned in two ways, benchmarked beside the controls."""

from __future__ import annotations

import sys
from pathlib import Path

from harness import board, report
from harness import task as loader
from harness.cli import show
from harness.cli.experiment import carry_out
from harness.paths import experiments
from harness.types import Task


def run_demo(folder: Path, full: bool) -> None:
    """Carry out the plan `demo` in `folder`, print its board, write its report. What exists is not made again.

    `full` adds a local judge beside the checks, and packages, serves and loads the best checkpoint.
    """
    carry_out(experiments() / "demo.yaml", folder, None)
    report.write(folder, folder / "report")
    task: Task = loader.load("ds-trace-demo")
    if full:
        from harness.cli.demo_deploy import deploy
        from harness.cli.local_judge import judge_demo

        judge_demo(folder)
        deploy(folder, task)
    print(show.render(board.from_folder(task, folder / "runs"), "text"))
    print(
        f"report: {folder / 'report' / 'report.html'}; the board again: easyds board --task {task.name} "
        f"--runs {folder / 'runs'}; in the browser: easyds app --runs {folder / 'runs'}",
        file=sys.stderr,
    )
