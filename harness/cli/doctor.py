"""What this machine has for the benchmark, and the command that mends what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from harness import paths

NEEDED = {
    "torch": "hf/ models",
    "transformers": "hf/ models",
    "peft": "adapters",
    "openai": "openai/ models",
    "sacrebleu": "chrf and bleu",
}


def check() -> list[dict[str, Any]]:
    """One row per check: `result` is ok, missing (with the mend) or note."""
    rows = [
        _row("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer"),
        _row(
            "data",
            paths.datasets().is_dir() and paths.rubrics().is_dir(),
            str(paths.data_root()),
            "reinstall easyds-bench",
        ),
    ]
    for name, use in NEEDED.items():
        present = find_spec(name) is not None
        detail = metadata.version(name) if present else ""
        rows.append(_row(name, present, detail, f"needed for {use}: pip install -e . -c constraints.txt"))
    free = shutil.disk_usage(".").free
    rows.append(
        _row("disk", free > 2**30, f"{free / 2**30:.0f} GiB free here", "free some space: runs need about 1 GiB")
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rows.append({"check": "memory", "result": "note", "detail": f"{memory / 2**30:.0f} GiB, {os.cpu_count()} cores"})
    rows.append({"check": "gpu", "result": "note", "detail": _gpus()})
    return rows


def _row(name: str, fine: bool, detail: str, mend: str) -> dict[str, Any]:
    return {"check": name, "result": "ok" if fine else "missing", "detail": detail if fine else mend}


def _gpus() -> str:
    if find_spec("torch") is None:
        return "unknown without torch"
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(names) or "none: models run on the processor"
