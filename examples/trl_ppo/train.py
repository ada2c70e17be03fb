"""TRL 1.12's PPO as a stage of EasyDS Bench: `train.py spec.json`. Run it by `run`, in the environment of environment.py.

Nothing of EasyDS Bench is imported: what makes a program a stage is the files it reads and writes (README.md).
"""

from __future__ import annotations

import copy
import fcntl
import json
import os
import platform
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
import transformers
import trl
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "threads": 1,
    "updates": 40,
    "episodes": 32,
    "micro_batch": 8,
    "epochs": 4,
    "learning_rate": 5e-4,
    "kl_coef": 0.05,
    "max_new_tokens": 100,
    "temperature": 1.0,
    "lora": {"r": 8, "alpha": 32},
}
NEEDED = ("output", "base", "reward", "data")
NAMES = {
    "objective/kl": "reference_kl",
    "objective/scores": "reward",
    "objective/entropy": "entropy_per_sequence",
    "policy/approxkl_avg": "update_kl_k2_per_token",
    "policy/clipfrac_avg": "clipped_ratios",
    "loss/policy_avg": "loss",
    "loss/value_avg": "value_loss",
    "lr": "learning_rate",
}
"""TRL's values by the names that the harness knows: reference_kl is nats per sequence."""


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: run spec.json")
    spec = read_spec(Path(sys.argv[1]))
    output = Path(spec["output"])
    output.mkdir(parents=True, exist_ok=True)
    if (output / "result.json").exists():
        return
    lock = open(output / ".lock", "w")  # noqa: SIM115  (held until the process ends)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"{output} is being written by another process.")
    started = time.perf_counter()
    trainer, tokenizer = prepare(spec, output, started)
    trainer.train()
    save(trainer, tokenizer, output)
    finish(spec, output, started)


def read_spec(path: Path) -> dict[str, Any]:
    """The spec with defaults. Ends the program, with one line, on a key that is missing or unknown."""
    given = json.loads(path.read_text(encoding="utf-8"))
    if missing := [key for key in NEEDED if key not in given]:
        sys.exit(f"{path}: the key '{missing[0]}' is missing.")
    if strange := sorted(set(given) - {*DEFAULTS, *NEEDED}):
        sys.exit(f"{path}: unknown key '{strange[0]}'. There are {', '.join(sorted({*DEFAULTS, *NEEDED}))}.")
    spec = {**DEFAULTS, **given}
    if spec["episodes"] % spec["micro_batch"]:
        sys.exit(f"{path}: 'episodes' must be a multiple of 'micro_batch'.")
    if not (Path(spec["base"]) / "config.json").exists():
        sys.exit(f"{path}: {spec['base']} is no whole checkpoint (an adapter must be merged first).")
    return spec


def prepare(spec: dict[str, Any], output: Path, started: float) -> tuple[PPOTrainer, Any]:
    """The trainer: a policy with an adapter (the reference is the policy without it), the reward model, and a critic."""
    torch.set_num_threads(spec["threads"])
    set_seed(spec["seed"])
    base = str(Path(spec["base"]).resolve())
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, padding_side="left")
    reward = load_reward(Path(spec["reward"]), tokenizer)
    prompts = read_prompts(Path(spec["data"]), tokenizer)
    prompts *= -(-spec["episodes"] // len(prompts))  # with fewer prompts than episodes TRL waits forever for a batch
    config = PPOConfig(
        output_dir=str(output / ".trl"),
        seed=spec["seed"],
        total_episodes=spec["updates"] * spec["episodes"],
        per_device_train_batch_size=spec["micro_batch"],
        gradient_accumulation_steps=spec["episodes"] // spec["micro_batch"],
        num_ppo_epochs=spec["epochs"],
        learning_rate=spec["learning_rate"],
        kl_coef=spec["kl_coef"],
        response_length=spec["max_new_tokens"],
        temperature=spec["temperature"],
        stop_token="eos",
        num_sample_generations=0,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    lora = LoraConfig(
        r=spec["lora"]["r"], lora_alpha=spec["lora"]["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32),
        ref_model=None,
        reward_model=reward,
        value_model=copy.deepcopy(reward).requires_grad_(True),
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
        eval_dataset=Dataset.from_dict({"input_ids": prompts[: config.per_device_eval_batch_size]}),
        peft_config=lora,
        callbacks=[Record(output / "events.jsonl", spec, started)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, tokenizer


def load_reward(folder: Path, tokenizer: Any) -> Any:
    """The reward model that `easyds train reward` wrote: an adapter with its head on a base, merged."""
    found = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    model = AutoModelForSequenceClassification.from_pretrained(
        found["base_model_name_or_path"], num_labels=1, local_files_only=True, dtype=torch.float32
    )
    model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    head = load_file(folder / "head.safetensors")["weight"]
    if not torch.equal(model.score.weight, head):
        sys.exit(f"{folder}: the head in the adapter is not the one in head.safetensors.")
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.requires_grad_(False)


def read_prompts(path: Path, tokenizer: Any) -> list[list[int]]:
    """Token ids of each different prompt: rows with `prompt` (text or turns) or `messages` (without the answer)."""
    found: dict[tuple[int, ...], None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        turns = row.get("prompt") or row["messages"]
        turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
        if turns[-1]["role"] == "assistant":
            turns = turns[:-1]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        found[tuple(tokenizer(text, add_special_tokens=False)["input_ids"])] = None
    return [list(ids) for ids in found]


class Record(TrainerCallback):
    """One line in events.jsonl for each update. TRL 1.12 cannot resume PPO, so a killed run begins again."""

    def __init__(self, path: Path, spec: dict[str, Any], started: float) -> None:
        path.unlink(missing_ok=True)
        self.path, self.spec, self.started = path, spec, started

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "objective/kl" not in logs:
            return
        row = {
            "step": state.global_step,
            "phase": "ppo",
            "seconds": round(time.perf_counter() - self.started, 3),
            "memory": peak_memory(),
            "steps": self.spec["updates"],
            **{ours: logs[theirs] for theirs, ours in NAMES.items()},
            "ended": logs["val/num_eos_tokens"] / self.spec["episodes"],
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def save(trainer: PPOTrainer, tokenizer: Any, output: Path) -> None:
    """Write checkpoint/ beside its place, then put it there: it is whole or not there."""
    temporary, final = output / ".checkpoint", output / "checkpoint"
    for folder in (temporary, final):
        shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.unwrap_model(trainer.model).policy.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    os.replace(temporary, final)
    shutil.rmtree(output / ".trl", ignore_errors=True)


def finish(spec: dict[str, Any], output: Path, started: float) -> None:
    """Write result.json last: where it stands, the stage is done."""
    result = {
        "stage": "trl-ppo",
        "spec": spec,
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time(), 3),
        "peak_memory_bytes": {"host": peak_memory()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "episodes": spec["updates"] * spec["episodes"],
    }
    temporary = output / ".result.json"
    temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    os.replace(temporary, output / "result.json")


def peak_memory() -> int:
    """Peak bytes of this process: of the GPU where one is used, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
