"""A judge served from one's own checkpoint, through the same client as any vendor's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import make_task

from harness import record
from harness.errors import EnvironmentProblem, UsageError
from harness.models.server import Server
from harness.scorers import open_scorer

Cli = Callable[..., Any]


@pytest.mark.slow
def test_random_weights_judge_nothing_and_are_asked_in_earnest(
    cli: Cli, tiny: Path, tmp_path: Path, runs: Path
) -> None:
    """A model of random weights is served and asked; what it babbles is no verdict, so every reply is unscored."""
    task = make_task(tmp_path / "task")
    assert cli("run", "-t", task, "-m", "control/reference", "--runs", runs, "--name", "one").code == 0
    spec = f"judge:serve={tiny},alias=local,form=short,max_tokens=16"
    found = cli("score", "one", "--task", task, "--runs", runs, "--scorer", spec)
    assert found.code == 4, found.err
    run = record.Run(runs / "one")
    scores = [one for one in run.scores() if one.source.startswith("judge/local@")]
    assert scores
    assert all(one.value is None and one.reason for one in scores)
    rows = [json.loads(line) for line in (runs / "one" / "judgements.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["model"] for row in rows} == {"tiny@main"}
    assert str(tmp_path) not in (runs / "one" / "judgements.jsonl").read_text(encoding="utf-8")
    assert str(tmp_path) not in json.dumps(run.manifest["judges"])
    children = [one.name() for one in psutil.Process().children(recursive=True)]
    assert not any("python" in name for name in children), "the server outlived its judge"


def test_other_weights_are_another_judge(tiny: Path) -> None:
    before = open_scorer({"name": "judge", "serve": str(tiny), "form": "short"}).source
    assert open_scorer({"name": "judge", "serve": str(tiny), "form": "short"}).source == before
    config = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
    (tiny / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}), encoding="utf-8")
    assert open_scorer({"name": "judge", "serve": str(tiny), "form": "short"}).source != before


def test_what_cannot_be_served(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an adapter"):
        Server(str(adapter))
    with pytest.raises(EnvironmentProblem, match="does not exist"):
        Server(str(tmp_path / "none"))
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match="pickled"):
        Server(str(tiny))


@pytest.mark.parametrize("options", [{}, {"model": "a", "serve": "./b"}, {"serve": "./b", "base_url": "http://x/v1"}])
def test_a_judge_is_a_model_or_a_checkpoint(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="a judge is model=NAME"):
        open_scorer({"name": "judge", **options})


@pytest.mark.slow
def test_server_that_does_not_start_says_why(tiny: Path) -> None:
    (tiny / "config.json").write_text('{"model_type": "qwen2", "hidden_size": "many"}', encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="could not be served"):
        Server(str(tiny))
