"""Data or a run made in a process of its own, so that its memory goes with it: `python -m harness.experiment.part`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.errors import EasyDSError
from harness.experiment import data, runs


def main(kind: str, settings: str, path: str, task: str) -> int:
    """Exit codes of `easyds`; an error is one line on stderr."""
    try:
        if kind == "data":
            data.make(Path(path), json.loads(settings), task)
        else:
            runs.benchmark(json.loads(settings), Path(path))
    except EasyDSError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
