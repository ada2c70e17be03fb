"""What the performance scripts share: options, quiet processes and their cost, and the report with its verdict."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def options(description: str | None) -> argparse.Namespace:
    """`--quick` and `--json`. Exits 2 on anything else."""
    return option_parser(description).parse_args()


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of `--quick` and `--json`, for scripts that know more options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: under 50 seconds")
    parser.add_argument("--json", action="store_true", help="only the JSON object on stdout; the rest goes to stderr")
    return parser


@dataclass
class Report:
    """Figures and bars of one script. `say` is for people; `finish` prints the JSON line and gives the exit code."""

    name: str
    quick: bool
    only_json: bool
    figures: dict[str, Any] = field(default_factory=dict)
    bars: dict[str, dict[str, Any]] = field(default_factory=dict)

    def say(self, line: str) -> None:
        print(line, file=sys.stderr if self.only_json else sys.stdout, flush=True)

    def bar(self, name: str, value: float | bool, kind: str, limit: float | bool) -> None:
        """One condition of the verdict. `kind` is at_most, at_least or equals."""
        met = {"at_most": value <= limit, "at_least": value >= limit, "equals": value == limit}[kind]
        self.bars[name] = {"value": value, kind: limit, "ok": met}
        self.say(f"{'ok    ' if met else 'MISSED'} {name}: {value} ({kind.replace('_', ' ')} {limit})")

    def finish(self) -> int:
        """0 if every bar was met, else 1. A report without bars is no verdict and counts as missed."""
        ok = bool(self.bars) and all(bar["ok"] for bar in self.bars.values())
        whole = {
            "script": self.name,
            "quick": self.quick,
            "machine": machine(),
            "figures": self.figures,
            "bars": self.bars,
            "ok": ok,
        }
        print(json.dumps(whole, ensure_ascii=False), flush=True)
        return 0 if ok else 1


def machine() -> dict[str, Any]:
    from harness.measure import hardware

    return {key: value for key, value in hardware().items() if key in ("processor", "cores", "memory_bytes", "gpus")}


def environment() -> dict[str, str]:
    """Ours without `easyds` settings: one thread, no network, no colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EASYDS_", "PYTHON"))}
    fixed = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    return {**kept, **fixed}


@dataclass(frozen=True)
class Cost:
    """What one process took from start to end: wall and CPU seconds (with its children's), peak memory in bytes."""

    wall: float
    cpu: float
    memory: int


def cost(command: Sequence[str | Path], folder: Path) -> Cost:
    """Run `command` in `folder` to its end. Raises RuntimeError with its last words if it fails."""
    from time import perf_counter

    with open(folder / "output.txt", "w+", encoding="utf-8") as output:
        started = perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {output.read()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def easyds() -> Path:
    """The installed command beside this Python. Raises RuntimeError if the project is not installed."""
    path = Path(sys.executable).with_name("easyds")
    if not path.exists():
        raise RuntimeError(f"{path} does not exist: install the project first (make install).")
    return path
