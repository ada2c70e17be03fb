"""Runs that an experiment makes: a checkpoint on a task, and a policy's own answers to training exercises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness import models, run
from harness import task as tasks
from harness.paths import datasets, read_yaml
from harness.record import Run
from harness.types import Task


def benchmark(settings: Mapping[str, Any], folder: Path) -> Run:
    """The run of a model on a task in `folder`, continued if it was begun. Raises Incomplete if requests failed."""
    task = tasks.load(settings["task"])
    model = models.open_model(settings["model"], models.Options(batch_size=settings["batch_size"]))
    done = run.execute(run.Plan.of(task), model, folder.parent, system=settings["system"], name=folder.name)
    run.require_complete(done)
    return done


def sampled_run(folder: Path, task_name: str, settings: Mapping[str, Any]) -> tuple[Run, Task]:
    """Several answers of a policy to each of some training exercises like those of a task, as a run below `folder`."""
    given = read_yaml(datasets() / task_name / "task.yaml")
    given["name"] = f"{task_name}-sampled"
    given["simulate"] |= {"split": "train", "clusters": settings["clusters"], "seed": settings["seed"]}
    given["decoding"] = {**given["decoding"], "temperature": 1.0, "samples": settings.get("samples", 4)}
    given["scorers"] = ["trace"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    asked = {"task": str(path), "model": f"hf/{settings['policy']}", "system": "sampled", "batch_size": 32}
    return benchmark(asked, folder / "sampled"), tasks.load(str(path))
