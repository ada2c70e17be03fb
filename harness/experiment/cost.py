"""What a stage cost: processor time, FLOPs by count, peak memory, tokens.

FLOPs are 2 P for each token of a forward pass and 4 P for each of a backward pass, for P weights (Kaplan et al. 2020,
table 1, without attention's share), over every token that goes through the model, prompts included. Reward models and
rollouts are charged to the arms that use them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.experiment.graph import Node
from harness.record import read_lines

FORWARD, BACKWARD = 2, 4
PASSES: Mapping[str, int] = {
    "base": FORWARD + BACKWARD,
    "sft": FORWARD + BACKWARD,
    "reward": FORWARD + BACKWARD,
    "dpo": FORWARD + BACKWARD + FORWARD,
    "rloo": 3 * FORWARD + FORWARD + BACKWARD,
}
"""FLOPs a token and weight. dpo: policy, reference. rloo: drawing, reference, reward; policy."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What stages took together. None: not known (a program that tells no tokens)."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    flops: float | None = 0.0
    peak_memory_bytes: int = 0
    tokens: int | None = 0

    def __add__(self, other: Cost) -> Cost:
        flops = None if self.flops is None or other.flops is None else self.flops + other.flops
        tokens = None if self.tokens is None or other.tokens is None else self.tokens + other.tokens
        peak = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, flops, peak, tokens)


def of(node: Node) -> Cost:
    """The cost of a trained stage, from the files it left."""
    result = json.loads((node.path / "result.json").read_text(encoding="utf-8"))
    rows = [row for row in read_lines(node.path / "events.jsonl") if "tokens" in row]
    tokens = int(rows[-1]["tokens"] + sum(row.get("prompt_tokens", 0) for row in rows)) if rows else None
    passes = _ppo_passes(node) if node.settings["stage"] == "ppo" else PASSES.get(node.settings["stage"])
    weights = _weights(Path(node.settings.get("base", node.path / "checkpoint")))
    memory = result.get("peak_memory_bytes", {})
    return Cost(
        seconds=float(result.get("seconds", 0.0)),
        cpu_seconds=float(result.get("cpu_seconds", 0.0)),
        flops=None if None in (tokens, passes, weights) else float(tokens or 0) * (passes or 0) * (weights or 0),
        peak_memory_bytes=int(memory.get("device", memory.get("host", 0))),
        tokens=tokens,
    )


def _ppo_passes(node: Node) -> int:
    """Forward: drawing, policy, reference, KL after the update, reward model; and the epochs of updates."""
    reward = node.settings["reward"]
    model = any(name not in ("gold", "length") for name in ([reward] if isinstance(reward, str) else reward))
    return (4 + model) * FORWARD + int(node.settings.get("ppo", {}).get("epochs", 2)) * (FORWARD + BACKWARD)


def _weights(base: Path) -> int | None:
    """Weights of a checkpoint in a folder, from the headers of its safetensors files; None for one that is not there."""
    files = sorted(base.glob("*.safetensors"))
    return sum(_sizes(path) for path in files) if files else None


def _sizes(path: Path) -> int:
    with open(path, "rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")


def total(nodes: Iterable[Node]) -> Cost:
    """The cost of several stages one after the other."""
    found = Cost()
    for node in nodes:
        found += of(node)
    return found
