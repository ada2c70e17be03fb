"""The learnability gate of ds-trace: can a model of about a million parameters learn the demo's subset at all?

    python scripts/learnability.py                      # train as the demo does, but on good teachers; print the verdict
    python scripts/learnability.py --checkpoint FOLDER  # only measure a checkpoint

Trains the stage `base` from scratch on good teachers, then lets it answer validation items greedily and compares D1
(exactly the right misconception named) with `control/prior`, paired by item and clustered. The gate: at least ten points
above, within four CPU minutes of training. The ladder of earlier tries stands in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import experiment, models
from harness import task as loader
from harness.cli.simulate import write
from harness.paths import experiments
from harness.scorers.checks import check
from harness.simulator import dialogues
from harness.simulator.items import build
from harness.stats.compare import paired_difference
from harness.types import Decoding, Item, Request, Response

TASK = "ds-trace-demo"
GATE_POINTS, GATE_CPU_S = 0.10, 240.0
DEMO = experiment.read(experiments() / "demo.yaml")
BASE = {key: value for key, value in DEMO.shared["base"].items() if key not in ("stage", "data")}
MIXTURE = DEMO.data["mixture"]["conversations"]


def train(folder: Path, task_name: str) -> dict[str, float]:
    """result.json of a base trained on good teachers only."""
    task = loader.load(task_name)
    write(
        dialogues.build(
            loader.exercises(task_name, "train", MIXTURE["clusters"], MIXTURE["seed"]), "good", task.system
        ),
        folder / "train.jsonl",
    )
    spec = {**BASE, "data": str(folder / "train.jsonl"), "output": str(folder / "base")}
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-m", "trainers", "base", str(folder / "spec.json")], check=True)
    found: dict[str, float] = json.loads((folder / "base" / "result.json").read_text())
    return found


def diagnoses(name: str, items: Sequence[Item], task_name: str) -> list[float]:
    """1 for each item on which the system names exactly the right misconception, else 0."""
    task = loader.load(task_name)
    model = models.open_model(name, models.Options(batch_size=16))
    model.load()
    by_id = {item.id: item for item in items}
    requests = [Request(item, 0, loader.prompt(task, item)) for item in items]
    found = {
        one.item: float(check(by_id[one.item], one.text)["D1"][0] == 2)
        for one in model.generate(requests, Decoding(max_new_tokens=task.decoding.max_new_tokens))
        if isinstance(one, Response)
    }
    return [found[item.id] for item in items]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--clusters", type=int, default=200)
    args = parser.parse_args()
    items = list(build(loader.exercises(TASK, "validation", args.clusters, 9)))
    with tempfile.TemporaryDirectory() as folder:
        if args.checkpoint:
            checkpoint, cpu = args.checkpoint.resolve(), None
        else:
            result = train(Path(folder), TASK)
            checkpoint, cpu = Path(folder) / "base" / "checkpoint", result["cpu_seconds"]
        ours, prior = diagnoses(f"hf/{checkpoint}", items, TASK), diagnoses("control/prior", items, TASK)
    gap = paired_difference(ours, prior, [item.cluster for item in items])
    passed = gap.value >= GATE_POINTS and (cpu is None or cpu <= GATE_CPU_S)
    figures = {
        "items": len(items),
        "d1": round(sum(ours) / len(ours), 3),
        "prior_d1": round(sum(prior) / len(prior), 3),
        "difference": [round(value, 3) for value in (gap.value, gap.low, gap.high)],
        "training_cpu_s": cpu,
        "ok": passed,
    }
    print(json.dumps(figures))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
