"""How many bytes a training will need, from config.json and the spec alone, so that one that cannot fit is never begun.

What autograd keeps of a Qwen2 or Llama layer is counted tensor by tensor (`kept_per_token`; a test holds it against
what torch really keeps). The head's share follows TRL 1.16, which never builds the logits of the whole batch but
32,768 columns of at most 4,096 tokens at a time; other trainers build all of them (`Load.whole_logits`). Not counted:
fragmentation, buffers of collectives, prefetched parts under ZeRO-3.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.errors import OutOfMemory, UsageError

Method = Literal["sft", "reward", "dpo", "rloo", "ppo"]
FLOAT = 4
ADAM = 2 * FLOAT
TILE = (4096, 32768)
"""Tokens and columns of the logits that TRL 1.16 holds at once (trl.kernels.chunked_logprob, add_fused_lm_head)."""
TILES = {"cpu": 8.25, "cuda": 1}
"""Tiles of that size alive at once: on a processor eight and a mask (counted in TRL's `_backward_tile`), on a GPU one."""
PPO_LOGITS = 1 << 24
"""Logits that our PPO holds at once (trainers.ppo.backbone.LOGITS)."""
NF4 = 0.5 + 1 / 64 + FLOAT / 64 / 256
"""Bytes a weight in 4 bits: the value, a byte for each block of 64, a float for 256 of these (double quantisation)."""
MARGIN = 1.15
"""What must be there for each byte of the estimate: measured peaks were up to 13 % above it (perf/README.md)."""
RUNTIME = {"cpu": 500 << 20, "cuda": 800 << 20}
"""Python with torch, transformers and TRL on a processor (perf/memory_estimate.py prints it); a CUDA context and its
libraries on a GPU (an assumption: not measured here)."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes in a config.json that memory depends on."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    qkv_bias: bool

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """From a checkpoint's config.json. Raises UsageError for a model that is no dense decoder of Llama's kind."""
        path = folder / "config.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found = found.get("text_config", found)
            heads, hidden = found["num_attention_heads"], found["hidden_size"]
            return cls(
                hidden=hidden,
                layers=found["num_hidden_layers"],
                heads=heads,
                kv_heads=found.get("num_key_value_heads") or heads,
                head_dim=found.get("head_dim") or hidden // heads,
                intermediate=found["intermediate_size"],
                vocabulary=found["vocab_size"],
                tied=bool(found.get("tie_word_embeddings", False)),
                qkv_bias=found.get("model_type") == "qwen2",
            )
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{path}: memory cannot be estimated ({type(error).__name__}: {error}). It must be the configuration of "
                "a dense decoder (Qwen2, Llama, ...)."
            ) from error

    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear of a layer, by name."""
        query, value = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, value),
            "v_proj": (self.hidden, value),
            "o_proj": (query, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def in_linears(self) -> int:
        """Weights in the linears of all layers: what 4-bit loading makes smaller."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears().values())

    @property
    def parameters(self) -> int:
        """All weights."""
        bias = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.in_linears + self.layers * (bias + 2 * self.hidden) + self.hidden + embeddings


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be done with a model of some shape. `rows` of at most `length` tokens go through it together."""

    method: Method
    rows: int
    length: int
    device: Literal["cpu", "cuda"] = "cpu"
    weight_bytes: int = FLOAT
    """Of a weight as it is held, and of what is computed with it (on a GPU half of it, when all weights are trained)."""
    rank: int = 0
    """Of the adapter; 0: all weights are trained."""
    targets: tuple[str, ...] = ()
    dropout: float = 0.0
    four_bits: bool = False
    checkpointing: bool = False
    rollouts: int = 0
    """Sequences generated together (rloo, ppo)."""
    whole_logits: bool = False
    ranks: int = 1
    zero: Literal[0, 2, 3] = 0
    """ZeRO stage: 2 shares gradients and optimiser among the ranks, 3 the weights too."""

    @property
    def sequences(self) -> int:
        """Rows as the model sees them: a pair is two."""
        return self.rows * (2 if self.method in ("dpo", "reward") else 1)


def estimate(shape: Shape, load: Load) -> dict[str, int]:
    """Peak bytes of one rank by part, and their `total`.

    The phases of an update do not overlap: what counts is the largest of rollout, head and backward pass, which is
    named `rollouts`, `logits` or `backward`.
    """
    trained = trainable(shape, load)
    shared = load.ranks if load.zero else 1
    parts = {
        "runtime": RUNTIME[load.device],
        "weights": int(_weights(shape, load) / (load.ranks if load.zero == 3 else 1)),
        "lora": trained * FLOAT if load.rank else 0,
        "gradients": trained * FLOAT // shared,
        "optimiser": trained * ADAM // shared,
    }
    tokens = load.sequences * load.length
    kept = kept_per_token(shape, load)
    activations = shape.layers * tokens * (shape.hidden * load.weight_bytes if load.checkpointing else kept)
    activations += 3 * tokens * shape.hidden * FLOAT  # embeddings, the last norm, and what leaves it
    one_layer = tokens * (kept if load.checkpointing else 0) + tokens * 4 * shape.intermediate * load.weight_bytes
    phases = {
        "backward": activations + one_layer,
        "logits": activations + (0 if load.method == "reward" else _head(shape, load, tokens)),
        "rollouts": _rollouts(shape, load),
    }
    largest = max(phases, key=lambda name: phases[name])
    parts["activations"] = activations if largest != "rollouts" else 0
    parts[largest] = phases[largest] - parts["activations"]
    return {**parts, "total": sum(parts.values())}


def trainable(shape: Shape, load: Load) -> int:
    """Weights that are trained: r (inputs + outputs) for each linear with an adapter (Hu et al. 2021), plus heads."""
    head = shape.hidden if load.method in ("reward", "ppo") else 0
    if not load.rank:
        return shape.parameters + head
    sizes = shape.linears()
    if strange := sorted(set(load.targets) - set(sizes)):
        raise UsageError(f"lora.targets: no linear is called '{strange[0]}'. There are {', '.join(sizes)}.")
    return shape.layers * sum(load.rank * sum(sizes[name]) for name in load.targets) + head


def _weights(shape: Shape, load: Load) -> float:
    """Bytes of the frozen or trained base, and for ppo of the reward model's adapter beside the policy's."""
    beside = trainable(shape, load) * FLOAT if load.method == "ppo" and load.rank else 0
    if load.four_bits:
        return shape.in_linears * NF4 + (shape.parameters - shape.in_linears) * load.weight_bytes + beside
    return shape.parameters * load.weight_bytes + beside


def kept_per_token(shape: Shape, load: Load) -> int:
    """Bytes that one layer keeps of one token for the backward pass, without gradient checkpointing.

    Attention keeps queries, keys and values (one for each query head, as a padding mask makes torch repeat them), its
    output and its row of the mask; both norms their input in float32; the MLP gate, its activation, and up. A linear
    with an adapter keeps its input in float32 (with dropout also the mask), trained whole in the weights' type.
    """
    size = load.weight_bytes
    query = shape.heads * shape.head_dim
    attention = 4 * query * size + shape.heads * FLOAT + load.length * size
    norms = 2 * (shape.hidden + 1) * FLOAT
    kept = attention + norms + 3 * shape.intermediate * size
    inputs = {"q_proj": shape.hidden, "gate_proj": shape.hidden, "down_proj": shape.intermediate}  # o_proj: the output
    if not load.rank:
        return kept + sum(inputs.values()) * size + 2 * shape.hidden * size
    mask = (FLOAT if load.device == "cpu" else 1) if load.dropout else 0
    for name in load.targets:
        taken = shape.linears()[name][0]
        alone = load.dropout or size != FLOAT or inputs.pop(_SAME_INPUT.get(name, name), 0)
        kept += load.rank * FLOAT + (taken * (FLOAT + mask) if alone else 0)
    return kept


_SAME_INPUT = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}


def _head(shape: Shape, load: Load, tokens: int) -> int:
    """From hidden states to a loss: whole logits are there four times (as computed, in float32, normalised, gradient)."""
    if load.whole_logits:
        return tokens * shape.vocabulary * (load.weight_bytes + 3 * FLOAT if load.weight_bytes != FLOAT else 3 * FLOAT)
    if load.method == "ppo":
        return 4 * FLOAT * min(tokens * shape.vocabulary, PPO_LOGITS) + 2 * tokens * shape.hidden * FLOAT
    columns = TILE[1] if load.device == "cuda" else min(TILE[1], shape.vocabulary)
    tile = min(tokens, TILE[0]) * columns * (FLOAT if load.device == "cpu" else load.weight_bytes)
    return int(TILES[load.device] * tile) + 2 * tokens * shape.hidden * FLOAT


def _rollouts(shape: Shape, load: Load) -> int:
    """Keys and values of the sequences under way, and the logits of their next tokens."""
    cached = 2 * shape.kv_heads * shape.head_dim * shape.layers * load.weight_bytes
    return load.rollouts * (load.length * cached + 3 * shape.vocabulary * FLOAT)


def available(device: Literal["cpu", "cuda"]) -> int:
    """Bytes that a new process can have now: of the GPU, or of the machine within its control group's limit."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines()) if _LINUX else {}
    free = (
        int(lines["MemAvailable"].split()[0]) * 1024
        if lines
        else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return free
    return min(free, limit - used)


_LINUX = Path("/proc/meminfo").exists()


def require_fit(shape: Shape, load: Load, accumulation: int, room: int) -> dict[str, int]:
    """The estimate, if it and its MARGIN are at most `room` bytes.

    Raises OutOfMemory otherwise, with the parts and the smallest change that would fit: fewer rows at a time
    (and more accumulation, so that an update stays what it is), then gradient checkpointing, then 4 bits.
    """
    needed = estimate(shape, load)
    if fits(needed, room):
        return needed
    parts = ", ".join(f"{name} {gigabytes(value)}" for name, value in needed.items() if value and name != "total")
    for other in _smaller(load):
        if fits(estimate(shape, other), room):
            advice = f"This would fit: {_changes(load, other, accumulation)}."
            break
    else:
        advice = "Nothing that the spec can change would fit: use a bigger machine, more ranks with ZeRO-3, or a smaller base."
    raise OutOfMemory(
        f"{load.method} would run out of memory: it needs about {gigabytes(needed['total'])} ({parts}) and 15 % more, but {gigabytes(room)} are there. {advice}"
    )


def fits(needed: dict[str, int], room: int) -> bool:
    """Whether an estimate fits into `room` bytes."""
    return needed["total"] * MARGIN <= room


def _smaller(load: Load) -> Iterator[Load]:
    """The same update with less memory, the mildest change first."""
    for four_bits in dict.fromkeys((load.four_bits, bool(load.rank))):
        for checkpointing in dict.fromkeys((load.checkpointing, True)):
            for rows in halvings(load.rows):
                yield replace(load, four_bits=four_bits, checkpointing=checkpointing, rows=rows)


def halvings(rows: int) -> list[int]:
    """`rows` and smaller numbers that divide it, each at most half of the one before: 12, 6, 3, 1."""
    found = [rows]
    while found[-1] > 1:
        last = found[-1]
        found.append(next(one for one in range(last // 2, 0, -1) if last % one == 0))
    return found


def _changes(before: Load, after: Load, accumulation: int) -> str:
    found: list[str] = []
    if after.rows != before.rows and before.method == "ppo":
        found.append(f"ppo.micro_batch {after.rows}")
    elif after.rows != before.rows:
        found.append(f"batch_size {after.rows} with accumulation {accumulation * before.rows // after.rows}")
    if after.checkpointing != before.checkpointing:
        found.append("gradient_checkpointing true")
    if after.four_bits != before.four_bits:
        found.append("lora.quantize 4bit")
    return ", ".join(found)


def gigabytes(value: int) -> str:
    """Bytes as people read them."""
    return f"{value / 1e9:.2f} GB" if value >= 1e7 else f"{value / 1e6:.2f} MB"
