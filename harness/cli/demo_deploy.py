"""The demo's last part: its best checkpoint packaged, served and put under load, each by the command that a user types."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import board
from harness.errors import EnvironmentProblem
from harness.record import LOAD, find_runs
from harness.types import Task

EASYDS = [sys.executable, "-c", "from harness.cli import main; main()"]
SERVED = re.compile(r" on (http://\S+);")


def deploy(folder: Path, task: Task) -> None:
    """Package the winner of the demo in `folder`, serve it, measure what it carries. What was measured is not again."""
    runs = folder / "runs"
    best = winner(task, runs)
    package = folder / "packages" / f"{best}-int8"
    names = ["--task", task.name, "--runs", str(runs)]
    _do("package", best, *names[2:], "--out", str(package.parent))
    served = next(run for run in find_runs(runs) if run.manifest["system"] == package.name)
    if (served.folder / LOAD).exists():
        return
    with serving(package, folder) as url:
        _do("loadtest", url, *names, "--run", package.name, "--users", "1,4,16", "--seconds", "5")


def winner(task: Task, runs: Path) -> str:
    """The checkpoint with the highest headline; packages and oracle arms aside."""
    rows = board.from_folder(task, runs).rows
    models = {run.id: run.manifest["model"] for run in find_runs(runs)}
    packages = f"hf/{(runs.parent / 'packages').resolve()}/"
    able = [row for row in rows if models[row.run].startswith("hf/") and not models[row.run].startswith(packages)]
    return max((row for row in able if not row.oracle), key=lambda row: row.metrics[board.HEADLINE].value).system


def _do(*words: str) -> None:
    print("$ easyds " + shlex.join(words), file=sys.stderr)
    done = subprocess.run([*EASYDS, *words])
    if done.returncode:
        raise EnvironmentProblem(f"'easyds {words[0]}' of the demo ended with {done.returncode}; it says why above.")


@contextmanager
def serving(package: Path, folder: Path) -> Iterator[str]:
    """`easyds serve` on a free port until the block ends: its address. Raises EnvironmentProblem if it does not start."""
    words = ["serve", str(package), "--port", "0", "--log", str(folder / "turns.jsonl")]
    print("$ easyds " + shlex.join(words), file=sys.stderr)
    said = folder / "serve.txt"
    with open(said, "w", encoding="utf-8") as output:
        process = subprocess.Popen([*EASYDS, *words], stderr=output)
    try:
        while not (found := SERVED.search(said.read_text(encoding="utf-8"))):
            if process.poll() is not None:
                raise EnvironmentProblem(f"{package} could not be served: {said} says why.")
            time.sleep(0.2)
        print(said.read_text(encoding="utf-8").rstrip(), file=sys.stderr)
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
