"""How long an experiment will still take, as far as it can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.experiment import Watch
from harness.experiment.graph import Node


def node(kind: str, name: str) -> Node:
    return Node(kind, name, Path(f"/{kind}/{name}"), {})  # type: ignore[arg-type]


def test_time_left_is_that_of_parts_like_it(tmp_path: Path) -> None:
    watch = Watch(tmp_path, workers=2)
    plan = [node("stage", "dpo-0"), node("stage", "dpo-1"), node("stage", "ppo-0"), node("test", "dpo-0")]
    watch.planned(plan)
    assert watch.left() is None, "nothing was made yet"
    watch.done(plan[3], 10.0)
    assert watch.left() is None, "no stage was made yet: ten seconds of a run tell nothing of a training"
    watch.done(plan[0], 100.0)
    assert watch.left() == pytest.approx((100 + 100) / 2), "dpo-1 like dpo-0, ppo like the stages seen"
    watch.begun(plan[1])
    watch.event(plan[1], {"step": 30, "steps": 30})
    assert watch.left() == pytest.approx(100 / 2, abs=1)
    watch.found(plan[2])
    watch.done(plan[1], 90.0)
    assert watch.left() == 0
