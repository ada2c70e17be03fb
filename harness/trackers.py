"""Experiment trackers that follow a stage's events, by name. Each is imported when it is asked for, and none is needed.

events.jsonl stays the truth: a tracker is told every event from the first on, so its copy can be made again at any time.
Where a tracker sends its data, and with whose key, is the tracker's own business (its environment variables).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from harness.errors import EnvironmentProblem, unknown

PROJECT = "easyds"


class Tracker(Protocol):
    """Told each event as it comes; closed at the end."""

    def __call__(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def open_tracker(name: str, output: Path) -> Tracker:
    """The tracker `name` for the stage in `output`. Raises UsageError for an unknown name, EnvironmentProblem if its
    package is not installed."""
    if name not in TRACKERS:
        raise unknown("tracker", name, list(TRACKERS), "--track")
    try:
        return TRACKERS[name](output)
    except ImportError as error:
        raise EnvironmentProblem(f"--track {name} needs the package '{name}': pip install {name}.") from error


def values(event: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event as "phase/key"."""
    numbers = {key: value for key, value in event.items() if isinstance(value, (int, float)) and key not in _PLACE}
    return {f"{event['phase']}/{key}": float(value) for key, value in numbers.items()}


_PLACE = ("step", "steps")


class TensorBoard:
    """Event files in the stage's `tensorboard/`, which is written anew."""

    def __init__(self, output: Path) -> None:
        import_module("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        folder = output / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: Mapping[str, Any]) -> None:
        for key, value in values(event).items():
            self._writer.add_scalar(key, value, event["step"])
        if "message" in event:
            self._writer.add_text(event["phase"], f"{event['alarm']}: {event['message']}", event["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Logged:
    """W&B, and trackio, which has its functions: one run of the project `easyds`, named for the stage's folder."""

    def __init__(self, module: str, output: Path, **options: Any) -> None:
        self._module = import_module(module)
        self._module.init(project=PROJECT, name=output.name, **options)

    def __call__(self, event: Mapping[str, Any]) -> None:
        if numbers := values(event):
            self._module.log(numbers, step=event["step"])

    def close(self) -> None:
        self._module.finish()


class MLflow:
    """One run of the experiment `easyds`, named for the stage's folder."""

    def __init__(self, output: Path) -> None:
        self._mlflow = import_module("mlflow")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=output.name)

    def __call__(self, event: Mapping[str, Any]) -> None:
        if numbers := values(event):
            self._mlflow.log_metrics(numbers, step=event["step"])

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": lambda output: Logged("trackio", output),
    "wandb": lambda output: Logged("wandb", output, dir=str(output)),
    "mlflow": MLflow,
}
