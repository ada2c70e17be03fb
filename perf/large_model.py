"""Peak memory and speed of the stages at the shape of a real model, with random weights.

    python perf/large_model.py --shape 7b --folder /tmp/large        (a GPU; 16 GB on the disk)

A Qwen2.5 of the shape (bfloat16 on a GPU), a small tokenizer and rows of `--prompt` + `--answer` tokens are made in the
folder; SFT, reward model, DPO and PPO then train two updates of it with LoRA r=8 on q, k and v and gradient
checkpointing, each in a process of its own. Told of each: peak bytes (of the GPU where there is one, else resident), and
tokens a second: those of the rows, each counted once, over the seconds of the last update. The bar, for 7b on a GPU: PPO
(policy, reference, reward model and critic) in 24 GB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from common import Report, cost, option_parser

BAR = 24e9
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "vocab_size": 1024, "tie_word_embeddings": True},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False},
}  # fmt: skip
ROWS, UPDATE = 16, 8
"""Rows in the data, and rows of an update (of PPO: episodes)."""
TASK = """\
name: large
version: "1"
license: CC0-1.0
description: {en: "Prompts of one length.", zh: "一样长的提示。"}
rubric: guidance
system: {en: Tutor.}
scorers: [chrf]
items: items.jsonl
"""


def main() -> int:
    options = option_parser(__doc__)
    options.add_argument("--shape", choices=list(SHAPES), default="7b")
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--prompt", type=int, default=512, help="tokens")
    options.add_argument("--answer", type=int, default=256, help="tokens")
    options.add_argument("--micro-batch", type=int, default=2)
    given = options.parse_args()
    report = Report("large_model", given.quick, given.json)
    folder = given.folder.resolve()
    paths = make(folder / given.shape, given.shape, given.prompt, given.answer)
    for stage, spec in specs(paths, given.micro_batch, given.answer).items():
        output = folder / f"{given.shape}-{stage}"
        path = output.with_suffix(".json")
        path.write_text(json.dumps({**spec, "output": str(output)}), encoding="utf-8")
        cost([sys.executable, "-m", "trainers", stage, path], folder)
        result = json.loads((output / "result.json").read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in (output / "events.jsonl").read_text(encoding="utf-8").splitlines()]
        rows = [row for row in rows if row["phase"] == stage]
        took = rows[-1]["seconds"] - rows[-2]["seconds"]
        tokens = UPDATE * (given.prompt + given.answer) * (2 if stage in ("dpo", "reward") else 1)
        peak = result["peak_memory_bytes"].get("device", result["peak_memory_bytes"]["host"])
        report.figures[stage] = {"peak_bytes": peak, "tokens_per_s": round(tokens / took, 1)}
        report.say(f"{stage}: peak {peak / 1e9:.1f} GB, {tokens / took:.0f} tokens/s")
    report.bar("PPO's peak in bytes", report.figures["ppo"]["peak_bytes"], "at_most", BAR)
    return report.finish()


def specs(paths: dict[str, str], micro_batch: int, answer: int) -> dict[str, dict[str, Any]]:
    common = {"base": paths["base"], "lora": {"r": 8, "alpha": 32, "dropout": 0.0}, "save_every": 1000}
    train = {
        "steps": 2,
        "batch_size": micro_batch,
        "accumulation": UPDATE // micro_batch,
        "gradient_checkpointing": True,
    }
    ppo = {
        "iterations": 2,
        "episodes": UPDATE,
        "samples": 1,
        "minibatch": UPDATE,
        "micro_batch": micro_batch,
        "epochs": 1,
        "max_new_tokens": answer,
        "gradient_checkpointing": True,
    }
    validation = {"validation": paths["validation"], "validation_items": 1, "validation_samples": 1, "keep": "reward"}
    return {
        "sft": {**common, **train, "data": paths["pairs"]},
        "reward": {**common, **train, "data": paths["pairs"]},
        "dpo": {**common, **train, "data": paths["pairs"]},
        "ppo": {**common, **validation, "data": paths["data"], "reward": paths["reward"], "frontier": 1, "ppo": ppo},
    }


def make(folder: Path, shape: str, prompt: int, answer: int) -> dict[str, str]:
    """A random checkpoint, a random reward model on it, and data of about `prompt` + `answer` tokens a row, by name."""
    import torch
    from peft import get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from trainers import checkpoint
    from trainers.base import train_tokenizer
    from trainers.checkpoint import Lora

    names = {"data": "prompts.jsonl", "pairs": "pairs.jsonl", "reward": "reward/checkpoint", "base": "base"}
    found = {name: str(folder / path) for name, path in {**names, "validation": "validation.yaml"}.items()}
    if (folder / "validation.yaml").exists():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([[{"role": "user", "content": "pop push enqueue"}]], 400)
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    with torch.device(checkpoint.device()):
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[shape], max_position_embeddings=32768, dtype=kind, **special))
    model = model.to(kind)
    model.save_pretrained(found["base"], safe_serialization=True)
    tokenizer.save_pretrained(found["base"])
    del model
    lora = Lora(r=8, dropout=0.0)
    loaded = checkpoint.load(found["base"], lora, folder / "merged")
    scorer = get_peft_model(checkpoint.with_head(loaded.model, 1), lora.config(loaded.folder, head=True))
    checkpoint.save_reward(scorer, loaded, folder / "reward")
    asked = [" ".join([str(number), *["7"] * (prompt // 2 - 5)]) for number in range(ROWS)]
    texts = {end: " ".join([*["8"] * (answer // 2 - 1), end]) for end in ("5", "6")}
    turns = [[{"role": "user", "content": text}] for text in asked]
    _write(folder / "prompts.jsonl", [{"prompt": one} for one in turns])
    chosen = [{"prompt": one, "response": texts["5"], "chosen": texts["5"], "rejected": texts["6"]} for one in turns]
    _write(folder / "pairs.jsonl", chosen)
    _write(folder / "items.jsonl", [_item(text, number) for number, text in enumerate(asked[:4])])
    (folder / "validation.yaml").write_text(TASK, encoding="utf-8")
    return found


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _item(text: str, number: int) -> dict[str, Any]:
    return {
        "id": f"item-{number}",
        "cluster": f"problem-{number}",
        "language": "en",
        "knowledge_point": "queue",
        "difficulty": 1,
        "split": "validation",
        "hint_level": 1,
        "messages": [{"role": "user", "content": text}],
        "key_points": {"diagnosis": "none", "location": "none", "next_steps": ["trace"]},
        "answer": "1, 2, 3",
    }


if __name__ == "__main__":
    sys.exit(main())
