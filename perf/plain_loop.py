"""The floor: the same prompts through transformers alone, as one would write it for one evening.

    python perf/plain_loop.py CHECKPOINT PROMPTS.jsonl ANSWERS.jsonl

Each prompt is a line {"id", "messages"}; each answer a line {"id", "text", "prompt_tokens", "completion_tokens"}.
Nothing of the project is imported. Token counts come from the attention mask and from the position of the first
end-of-turn token, so they are the truth that the harness's counts are held against.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH, NEW_TOKENS = 8, 32


def load(checkpoint: str) -> tuple[Any, Any]:
    """Tokenizer (padding on the left) and model."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    tokenizer.padding_side = "left"
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True).eval()
    return tokenizer, model


def answer(tokenizer: Any, model: Any, prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Greedy answers, in fixed batches of prompts sorted by length, long ones first."""
    texts = [
        tokenizer.apply_chat_template(row["messages"], tokenize=False, add_generation_prompt=True) for row in prompts
    ]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    rows = []
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer.pad({"input_ids": [ids[i] for i in chosen]}, return_tensors="pt")
        out = model.generate(**batch, do_sample=False, max_new_tokens=NEW_TOKENS)
        made = out[:, batch["input_ids"].shape[1] :]
        for i, mask, tokens in zip(chosen, batch["attention_mask"], made.tolist()):
            end = tokens.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in tokens else len(tokens)
            rows.append(
                {
                    "id": prompts[i]["id"],
                    "text": tokenizer.decode(tokens[:end], skip_special_tokens=True).strip(),
                    "prompt_tokens": int(mask.sum()),
                    "completion_tokens": end,
                }
            )
    return rows


def main(checkpoint: str, source: str, target: str) -> None:
    with open(source, encoding="utf-8") as file:
        prompts = [json.loads(line) for line in file]
    tokenizer, model = load(checkpoint)
    rows = answer(tokenizer, model, prompts)
    with open(target, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
