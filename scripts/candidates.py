"""Base, SFT, reward model, DPO and RLOO by several seeds, scored on a validation task: which beats which?

    python scripts/candidates.py --base demo/stages/base-0-*/checkpoint --folder /tmp/candidates --seeds 0 1 2

Every stage and run is kept in the folder: the same command goes on where it was stopped. Prints the gold score of each
method over seeds and items, and the paired differences, with intervals that hold for new seeds and new items; then the
reward models' accuracy by kind of rejected answer beside its ceiling. Settings: SETTINGS, chosen on validation items.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness import models, preferences, run, stages
from harness import task as loader
from harness.cli.progress import Progress
from harness.cli.simulate import rows, write
from harness.cli.watch import Follow
from harness.paths import datasets, read_yaml
from harness.record import Run, read_lines
from harness.rubric import gold_score
from harness.stats.bootstrap import hierarchical_bootstrap, hierarchical_bootstrap_difference
from harness.types import Task

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"r": 16, "targets": ALL_LINEAR}
"""A toy model has too little in q, k and v alone for these few steps (measured: docs/measurements.md)."""
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"steps": 120, "batch_size": 16, "learning_rate": 2e-3, "lora": LORA},
    "reward": {"steps": 340, "batch_size": 8, "learning_rate": 1e-3, "lora": None},
    "dpo": {"steps": 140, "batch_size": 16, "learning_rate": 1.5e-3, "lora": LORA},
    "rloo": {
        "steps": 40,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "lora": LORA,
        "generations": 4,
        "max_new_tokens": 100,
    },
}
GOOD_CLUSTERS, SAMPLED_CLUSTERS = 1500, 100
TEACHER_CLUSTERS, HARD_CLUSTERS, LANGUAGE_CLUSTERS = 500, 600, 250
HARD = ("wrong-diagnosis", "wrong-step", "false-alarm", "false-praise")
"""Half of DPO's pairs turn on a fact: what a toy model lacks is the diagnosis, not manners. Reward models learn from the
pairs of all kinds, with more of the wrong language, which they else do not see."""
ORDER = ("base", "sft", "dpo", "rloo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, type=Path)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--task", default="ds-trace-demo-validation")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", default=["dpo", "rloo"])
    parser.add_argument("--samples", type=int, help="answers an item; the task's own number by default")
    parser.add_argument("--set", nargs="*", default=[], metavar="STAGE.KEY=VALUE", help="replaces a setting")
    given = parser.parse_args()
    for one in given.set:
        name, _, value = one.partition("=")
        stage, _, key = name.partition(".")
        SETTINGS[stage][key] = json.loads(value)
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    task = loader.load(given.task)
    data = make_data(folder, given.task)
    systems: dict[str, list[Run]] = {"base": [evaluate(given.base.resolve(), "base", task, folder, given.samples)]}
    for seed in given.seeds:
        for method, checkpoint in chain(folder, given.base.resolve(), data, seed, given.methods):
            systems.setdefault(method, []).append(evaluate(checkpoint, f"{method}-{seed}", task, folder, given.samples))
    print_table(systems, task)
    print_rewards(folder, data, given.seeds)


def make_data(folder: Path, task_name: str) -> dict[str, Path]:
    """Good conversations, teacher-made pairs to train and to judge reward models, and a task of training exercises to sample answers on."""
    found = {name: folder / f"{name}.jsonl" for name in ("good", "teacher", "hard", "language", "judged")} | {
        "train": folder / "train.yaml"
    }
    if not found["good"].exists():
        write(rows(loader.exercises(task_name, "train", GOOD_CLUSTERS, 71), "good", task_name), found["good"])
    wanted = (
        ("teacher", "train", TEACHER_CLUSTERS, 72, ()),
        ("hard", "train", HARD_CLUSTERS, 75, HARD),
        ("language", "train", LANGUAGE_CLUSTERS, 77, ("language",)),
        ("judged", "validation", 150, 74, ()),
    )
    for name, split, clusters, seed, kinds in wanted:
        if not found[name].exists():
            plan = loader.exercises(task_name, split, clusters, seed)
            write(preferences.teacher_pairs(plan, loader.load(task_name), preferences.Rater(), kinds), found[name])
    given = read_yaml(datasets() / task_name / "task.yaml")
    given["name"] = "candidates-train"
    given["simulate"] |= {"split": "train", "clusters": SAMPLED_CLUSTERS, "seed": 73}
    given["decoding"] |= {"temperature": 1.0, "samples": 4}
    given["scorers"] = ["trace"]
    found["train"].write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    return found


def chain(folder: Path, base: Path, data: dict[str, Path], seed: int, methods: list[str]) -> Iterator[tuple[str, Path]]:
    """(method, checkpoint) of one seed, as they are made. Every method begins from this seed's SFT."""
    sft = stage("sft", folder, seed, base=str(base), data=str(data["good"]))
    yield "sft", sft
    pairs = {name: folder / f"{name}-pairs-{seed}.jsonl" for name in ("dpo", "reward")}
    if methods and not pairs["reward"].exists():
        train = loader.load(str(data["train"]))
        sampled = evaluate(sft, f"sft-{seed}-sampled", train, folder)
        own = list(preferences.sampled_pairs(sampled, train, preferences.Rater(), 2))
        for name, more in (("dpo", "hard"), ("reward", "language")):
            pairs[name].unlink(missing_ok=True)
            write(iter([*read_lines(data["teacher"]), *read_lines(data[more]), *own]), pairs[name])
    for method in methods:
        if method == "dpo":
            yield method, stage(method, folder, seed, base=str(sft), data=str(pairs["dpo"]))
            continue
        reward = stage("reward", folder, seed, base=str(sft), data=str(pairs["reward"]))
        yield method, stage(method, folder, seed, base=str(sft), data=str(pairs["reward"]), reward=str(reward))


def stage(name: str, folder: Path, seed: int, **given: str) -> Path:
    """The checkpoint of one stage, trained if it is not there."""
    output = folder / f"{name}-{seed}"
    spec = {"output": str(output), "seed": seed, **SETTINGS[name], **given}
    with Follow(f"{name}-{seed}") as follow:
        result = stages.run(stages.Order(name, spec), follow)
    print(f"{name}-{seed}: {result['cpu_seconds']:.0f} cpu-s", flush=True)
    return output / "checkpoint"


def evaluate(checkpoint: Path, label: str, task: Task, folder: Path, samples: int | None = None) -> Run:
    model = models.open_model(f"hf/{checkpoint}", models.Options(batch_size=32))
    with Progress(label) as bar:
        plan = run.Plan.of(task, samples=samples)
        return run.execute(plan, model, folder / "runs", system=label, name=label, progress=bar.begin)


def golds(one: Run, task: Task) -> np.ndarray:
    """Gold score of each item of the task: the mean over its samples."""
    values: dict[tuple[str, int], dict[str, float | None]] = defaultdict(dict)
    for score in one.scores():
        if score.source.startswith("check/"):
            values[score.item, score.sample][score.criterion] = score.value
    by_item: dict[str, list[float]] = defaultdict(list)
    for (item, _), found in values.items():
        by_item[item].append(gold_score(task.rubric, found) or 0.0)
    return np.array([np.mean(by_item[item.id]) for item in task.items])


def print_table(systems: dict[str, list[Run]], task: Task) -> None:
    clusters = [item.cluster for item in task.items]
    scores = {name: np.stack([golds(one, task) for one in runs]) for name, runs in systems.items()}
    print(f"\ngold score on {task.name}: {len(task.items)} items, {len(set(clusters))} clusters, 95 % intervals")
    for name, table in scores.items():
        each = ", ".join(f"{value:.3f}" for value in table.mean(axis=1))
        if len(table) > 1:
            found = hierarchical_bootstrap(table, clusters)
            print(f"{name:<6} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]  seeds {each}")
        else:
            print(f"{name:<6} {each}")
    ordered = [name for name in (*ORDER, *sorted(set(scores) - set(ORDER))) if name in scores]
    for index, a in enumerate(ordered):
        for b in ordered[:index]:
            if len(scores[a]) > 1:
                other = np.repeat(scores[b], 2, axis=0) if len(scores[b]) == 1 else scores[b]
                found = hierarchical_bootstrap_difference(scores[a], other, clusters)
                print(f"{a} - {b}: {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")


def print_rewards(folder: Path, data: dict[str, Path], seeds: list[int]) -> None:
    """Accuracy on pairs of the validation split by kind, over the seeds' reward models, beside the labels' ceiling."""
    from trainers import checkpoint, reward
    from trainers.data import Columns, read_pairs
    from trainers.rewards import RewardModel

    folders = [one for seed in seeds if (one := folder / f"reward-{seed}" / "checkpoint").exists()]
    right: dict[str, list[tuple[float, int]]] = defaultdict(list)
    brier = []
    for one in folders:
        loaded = checkpoint.load(
            str(one.parent.parent / one.parent.name.replace("reward", "sft") / "checkpoint"), None, one
        )
        told = reward.report(RewardModel(one), read_pairs(data["judged"], loaded, Columns(), loaded.context))
        brier.append(told["brier"])
        for kind, found in {"all": told, **told["by_kind"]}.items():
            right[kind].append((found["accuracy"], found["n"]))
    if not folders:
        return
    ceilings = {row["kind"]: row["ceiling"] for row in preferences.summary(read_lines(data["judged"]))}
    print(f"\n{len(folders)} reward models on pairs of the validation split, Brier score {np.mean(brier):.3f}")
    for kind, each in right.items():
        accuracy, n = np.mean([value for value, _ in each]), each[0][1]
        print(f"{kind:<16} {accuracy:.3f} (n {n})  ceiling {ceilings[kind]:.3f}")


if __name__ == "__main__":
    main()
