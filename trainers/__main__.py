"""Run one stage: `python -m trainers NAME spec.json`. Exit codes as for easyds."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from harness.errors import EasyDSError, EnvironmentProblem, UsageError, unknown

STAGES = {
    "base": "trainers.base:run",
    "sft": "trainers.sft:run",
    "reward": "trainers.reward:run",
    "dpo": "trainers.dpo:run",
    "rloo": "trainers.rloo:run",
}
"""Stages by name, imported when they are run. Others come by entry points of the group `easyds.candidates`."""


def main(args: list[str]) -> int:
    try:
        table = {**STAGES, **{point.name: point.value for point in entry_points(group="easyds.candidates")}}
        if len(args) != 2:
            raise UsageError(f"usage: python -m trainers NAME spec.json (NAME is one of {', '.join(table)}).")
        name, spec = args
        if name not in table:
            raise unknown("stage", name, list(table), "python -m trainers")
        run_stage(table[name], Path(spec))
    except EasyDSError as error:
        print(f"trainers: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def run_stage(target: str, spec: Path) -> None:
    """Call "module:attribute" with the spec. Raises EnvironmentProblem when memory runs out or a package is missing."""
    module, _, attribute = target.partition(":")
    try:
        getattr(import_module(module), attribute)(spec)
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"this stage needs the package '{error.name}': pip install 'easyds-bench[train]'."
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or _out_of_memory(error):
            raise EnvironmentProblem(
                f"out of memory ({str(error).splitlines()[0][:120] if str(error) else 'MemoryError'}). Halve 'batch_size' and double 'accumulation', "
                "shorten 'max_length', or use a bigger machine; the last whole state is kept."
            ) from error
        raise


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch's allocator failed: the GPU's has a class of its own, the processor's only its message."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
