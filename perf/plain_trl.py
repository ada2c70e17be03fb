"""The plain script that trainer_overhead.py holds a stage against: TRL as its documentation shows it, for SFT or DPO.

`plain_trl.py sft|dpo settings.json` reads {"base", "data", "steps", "batch_size", "learning_rate", "out"}: rows of prompt
and completion, or of prompt, chosen and rejected, as rendered text. Writes {"losses": [...], "steps_s": [...]} to `out`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """CPU seconds of each step, from its begin to its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.process_time() - self._begun)


def main(method: str, given: dict[str, Any]) -> None:
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(given["base"])
    model = AutoModelForCausalLM.from_pretrained(given["base"])
    lora = LoraConfig(
        r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    common: dict[str, Any] = {
        "output_dir": given["out"] + ".trl",
        "seed": 0,
        "max_steps": given["steps"],
        "per_device_train_batch_size": given["batch_size"],
        "learning_rate": given["learning_rate"],
        "warmup_steps": 0.05,
        "max_length": None,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    rows = load_dataset("json", data_files=given["data"], split="train", cache_dir=given["out"] + ".cache")
    trainer: Any
    if method == "sft":
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**common),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=lora,
        )
    else:
        config = DPOConfig(**common, loss_type=["sigmoid", "sft"], beta=0.1)
        trainer = DPOTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=lora)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    Path(given["out"]).write_text(json.dumps({"losses": losses, "steps_s": clock.seconds}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
