"""PPO on ds-trace-demo by arms and seeds: does the optimiser work, what does the reward model cost, do the controls act?

    python scripts/ppo_arms.py --sft out/sft/checkpoint --reward out/reward/checkpoint --data pairs.jsonl --folder /tmp/arms

The arm `gold` is rewarded by the gold score itself (an oracle: never ranked), `model` by the reward model. Both start
from the SFT checkpoint; their prompts are those of `--data` (rows with `prompt` and `item`). The checkpoint that is kept
is chosen on the first ITEMS items of the validation task; scores are told on its other items, which chose nothing.
What is in the folder is not made again. Draws `ppo-kl.svg` and `ppo-control.svg` into `--figures`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from candidates import ALL_LINEAR, evaluate, golds

from harness import stages
from harness import task as loader
from harness.cli.watch import Follow
from harness.record import read_lines
from harness.stats.bootstrap import hierarchical_bootstrap, hierarchical_bootstrap_difference

TASK, ITEMS = "ds-trace-demo-validation", 100
SETTINGS: dict[str, Any] = {
    "validation": TASK,
    "validation_items": ITEMS,
    "validation_samples": 2,
    "frontier": 8,
    "save_every": 5,
    "lora": {"r": 16, "alpha": 32, "dropout": 0.0, "targets": ALL_LINEAR},
    "ppo": {
        "iterations": 40,
        "episodes": 160,
        "samples": 4,
        "minibatch": 80,
        "micro_batch": 80,
        "epochs": 1,
        "max_new_tokens": 80,
        "learning_rate": 1e-3,
        "value_learning_rate": 2e-3,
        "warmup": 0.1,
        "decay": 1.0,
        "update_kl": {"high": 10.0},
        "reference_kl": {"coefficient": 0.02},
    },
}
"""Chosen on validation items, one seed of the arm `gold`. Answers are 30 tokens long: no need to discount advantages."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sft", "reward", "data", "folder"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--figures", type=Path, help="default: the folder")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=["gold", "model"], choices=["gold", "model", "length"])
    parser.add_argument("--only-train", action="store_true", help="no scores, no figures")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    rewards = {"gold": "gold", "length": "length", "model": str(given.reward.resolve())}
    outputs = {}
    for seed in given.seeds:
        for arm in given.arms:
            outputs[arm, seed] = folder / f"{arm}-{seed}"
            spec = {"base": str(given.sft.resolve()), "data": str(given.data), "reward": rewards[arm], "seed": seed}
            with Follow(f"{arm}-{seed}") as follow:
                stages.run(stages.Order("ppo", {**SETTINGS, **spec, "output": str(outputs[arm, seed])}), follow)
    if not given.only_train:
        table(given.sft.resolve(), outputs, folder)
        control(outputs)
        draw(outputs, given.figures or folder)


def table(sft: Path, outputs: dict[tuple[str, int], Path], folder: Path) -> None:
    """Gold score of SFT and of each arm's kept checkpoints on the items that chose nothing, and the differences."""
    task = loader.load(TASK)
    clusters = [item.cluster for item in task.items[ITEMS:]]
    base = golds(evaluate(sft, "sft", task, folder), task)[ITEMS:]
    print(f"gold score on {TASK} from item {ITEMS} on: {len(clusters)} items, {len(set(clusters))} clusters, 95 %")
    print(f"sft    {base.mean():.3f}")
    for arm in dict.fromkeys(arm for arm, _ in outputs):
        runs = [evaluate(out / "checkpoint", out.name, task, folder) for (one, _), out in outputs.items() if one == arm]
        scores = np.stack([golds(one, task)[ITEMS:] for one in runs])
        each = ", ".join(f"{value:.3f}" for value in scores.mean(axis=1))
        if len(runs) < 2:
            print(f"{arm:<6} {each}")
            continue
        own = hierarchical_bootstrap(scores, clusters)
        less = hierarchical_bootstrap_difference(scores, np.repeat(base[None], 2, axis=0), clusters)
        print(f"{arm:<6} {own.value:.3f} [{own.low:.3f}, {own.high:.3f}]  seeds {each}")
        print(f"{arm} - sft: {less.value:+.3f} [{less.low:+.3f}, {less.high:+.3f}]")


def control(outputs: dict[tuple[str, int], Path]) -> None:
    """How many updates of each run had a KL inside the band, and what the run came to."""
    for (arm, seed), output in outputs.items():
        rows = [row for row in read_lines(output / "events.jsonl") if row["phase"] == "ppo"]
        kls = [row["update_kl"] for row in rows]
        inside = sum(0.05 <= kl <= 0.2 for kl in kls)
        result = json.loads((output / "result.json").read_text(encoding="utf-8"))
        print(
            f"{arm}-{seed}: update KL in 0.05-0.2 in {inside} of {len(kls)} updates, median {statistics.median(kls):.3f}; "
            f"reference KL at the end {rows[-1]['reference_kl']:.1f}; kept step {result['kept']['step']}; "
            f"gradient norm above 1 in {statistics.mean(row['clipped_gradients'] for row in rows):.0%} of the steps; "
            f"{result['cpu_seconds']:.0f} cpu-s"
        )


def draw(outputs: dict[tuple[str, int], Path], figures: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "easyds"
    from matplotlib import pyplot

    arms = list(dict.fromkeys(arm for arm, _ in outputs))
    figures.mkdir(parents=True, exist_ok=True)
    rows = {key: list(read_lines(output / "events.jsonl")) for key, output in outputs.items()}

    figure, axes = pyplot.subplots(1, len(arms), figsize=(5 * len(arms), 3.6), squeeze=False)
    for axis, arm in zip(axes[0], arms):
        proxy = axis.twinx()
        for seed in sorted(seed for one, seed in outputs if one == arm):
            found = [row for row in rows[arm, seed] if row["phase"] == "validation"]
            kls = [row["reference_kl"] for row in found]
            axis.plot(kls, [row["gold"] for row in found], "o-", color="C0", alpha=0.7, ms=3)
            proxy.plot(kls, [row["reward"] for row in found], "s--", color="C1", alpha=0.7, ms=3)
        axis.set(title=f"reward: {arm}", xlabel="KL to the reference, nats per sequence")
        axis.set_ylabel("gold score (line)", color="C0")
        proxy.set_ylabel("reward (dashes)", color="C1")
    _save(figure, figures / "ppo-kl.svg")

    figure, axes = pyplot.subplots(2, len(arms), figsize=(5 * len(arms), 5), sharex=True, squeeze=False)
    for (above, below), arm in zip(axes.T, arms):
        above.axhspan(0.05, 0.2, color="C2", alpha=0.2)
        for seed in sorted(seed for one, seed in outputs if one == arm):
            found = [row for row in rows[arm, seed] if row["phase"] == "ppo"]
            steps = [row["step"] for row in found]
            above.plot(steps, [row["update_kl"] for row in found], ".-", label=f"seed {seed}")
            below.plot(steps, [row["multiplier"] for row in found], drawstyle="steps-post")
        above.set(title=f"reward: {arm}", ylabel="update KL, nats per sequence", yscale="log")
        below.set(xlabel="iteration", ylabel="multiplier of the rate", yscale="log")
        above.legend()
    _save(figure, figures / "ppo-control.svg")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(path)


if __name__ == "__main__":
    main()
