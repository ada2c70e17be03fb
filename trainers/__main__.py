"""Run one stage: `python -m trainers NAME spec.json`. Exit codes as for easyds.

With `--dry-run` after it nothing is trained: the memory that the stage will need is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

from harness.errors import EasyDSError, EnvironmentProblem, OutOfMemory, UsageError, unknown
from trainers.memory import Method
from trainers.profiles import start_ranks

STAGES = {
    "base": "trainers.base:run",
    "sft": "trainers.sft:run",
    "reward": "trainers.reward:run",
    "dpo": "trainers.dpo:run",
    "rloo": "trainers.rloo:run",
    "ppo": "trainers.ppo.stage:run",
    "drift": "trainers.drift:run",
}
"""Stages by name, imported when they are run. Others come by entry points of the group `easyds.candidates`."""


def main(args: list[str]) -> int:
    try:
        table = {**STAGES, **{point.name: point.value for point in entry_points(group="easyds.candidates")}}
        dry = args[2:] == ["--dry-run"]
        if len(args) != 2 + dry:
            raise UsageError(f"usage: python -m trainers NAME spec.json (NAME is one of {', '.join(table)}).")
        name, spec = args[:2]
        if name not in table:
            raise unknown("stage", name, list(table), "python -m trainers")
        if dry:
            print(json.dumps(estimate(name, table[name], Path(spec))))
        else:
            start_ranks(_given(Path(spec)), args)
            run_stage(table[name], Path(spec))
    except EasyDSError as error:
        print(f"trainers: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _given(spec: Path) -> dict[str, Any]:
    """The spec's keys as they stand there, before a stage reads it and tells what is wrong with it."""
    try:
        found = json.loads(spec.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def estimate(name: str, target: str, spec: Path) -> dict[str, Any]:
    """What a stage will need. Raises UsageError for one that memory is not estimated for."""
    if name not in get_args(Method):
        raise UsageError(f"memory is not estimated for the stage {name}.")
    kind = import_module(target.partition(":")[0]).Spec
    from trainers.preflight import report
    from trainers.stage import read_spec

    return report(name, read_spec(kind, spec))


def run_stage(target: str, spec: Path) -> None:
    """Call "module:attribute" with the spec. Raises OutOfMemory, or EnvironmentProblem when a package is missing."""
    module, _, attribute = target.partition(":")
    try:
        getattr(import_module(module), attribute)(spec)
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"this stage needs the package '{error.name}': pip install 'easyds-bench[train]'."
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or _out_of_memory(error):
            raise OutOfMemory(
                f"out of memory ({str(error).splitlines()[0][:120] if str(error) else 'MemoryError'}). Halve 'batch_size' and double 'accumulation', "
                "shorten 'max_length', or use a bigger machine; the last whole state is kept."
            ) from error
        raise


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch's allocator failed: the GPU's has a class of its own, the processor's only its message."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
