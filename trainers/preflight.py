"""Whether a stage will fit, asked before anything is loaded: its spec and its longest rows as a load of `trainers.memory`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from heapq import nlargest
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness.models import hf
from harness.models.checkpoint import folders
from trainers import checkpoint, memory, profiles
from trainers.data import Columns, read_rows
from trainers.memory import Load, Shape, estimate

LONGEST = 64
"""Rows that are tokenised to find the longest: those with the most characters."""
MARGIN = 16
"""Tokens added for the template's marks around a row's texts."""


def plan(stage: str, spec: Any) -> tuple[Shape, Load, int]:
    """What the stage will do to memory, and its accumulation. `spec` is a TrainSpec or that of ppo.

    Raises UsageError for a base of another kind.
    """
    found = folders(checkpoint.place(spec.base))
    shape = Shape.read(found.base)
    how = spec.ppo if stage == "ppo" else spec
    fresh = getattr(how, "max_new_tokens", 0)
    longest = longest_row(Path(spec.data), spec.columns, hf.load_tokenizer(found.tokenizer), answers=not fresh) + fresh
    lora, limit = spec.lora, getattr(spec, "max_length", None)
    profile = profiles.of(asdict(spec))
    device = profile.device if profile else checkpoint.device()
    rows, batch = (
        (how.micro_batch, how.minibatch) if stage == "ppo" else (how.batch_size, how.batch_size * how.accumulation)
    )
    load = Load(
        method=stage,  # type: ignore[arg-type]
        rows=rows,
        length=min(longest, limit or longest),
        device=device,
        weight_bytes=2 if lora and device == "cuda" else memory.FLOAT,
        rank=lora.r if lora else 0,
        targets=lora.targets if lora else (),
        dropout=lora.dropout if lora and stage in ("sft", "reward") else 0.0,
        four_bits=bool(lora and lora.quantize == "4bit"),
        checkpointing=how.gradient_checkpointing,
        ranks=profile.ranks if profile else 1,
        zero=profile.sharing if profile else 0,
        rollouts=how.generation_batch if stage == "ppo" else batch if fresh else 0,
    )
    return shape, load, max(1, batch // rows)


def require_fit(stage: str, spec: Any) -> None:
    """Raises OutOfMemory, with what would fit, if the stage needs more memory than there is now."""
    shape, load, accumulation = plan(stage, spec)
    memory.require_fit(shape, load, accumulation, room(spec, load))


def room(spec: Any, load: Load) -> int:
    """Bytes that one process may use: what the profile says, else what there is now, shared by this machine's processes."""
    profile = profiles.of(asdict(spec))
    if profile and profile.memory_bytes:
        return profile.memory_bytes
    return memory.available(load.device) // (load.ranks if load.device == "cpu" else 1)


def report(stage: str, spec: Any) -> dict[str, Any]:
    """The estimate by part, what there is, and what it was computed for."""
    shape, load, _ = plan(stage, spec)
    parts = estimate(shape, load)
    there = room(spec, load)
    return {
        "stage": stage,
        "parameters": shape.parameters,
        "trained": memory.trainable(shape, load),
        "load": asdict(load),
        "bytes": parts,
        "available_bytes": there,
        "fits": memory.fits(parts, there),
    }


def longest_row(path: Path, columns: Columns, tokenizer: PreTrainedTokenizerBase, *, answers: bool) -> int:
    """Tokens of the longest row, prompt and (with `answers`) the longer of its answers; a few too many."""
    rows = nlargest(
        LONGEST, (_texts(row, columns, answers) for _, row in read_rows(path)), key=lambda one: len("".join(one))
    )
    return max(len(tokenizer("".join(one), add_special_tokens=False)["input_ids"]) + MARGIN for one in rows)


def _texts(row: Mapping[str, Any], columns: Columns, answers: bool) -> list[str]:
    turns = row.get(columns.prompt, row.get(columns.messages)) or ""
    found = [columns.system, *([turns] if isinstance(turns, str) else [str(one["content"]) for one in turns])]
    names = (columns.response, columns.chosen, columns.rejected) if answers else ()
    return [*found, max((row[name] for name in names if isinstance(row.get(name), str)), key=len, default="")]
