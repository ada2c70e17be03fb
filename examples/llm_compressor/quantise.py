"""W8A8 with calibration (GPTQ, Frantar et al. 2023): `quantise.py IN OUT`, calibrated on conversations of training data.

EASYDS_CALIBRATION names a JSONL file of rows with `messages` (as `easyds train sft` takes them), or `prompt` and `chosen`;
the first 512 are used. Never calibrate on test items.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier
from transformers import AutoModelForCausalLM, AutoTokenizer

SAMPLES, LENGTH = 512, 2048


def conversation(row: dict[str, Any]) -> list[dict[str, str]]:
    return row["messages"] if "messages" in row else [*row["prompt"], *row["chosen"]]


def main(source: str, target: str) -> int:
    path = os.environ.get("EASYDS_CALIBRATION")
    if not path:
        print("set EASYDS_CALIBRATION to a JSONL file of training conversations", file=sys.stderr)
        return 2
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()[:SAMPLES]]
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", trust_remote_code=False, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(source)
    texts = [tokenizer.apply_chat_template(conversation(row), tokenize=False) for row in rows]
    tokens = [tokenizer(text, truncation=True, max_length=LENGTH, add_special_tokens=False) for text in texts]
    oneshot(
        model=model,
        dataset=Dataset.from_list([dict(one) for one in tokens]),
        recipe=[GPTQModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"])],
        max_seq_length=LENGTH,
        num_calibration_samples=len(tokens),
    )
    model.save_pretrained(target, save_compressed=True)
    tokenizer.save_pretrained(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
