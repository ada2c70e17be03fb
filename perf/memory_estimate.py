"""The memory estimate against the peak that stages really reach, and against published figures.

A random Qwen2 of 10 million parameters (6 layers, 8,192 columns of logits) and rows of about 340 tokens are made in a
temporary folder. Each stage trains two updates in a process of its own; its peak resident memory (result.json) is held
against the estimate made before (`trainers.preflight.report`). `error` is estimate / measured - 1; the bar is 20 %.

The published figures (GB on a GPU) are for other trainers, which hold the logits of the whole batch; they are estimated
with `whole_logits` and printed without a bar: their conditions are known only as far as their documents tell.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from common import Report, environment, options

from trainers.memory import Load, Shape, estimate

ERROR = 0.2
ATTENTION = ("q_proj", "k_proj", "v_proj")
EVERY = (*ATTENTION, "o_proj", "gate_proj", "up_proj", "down_proj")
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {"batch_size": 8}),
    "sft, checkpointing": ("sft", {"batch_size": 8, "gradient_checkpointing": True}),
    "sft, all linears": ("sft", {"batch_size": 8, "lora": {"r": 16, "targets": list(EVERY)}}),
    "sft, all weights": ("sft", {"batch_size": 8, "lora": None}),
    "reward": ("reward", {"batch_size": 4, "held_out": 0.2}),
    "dpo": ("dpo", {"batch_size": 4}),
    "dpo, 8 pairs": ("dpo", {"batch_size": 8}),
}
QUICK = ("sft", "dpo")
QWEN25_7B = Shape(
    hidden=3584, layers=28, heads=28, kv_heads=4, head_dim=128, intermediate=18944, vocabulary=152064, tied=False, qkv_bias=True
)  # fmt: skip
QWEN_7B = Shape(
    hidden=4096, layers=32, heads=32, kv_heads=32, head_dim=128, intermediate=11008, vocabulary=151936, tied=False, qkv_bias=True
)  # fmt: skip
GPU = Load(
    method="sft", rows=1, length=2048, device="cuda", weight_bytes=2, rank=8, targets=EVERY, checkpointing=True,
    whole_logits=True,
)  # fmt: skip
WIDE = replace(GPU, rank=64, targets=EVERY[:6])
"""Qwen's own LoRA: rank 64 on c_attn, c_proj, w1, w2, which are about six of the seven linears here."""
PUBLISHED: list[tuple[str, Shape, Load, float]] = [
    ("Qwen2.5-7B SFT LoRA r=8, 2,048 tokens (ms-swift)", QWEN25_7B, GPU, 22),
    *(
        (f"Qwen-7B SFT LoRA, {length:,} tokens (Qwen)", QWEN_7B, replace(WIDE, length=length), gigabytes)
        for length, gigabytes in ((256, 20.1), (1024, 21.5), (2048, 23.8), (4096, 29.7), (8192, 36.6))
    ),
    *(
        (
            f"Qwen-7B SFT QLoRA, {length:,} tokens (Qwen)",
            QWEN_7B,
            replace(WIDE, length=length, four_bits=True),
            gigabytes,
        )
        for length, gigabytes in ((256, 11.5), (2048, 13.9), (8192, 23.5))
    ),
    ("Qwen2.5-7B DPO LoRA r=16, 2,048 tokens (odyn-network)", QWEN25_7B, replace(GPU, method="dpo", rank=16), 19.1),
]


def write_inputs(folder: Path) -> None:
    """A base with random weights, and rows of one length."""
    import torch

    from trainers.base import Spec, new_model, train_tokenizer

    torch.manual_seed(0)
    texts = [f"Item {number} leaves the queue from its front, so which end does it join?" for number in range(100)]
    tokenizer = train_tokenizer([[{"role": "user", "content": text}] for text in texts], 600)
    wide: dict[str, Any] = {"vocab_size": 8192, "intermediate_size": 1024}
    new_model(tokenizer, Spec(data="", output="", hidden=256, layers=6, context=2048, model=wide)).save_pretrained(
        folder / "base"
    )
    tokenizer.save_pretrained(folder / "base")
    rows = [
        {"prompt": " ".join(texts[i : i + 12]), "response": " ".join(texts[i : i + 6]), "chosen": " ".join(texts[i : i + 6]),
         "rejected": " ".join(texts[i + 1 : i + 7])}
        for i in range(40)
    ]  # fmt: skip
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def measure(name: str, folder: Path) -> dict[str, Any]:
    stage, settings = RUNS[name]
    output = folder / name.replace(" ", "-").replace(",", "")
    spec = {
        "base": str(folder / "base"),
        "data": str(folder / "data.jsonl"),
        "output": str(output),
        "steps": 2,
        **settings,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "trainers", stage, str(path)]
    told = subprocess.run([*command, "--dry-run"], env=environment(), capture_output=True, text=True, check=True)
    subprocess.run(command, env=environment(), capture_output=True, check=True)
    parts = json.loads(told.stdout.splitlines()[-1])["bytes"]
    peak = json.loads((output / "result.json").read_text())["peak_memory_bytes"]["host"]
    return {"measured": peak, "estimate": parts["total"], "error": round(parts["total"] / peak - 1, 3), "parts": parts}


def main() -> int:
    args = options(__doc__)
    report = Report("memory_estimate", args.quick, args.json)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        for run in QUICK if args.quick else RUNS:
            found = report.figures[run] = measure(run, folder)
            report.say(f"{run}: measured {found['measured'] / 1e6:.0f} MB, estimate {found['estimate'] / 1e6:.0f} MB")
            report.bar(f"{run} error", abs(found["error"]), "at_most", ERROR)
    for text, shape, load, gigabytes in PUBLISHED:
        total = estimate(shape, load)["total"] / 1e9
        report.figures[text] = {"published_gb": gigabytes, "estimate_gb": round(total, 1), "load": asdict(load)}
        report.say(f"{text}: published {gigabytes} GB, estimate {total:.1f} GB ({total / gigabytes - 1:+.0%})")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
