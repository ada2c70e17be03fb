"""What a stage cost: time, processor time, energy, FLOPs by count, peak memory, tokens; and how hard it is to run.

FLOPs are 2 P for each token of a forward pass and 4 P for each of a backward pass, for P weights (Kaplan et al. 2020,
table 1, without attention's share), over every token that goes through the model, prompts included. Reward models and
rollouts are charged to the arms that use them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record import read_lines
from harness.stages import EVENTS, GIVEN, RESULT

FORWARD, BACKWARD = 2, 4
PASSES: Mapping[str, int] = {
    "base": FORWARD + BACKWARD,
    "sft": FORWARD + BACKWARD,
    "reward": FORWARD + BACKWARD,
    "dpo": FORWARD + BACKWARD + FORWARD,
    "rloo": 3 * FORWARD + FORWARD + BACKWARD,
}
"""FLOPs a token and weight. dpo: policy, reference. rloo: drawing, reference, reward; policy."""

RESIDENT: Mapping[str, int] = {"base": 1, "sft": 1, "reward": 1, "dpo": 2, "rloo": 3, "ppo": 4}
"""Models that a stage holds at once, as roles: dpo policy and reference, rloo the reward model too, ppo the critic too."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What stages took together. None: not known (a program that tells no tokens, a machine without a counter)."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    flops: float | None = 0.0
    peak_memory_bytes: int = 0
    tokens: int | None = 0
    energy_j: float | None = 0.0

    def __add__(self, other: Cost) -> Cost:
        def both(name: str) -> Any:
            one, two = getattr(self, name), getattr(other, name)
            return None if one is None or two is None else one + two

        return Cost(
            both("seconds"),
            both("cpu_seconds"),
            both("flops"),
            max(self.peak_memory_bytes, other.peak_memory_bytes),
            both("tokens"),
            both("energy_j"),
        )


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Counted, not felt: how much there is to set up and to go wrong between the common start and a served checkpoint."""

    stages: int
    """processes one after the other"""
    resident_models: int | None
    """most that one of them holds at once, by role"""
    settings: int
    """keys that were set, in all stages together"""
    packages: int
    """packages whose versions a result depends on, most of all stages"""


def of(folder: Path) -> Cost:
    """The cost of a trained stage, from the files it left in its folder."""
    result, given = _result(folder), _given(folder)
    stage = str(result.get("stage", ""))
    rows = [row for row in read_lines(folder / EVENTS) if "tokens" in row]
    tokens = int(rows[-1]["tokens"] + sum(row.get("prompt_tokens", 0) for row in rows)) if rows else None
    passes = _ppo_passes(given) if stage == "ppo" else PASSES.get(stage)
    weights = _weights(Path(given.get("base", folder / "checkpoint")))
    memory = result.get("peak_memory_bytes", {})
    return Cost(
        seconds=float(result.get("seconds", 0.0)),
        cpu_seconds=float(result.get("cpu_seconds", 0.0)),
        flops=None if tokens is None or passes is None or weights is None else float(tokens) * passes * weights,
        peak_memory_bytes=int(memory.get("device", memory.get("host", 0))),
        tokens=tokens,
        energy_j=result.get("energy_j"),
    )


def difficulty(folders: list[Path]) -> Difficulty:
    """Of the stages in these folders, one after the other."""
    results = [_result(folder) for folder in folders]
    resident = [RESIDENT.get(str(one.get("stage", ""))) for one in results]
    known = [one for one in resident if one is not None]
    return Difficulty(
        stages=len(folders),
        resident_models=max(known, default=0) if len(known) == len(resident) else None,
        settings=sum(_leaves(_given(folder)) for folder in folders),
        packages=max((len(one.get("versions", {})) for one in results), default=0),
    )


def _leaves(value: Any) -> int:
    return sum(_leaves(one) for one in value.values()) if isinstance(value, dict) else 1


def _result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return found


def _given(folder: Path) -> dict[str, Any]:
    """The spec that the stage was given."""
    found: dict[str, Any] = json.loads((folder / GIVEN).read_text(encoding="utf-8"))
    return found


def _ppo_passes(given: Mapping[str, Any]) -> int:
    """Forward: drawing, policy, reference, KL after the update, reward model; and the epochs of updates."""
    reward = given["reward"]
    model = any(name not in ("gold", "length") for name in ([reward] if isinstance(reward, str) else reward))
    return (4 + model) * FORWARD + int(given.get("ppo", {}).get("epochs", 2)) * (FORWARD + BACKWARD)


def _weights(base: Path) -> int | None:
    """Weights of a checkpoint in a folder, from the headers of its safetensors files; None for one that is not there."""
    files = sorted(base.glob("*.safetensors"))
    return sum(_sizes(path) for path in files) if files else None


def _sizes(path: Path) -> int:
    with open(path, "rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
