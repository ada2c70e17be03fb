"""Run one stage: `python -m trainers NAME spec.json`. Exit codes as for easyds."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from harness.errors import EasyDSError, UsageError, unknown

STAGES = {"base": "trainers.base:run"}


def main(args: list[str]) -> int:
    try:
        if len(args) != 2:
            raise UsageError(f"usage: python -m trainers NAME spec.json (NAME is one of {', '.join(STAGES)}).")
        name, spec = args
        if name not in STAGES:
            raise unknown("stage", name, list(STAGES), "python -m trainers")
        module, _, attribute = STAGES[name].partition(":")
        getattr(import_module(module), attribute)(Path(spec))
    except EasyDSError as error:
        print(f"trainers: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
