"""The demo's local judge: trained on lessons whose verdicts are computed, served here, and held against those facts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import calibration, lessons, run, scorers, stages
from harness import task as tasks
from harness.board import trust
from harness.cli.app import print_rows
from harness.cli.judge import attacked, rounded
from harness.cli.watch import Follow
from harness.experiment import data
from harness.experiment.execute import MADE
from harness.paths import read_yaml
from harness.record import Run, read_lines, write_text

SETTINGS = Path(__file__).with_name("local_judge.yaml")
CHECKPOINT = "checkpoint"
FACTS = "check/ds-trace"
ATTACKED = 3
"""Exercises on which it is attacked"""


def judge_demo(folder: Path) -> None:
    """Train the judge in `folder`/judge, let it score the demo's runs, and print its agreement with the facts and what
    attacks do to it. What exists is not made again."""
    settings = read_yaml(SETTINGS)
    task = tasks.load(settings["task"])
    spec = {"name": "judge", **settings["scorer"], "serve": str(train(settings, folder)), "alias": "local"}
    source = scorers.open_scorer(spec).source
    for name in settings["judged"]:
        if source not in Run(folder / "runs" / name).manifest.get("scorers", ()):
            print(f"the local judge scores {name}", file=sys.stderr)
            run.rescore(folder / "runs" / name, task, [*task.scorers, spec])
    runs = [Run(folder / "runs" / name) for name in settings["judged"]]
    found = calibration.as_json(calibration.calibrate(calibration.labelled(task, runs, source, FACTS), task.rubric))
    print("\nThe local judge against the facts (Cohen's kappa, 95 % interval over problems):")
    columns = ["criterion", "language", "n", "unscored", "kappa", "kappa_low", "kappa_high", "accuracy", "f1"]
    print_rows(found, columns, "text")
    print("\nUnder attack (shift of its score against the same reply without the attack):")
    columns = ["family", "language", "n", "shift", "low", "high", "unscored", "passed"]
    check = trust.known(folder / "runs", source).get("check") or attacked(spec, task, ATTACKED, folder / "runs")[1]
    print_rows([rounded(row) for row in check["families"]], columns, "text")


def train(settings: Mapping[str, Any], folder: Path) -> Path:
    """The judge's checkpoint, made by the stages `base` and `sft` on lessons like the task's exercises."""
    folder = folder.resolve()
    sft = folder / json.loads((folder / MADE).read_text(encoding="utf-8"))["shared"]["sft"] / CHECKPOINT
    place = folder / "judge"
    made = place / "lessons.jsonl"
    if not made.exists():
        how = json.loads(json.dumps(settings["lessons"]).replace('"$sft"', json.dumps(str(sft))))
        data.make(made, {"lessons": how}, settings["task"])
    for name, whole in (("copies", False), ("recalls", True)):
        if not (path := place / f"{name}.jsonl").exists():
            rows = lessons.copies(read_lines(made), whole)
            write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    checkpoint = ""
    for name, given in settings["stages"].items():
        spec = {key: value for key, value in given.items() if key != "stage"}
        spec |= {"data": str(place / f"{given['data']}.jsonl"), "output": str(place / name)}
        print(f"the local judge trains: {name}", file=sys.stderr)
        with Follow(name) as follow:
            stages.run(stages.Order(given["stage"], spec | ({"base": checkpoint} if checkpoint else {})), follow)
        checkpoint = str(place / name / CHECKPOINT)
    return Path(checkpoint)
