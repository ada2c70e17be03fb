"""What a stage adds to TRL: SFT and DPO as stages, and as plain TRL scripts on the same rows, whole processes in turns.

A random Qwen2 of 1.1 million parameters with its tokenizer and 64 simulated conversations are made in a temporary folder;
batches of 8, LoRA r=8, one thread. The plain script (`plain_trl.py`) gets the rows as rendered text.

- Losses: those that TRL logs in the plain script against those in the stage's events.jsonl, bit for bit.
- `callbacks_ms`: time inside the stage's own callback in a step, median over all steps of all pairs (`timed_stage.py`), by the clock.
  The bar is 3 ms or 2 % of a step, whichever is more. Time to save a state is told apart and has no bar: it is the price
  of being resumable, and `save_every` sets how often it is paid.
- `step_ratio`: median step of the stage over that of the plain script in CPU time, from TRL's begin of a step to its end;
  no bar, because caches and other work on the machine move it more than a stage does.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import Report, cost, options
from harness_overhead import SYSTEM

HERE = Path(__file__).resolve().parent
CALLBACK_MS, CALLBACK_SHARE = 3.0, 0.02
METHODS = ("sft", "dpo")


def write_base(folder: Path, rows: Sequence[Sequence[dict[str, str]]]) -> None:
    """A random Qwen2 and its tokenizer."""
    import torch

    from trainers.base import Spec, new_model, train_tokenizer

    torch.manual_seed(0)
    tokenizer = train_tokenizer(rows, 2048)
    new_model(tokenizer, Spec(data="", output="")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_data(folder: Path) -> list[list[dict[str, str]]]:
    """The rows of both arms, the same answers in both; returns the conversations."""
    from harness.simulator import dialogues
    from harness.simulator.items import Plan

    plan = Plan("train", 32, seed=5, families=("stack", "queue"), difficulties=(1,))
    good = [row["messages"] for row in dialogues.build(plan, "good", SYSTEM)]
    mixed = [row["messages"] for row in dialogues.build(plan, "mixture", SYSTEM)]
    ours = [
        {
            "prompt": a[:-1],
            "response": a[-1]["content"],
            "chosen": a[-1]["content"],
            "rejected": b[-1]["content"] + " ?",
        }
        for a, b in zip(good, mixed)
    ]
    write_rows(folder / "ours.jsonl", ours)
    write_base(folder / "base", good)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    for name, keys in (("sft", {"completion": "response"}), ("dpo", {"chosen": "chosen", "rejected": "rejected"})):
        rendered = [
            {
                "prompt": tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True),
                **{theirs: row[mine] + "<|im_end|>" for theirs, mine in keys.items()},
            }
            for row in ours
        ]
        write_rows(folder / f"{name}.jsonl", rendered)
    return good


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def pair(method: str, folder: Path, number: int, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(plain, stage) of one pair, each {"losses", "steps_s", ...}; which goes first alternates."""
    found = {}
    for arm in ("plain", "stage")[:: 1 if number % 2 else -1]:
        out, place = folder / f"{method}-{arm}-{number}.json", folder / f"{method}-{arm}-{number}"
        settings = {"base": str(folder / "base"), "steps": steps, "batch_size": 8, "learning_rate": 1e-3}
        settings |= {"data": str(folder / (f"{method}.jsonl" if arm == "plain" else "ours.jsonl"))}
        settings |= {"out": str(out)} if arm == "plain" else {"output": str(place), "save_every": 10}
        given = folder / "given.json"
        given.write_text(json.dumps(settings))
        script = (
            [HERE / "plain_trl.py", method, given] if arm == "plain" else [HERE / "timed_stage.py", method, given, out]
        )
        used = cost([sys.executable, *script], folder)
        found[arm] = {**json.loads(out.read_text()), "cpu_s": used.cpu, "memory": used.memory}
        if arm == "stage":
            events = (place / "events.jsonl").read_text().splitlines()
            found[arm]["losses"] = [row["loss"] for row in map(json.loads, events) if "loss" in row]
    return found["plain"], found["stage"]


def measure(report: Report, method: str, folder: Path, pairs: int, steps: int) -> None:
    done = [pair(method, folder, number, steps) for number in range(pairs)]
    equal = all(plain["losses"] == stage["losses"] for plain, stage in done)
    plain_ms, stage_ms = (
        1000 * statistics.median(one for arms in done for one in arms[arm]["steps_s"][1:]) for arm in (0, 1)
    )
    callback_ms = 1000 * statistics.median(one for _, stage in done for one in stage["callbacks_s"])
    worst_ms = 1000 * max(one for _, stage in done for one in stage["callbacks_s"])
    save_ms = 1000 * statistics.median(one for _, stage in done for one in stage["saves_s"])
    cpu = statistics.median(stage["cpu_s"] - plain["cpu_s"] for plain, stage in done)
    report.figures[method] = {
        "steps": steps,
        "pairs": pairs,
        "first_and_last_loss": [done[0][1]["losses"][0], done[0][1]["losses"][-1]],
        "plain_step_cpu_ms": round(plain_ms, 2),
        "stage_step_cpu_ms": round(stage_ms, 2),
        "step_ratio": round(stage_ms / plain_ms, 3),
        "callbacks_ms": round(callback_ms, 3),
        "callbacks_worst_ms": round(worst_ms, 3),
        "callbacks_share": round(callback_ms / stage_ms, 5),
        "save_ms": round(save_ms, 1),
        "cpu_s_stage_minus_plain": round(cpu, 2),
        "peak_mib": [round(done[0][arm]["memory"] / 2**20) for arm in (0, 1)],
    }
    report.say(f"{method}: {json.dumps(report.figures[method])}")
    report.bar(f"{method}_losses_equal", equal, "equals", True)
    report.bar(f"{method}_callbacks_ms", round(callback_ms, 3), "at_most", max(CALLBACK_MS, CALLBACK_SHARE * stage_ms))


def main() -> int:
    args = options(__doc__)
    report = Report("trainer_overhead", args.quick, args.json)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        for method in METHODS:
            measure(report, method, folder, 1 if args.quick else 3, 12 if args.quick else 40)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
