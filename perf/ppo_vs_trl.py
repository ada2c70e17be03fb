"""Our PPO against the last PPO of TRL (1.12.0): speed and reward on a tiny model, memory on Qwen2.5-0.5B's shape.

Both are stages in processes of their own on one thread, taking turns: `trainers.ppo`, and `examples/trl_ppo` in the
environment that its `environment.py` makes (TRL 1.12.0 in front of this environment's packages; needs a registry once).
The same checkpoint, reward model, prompts (one answer each), answers of at most as many tokens, episodes and epochs an
update, rows in a pass, adapters, temperature, base learning rate and weight of the KL. Ours plays the same number of
gradient steps: its early stop is switched off.

- `speed`: episodes a second of update, from the events: wall time between updates, without loading, validation and saving
  (`--base` and `--reward`: the tiny model's). Other work on the machine slows both; they take turns for it, and
  `cpu_speed`, episodes a CPU second of the whole process with its imports, must show the same.
- `reward`: the reward model's mean score in the last quarter of the updates. All seeds are told; the bar is on the mean.
- `memory`: peak resident bytes of the whole process at the shape of Qwen2.5-0.5B with random weights, two updates of short
  answers (`--no-memory` leaves it out). With `--quick` one seed, few updates, no memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Cost, Report, cost, option_parser
from large_model import make

ROOT = Path(__file__).resolve().parents[1]
THEIRS = ROOT / "examples" / "trl_ppo"
SPEED, MEMORY = 1.5, 0.6
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TINY = {"updates": 40, "episodes": 64, "micro_batch": 32, "epochs": 2, "learning_rate": 1e-3, "max_new_tokens": 64}
LARGE = {"updates": 2, "episodes": 4, "micro_batch": 2, "epochs": 2, "learning_rate": 1e-5, "max_new_tokens": 16}


def main() -> int:
    options = option_parser(__doc__)
    options.add_argument("--base", type=Path, required=True, help="the tiny SFT checkpoint, merged")
    options.add_argument("--reward", type=Path, required=True, help="a reward model trained on it")
    options.add_argument("--data", type=Path, required=True, help="JSONL rows with 'prompt' (training split)")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--no-memory", action="store_true")
    given = options.parse_args()
    report = Report("ppo_vs_trl", given.quick, given.json)
    subprocess.run([sys.executable, str(THEIRS / "environment.py")], check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="easyds-ppo-") as folder:
        base = {name: str(getattr(given, name).resolve()) for name in ("base", "reward", "data")}
        base["validation"] = "ds-trace-demo-validation"
        speed(report, Path(folder), base, given.seeds[:1] if given.quick else given.seeds)
        if not (given.quick or given.no_memory):
            memory(report, Path(folder))
    return report.finish()


def speed(report: Report, folder: Path, base: dict[str, str], seeds: list[int]) -> None:
    how = {**TINY, "updates": 4} if report.quick else TINY
    found: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
    for seed in seeds:
        for name in found if seed % 2 == 0 else reversed(found):
            used, rows = play(name, folder / f"{name}-{seed}", {**base, "seed": seed}, how)
            last = rows[-max(1, len(rows) // 4) :]
            found[name].append(
                {
                    "speed": how["episodes"] * (len(rows) - 1) / sum(row["took"] for row in rows[1:]),
                    "cpu_speed": how["episodes"] * how["updates"] / used.cpu,
                    "reward": statistics.mean(row["reward"] for row in last),
                    "first_reward": rows[0]["reward"],
                    "reference_kl": rows[-1]["reference_kl"],
                }
            )
            report.say(f"{name} seed {seed}: {json.dumps({k: round(v, 3) for k, v in found[name][-1].items()})}")
    report.figures["tiny"] = {"how": how, **found}
    ours, theirs = ({key: statistics.mean(one[key] for one in rows) for key in rows[0]} for rows in found.values())
    report.bar("speed, ours over TRL", round(ours["speed"] / theirs["speed"], 2), "at_least", SPEED)
    report.bar("cpu_speed, ours over TRL", round(ours["cpu_speed"] / theirs["cpu_speed"], 2), "at_least", SPEED)
    if not report.quick:
        report.bar("reward, ours less TRL", round(ours["reward"] - theirs["reward"], 3), "at_least", 0.0)


def memory(report: Report, folder: Path) -> None:
    made = make(folder / "large", "0.5b", prompt=32, answer=16)
    base = {name: made[name] for name in ("base", "reward", "data", "validation")}
    peaks = {}
    for name in ("ours", "trl"):
        used, _ = play(name, folder / f"{name}-large", {**base, "seed": 0}, LARGE)
        peaks[name] = used.memory
        report.say(f"{name}: peak {used.memory / 1e9:.2f} GB, {used.cpu:.0f} cpu-s")
    report.figures["large"] = {"how": LARGE, "peak_bytes": peaks}
    report.bar("peak memory, ours over TRL", round(peaks["ours"] / peaks["trl"], 3), "at_most", MEMORY)


def play(name: str, output: Path, given: dict[str, Any], how: dict[str, Any]) -> tuple[Cost, list[dict[str, float]]]:
    """Run one side; what the process cost, and its updates with the seconds that each `took`."""
    spec = (ours if name == "ours" else theirs)({**given, "output": str(output)}, how)
    path = output.with_suffix(".json")
    path.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "trainers", "ppo"] if name == "ours" else [str(THEIRS / "run")]
    used = cost([*command, path], path.parent)
    rows = [json.loads(line) for line in (output / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["phase"] == "ppo"]
    for before, row in zip([None, *rows], rows):
        phases = [value for key, value in row.items() if key.endswith("_s")]
        row["took"] = sum(phases) if phases else row["seconds"] - (before["seconds"] if before else 0.0)
    return used, rows


def theirs(given: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in given.items() if key != "validation"}
    return {**known, **how, "kl_coef": 0.05, "temperature": 1.0, "lora": {"r": 8, "alpha": 32}}


def ours(given: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    same = {key: how[key] for key in ("episodes", "micro_batch", "epochs", "learning_rate", "max_new_tokens")}
    return {
        **given,
        "validation_items": 4,
        "validation_samples": 1,
        "keep": "reward",
        "frontier": 1,
        "lora": {"r": 8, "alpha": 32, "dropout": 0.0, "targets": ALL_LINEAR},
        "ppo": {
            **same,
            "iterations": how["updates"],
            "samples": 1,
            "minibatch": how["episodes"],
            "missing_end": 0.0,
            "update_kl": {"stop": 1e9},
            "reference_kl": {"coefficient": 0.05},
        },
    }


if __name__ == "__main__":
    sys.exit(main())
