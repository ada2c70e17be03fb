"""Machines that a stage can be meant for, as data: how many processes, what each may hold, and what suits them.

A spec names one (`"profile": "rtx3080x2"`). Its settings take the place of the stage's defaults; what the spec itself says
counts. A stage of several processes starts itself again under torchrun (cpu) or `accelerate launch` (cuda).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness.errors import EnvironmentProblem, unknown
from harness.paths import read_yaml

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One machine. `memory_bytes` is what one process may use; None: what is there."""

    device: Literal["cpu", "cuda"]
    ranks: int = 1
    memory_bytes: int | None = None
    zero: Literal[0, 2, 3] = 0
    """ZeRO stage where there are several processes."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Settings that suit the machine."""

    @property
    def sharing(self) -> Literal[0, 2, 3]:
        """The ZeRO stage that is used: one process shares nothing."""
        return self.zero if self.ranks > 1 else 0

    def launcher(self) -> list[str]:
        """What comes before `-m trainers NAME spec.json` to start `ranks` processes."""
        if self.device == "cpu":
            return ["torch.distributed.run", "--standalone", "--nproc-per-node", str(self.ranks)]
        config = FOLDER / "accelerate" / (f"zero{self.sharing}.yaml" if self.sharing else "ddp.yaml")
        command = ["accelerate.commands.launch", "--config_file", str(config), "--num_processes", str(self.ranks)]
        deepspeed = FOLDER / "deepspeed" / f"zero{self.sharing}.json"
        return [*command, "--deepspeed_config_file", str(deepspeed)] if self.sharing else command


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, ranks: int | None = None) -> Profile:
    """The profile `name`, with another number of processes if one is given. Raises UsageError for an unknown name."""
    if name not in names():
        raise unknown("profile", name, names(), "docs/model_training.md")
    profile = Profile(**read_yaml(FOLDER / f"{name}.yaml"))
    return replace(profile, ranks=ranks) if ranks else profile


def of(given: Mapping[str, Any]) -> Profile | None:
    """The profile that a spec names; with `ranks` alone, several processes of a processor. None: this machine as it is."""
    name, ranks = given.get("profile"), given.get("ranks")
    return load(name or "cpu", ranks) if name or ranks else None


def with_settings(given: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """A spec with its profile's settings where it says nothing; only those that the stage has (`known`)."""
    profile = of(given)
    settings = {key: value for key, value in (profile.spec if profile else {}).items() if key in known}
    merged = {**settings, **given}
    for key, value in settings.items():
        if isinstance(value, Mapping) and isinstance(given.get(key), Mapping):
            merged[key] = {**value, **given[key]}
    return merged


def start_ranks(given: Mapping[str, Any], args: list[str]) -> None:
    """Turn this process into the launcher of the spec's processes, unless it is one of them or there is only one.

    Raises EnvironmentProblem if the machine has fewer GPUs than the profile.
    """
    profile = of(given)
    if profile is None or "RANK" in os.environ:
        return
    if profile.device == "cuda":
        import torch

        if torch.cuda.device_count() < profile.ranks:
            raise EnvironmentProblem(
                f"the profile {given['profile']} needs {profile.ranks} GPUs, this machine has {torch.cuda.device_count()}. "
                "'--dry-run' tells what it would need; the profile cpu runs anywhere."
            )
    if profile.ranks > 1:
        os.execv(sys.executable, [sys.executable, "-m", *profile.launcher(), "-m", "trainers", *args])
