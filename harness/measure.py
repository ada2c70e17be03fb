"""What the machine did: memory, hardware, versions. Nothing here imports a model library."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("easyds-bench", "torch", "transformers", "peft", "tokenizers", "openai", "sacrebleu", "rouge-score")


def reset_peak_memory() -> None:
    """Start a new peak for `peak_memory`. Without the kernel's counter (not Linux) the peak is the process's own."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Peak bytes since the last reset: `host` (resident set) and, where a GPU was used, `device` (reserved)."""
    peak = {"host": _peak_resident()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["device"] = torch.cuda.max_memory_reserved()
    return peak


def _peak_resident() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def energy() -> float | None:
    """Joules that processors and GPUs have used since their counters began (RAPL, NVML); None where none can be read.

    They count the whole machine, whoever used it. Counters of processors run over about once an hour under load.
    """
    found = []
    for path in Path("/sys/class/powercap").glob("intel-rapl:?/energy_uj"):
        try:
            found.append(int(path.read_text()) / 1e6)
        except OSError:  # readable by root only on many machines
            pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        try:
            import pynvml

            pynvml.nvmlInit()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(torch.cuda.device_count())]
            found += [pynvml.nvmlDeviceGetTotalEnergyConsumption(one) / 1e3 for one in handles]
        except Exception:  # no package, or a GPU without a counter
            pass
    return sum(found) if found else None


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in bytes and GPUs of this machine."""
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on, where installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the checkout that this code runs from, with "+changes" if the tree differs; None outside git."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if commit.returncode:
        return None
    return commit.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
