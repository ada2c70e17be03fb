"""`easyds app`: the web app as a process of its own. The harness never imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness import task as loader
from harness.errors import EnvironmentProblem


def serve(
    runs: Path,
    leaderboards: Path,
    task_files: Sequence[str],
    port: int,
    browser: bool,
    hosts: Sequence[str] = (),
    log: Path | None = None,
) -> None:
    """Serve until interrupted. Raises EnvironmentProblem if the extra `app` is missing or the server ends in error,
    UsageError for a task file that cannot be read."""
    if find_spec("streamlit") is None:
        raise EnvironmentProblem("the app needs Streamlit: pip install 'easyds-bench[app]'.")
    for file in task_files:
        loader.load(file)
    tasks = os.pathsep.join(str(Path(file).resolve()) for file in task_files)
    place = {"RUNS": str(runs.resolve()), "LEADERBOARDS": str(leaderboards.resolve()), "TASK": tasks}
    if log is not None:
        place["LOG"] = str(log.resolve())
    environment = {**os.environ, **{f"EASYDS_APP_{name}": value for name, value in place.items()}}
    command = [sys.executable, "-m", "app", "--port", str(port), *(["--browser"] if browser else [])]
    command += [part for host in hosts for part in ("--host", host)]
    try:
        code = subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:  # the server got it as well and has ended
        return
    if code:
        raise EnvironmentProblem(f"the app ended with exit code {code}; its message stands above. Is port {port} free?")
