"""A stage with its own callbacks timed: `timed_stage.py NAME spec.json out.json`. The other arm of trainer_overhead.py.

`callbacks_s` is the time inside the stage's callback for each step but the last save: looking at the values, the alarms,
writing the event. `saves_s` is the time inside it when a state is saved.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from plain_trl import Clock

from trainers import trl
from trainers.__main__ import main

CALLBACKS: list[float] = []
SAVES: list[float] = []


class Timed(trl.Record):
    """The stage's callback, timed."""

    def on_log(self, *args: Any, **values: Any) -> None:
        begun = time.perf_counter()
        super().on_log(*args, **values)
        CALLBACKS.append(time.perf_counter() - begun)

    def on_save(self, *args: Any, **values: Any) -> None:
        begun = time.perf_counter()
        super().on_save(*args, **values)
        SAVES.append(time.perf_counter() - begun)


def run(name: str, spec: str, out: str) -> int:
    clock, original = Clock(), trl.train
    trl.Record = Timed  # type: ignore[misc]

    def train(trainer: Any, *args: Any, **options: Any) -> bool:
        trainer.add_callback(clock)
        return original(trainer, *args, **options)

    trl.train = train
    code = main([name, spec])
    found = {"steps_s": clock.seconds, "callbacks_s": CALLBACKS, "saves_s": SAVES}
    Path(out).write_text(json.dumps(found), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
