"""Shards: parts of a run made on several machines are together the run that one machine would have made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import item_row, make_task

from harness.record import Run, find_runs

SETTINGS = ("--max-new-tokens", "12", "--dtype", "float32")
SAMPLED = ("--temperature", "0.9", "--samples", "2", "--seed", "3")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task", [item_row(number) for number in range(7)], scorers=["chrf", "diversity"])


def made(cli: Callable[..., Any], task: Path, checkpoint: Path, runs: Path, *options: str) -> Run:
    done = cli("run", "-t", task, "-m", f"hf/{checkpoint}", "--runs", runs, *SETTINGS, *options)
    assert done.code == 0, done.err
    (run,) = find_runs(runs)
    return run


def texts(run: Run) -> dict[tuple[str, int], str]:
    return {(one.item, one.sample): one.text for one in run.responses()}


def values(run: Run) -> set[tuple[str, int, str, float | None]]:
    return {(one.item, one.sample, one.criterion, one.value) for one in run.scores()}


@pytest.mark.parametrize("decoding", [(), SAMPLED], ids=["greedy", "sampled"])
def test_joined_shards_are_the_unsharded_run(
    cli: Callable[..., Any], task: Path, tiny: Path, tmp_path: Path, decoding: tuple[str, ...]
) -> None:
    whole = made(cli, task, tiny, tmp_path / "whole", *decoding)
    parts = [made(cli, task, tiny, tmp_path / f"part{place}", "--shard", f"{place}/2", *decoding) for place in (0, 1)]
    assert [part.manifest["status"] for part in parts] == ["partial", "partial"]
    assert not texts(parts[0]).keys() & texts(parts[1]).keys()
    assert ["-0of2-" in parts[0].id, "-1of2-" in parts[1].id] == [True, True], "names that cannot meet"
    root = tmp_path / "root"
    for part in parts:
        assert cli("merge", part.folder.parent, "-t", task, "--runs", root).code == 0
    (joined,) = find_runs(root)
    assert joined.manifest["status"] == "complete"
    assert joined.manifest["configuration_digest"] == whole.manifest["configuration_digest"]
    assert texts(joined) == texts(whole)
    assert values(joined) >= values(whole)
    latest = {(one.item, one.sample, one.criterion): one.value for one in joined.scores()}
    assert latest == {(one.item, one.sample, one.criterion): one.value for one in whole.scores()}
    again = cli("merge", tmp_path / "part1", "-t", task, "--runs", root)
    assert "0 runs copied" in again.err
    assert len(find_runs(root)) == 1


def test_shards_of_one_folder_complete_each_other(
    cli: Callable[..., Any], task: Path, tiny: Path, tmp_path: Path
) -> None:
    whole = made(cli, task, tiny, tmp_path / "whole")
    for place in range(3):
        run = made(cli, task, tiny, tmp_path / "runs", "--shard", f"{place}/3")
    assert run.manifest["status"] == "complete"
    assert texts(run) == texts(whole)


def test_a_shard_alone_is_not_ranked_and_says_what_it_is(
    cli: Callable[..., Any], task: Path, tiny: Path, tmp_path: Path
) -> None:
    run = made(cli, task, tiny, tmp_path / "runs", "--shard", "1/2")
    assert run.manifest["shard"] == "1/2"
    assert (len(run.responses()), run.manifest["missing"]) == (3, 4)


def test_a_shard_of_another_run_is_a_run_of_its_own(
    cli: Callable[..., Any], task: Path, tiny: Path, tmp_path: Path
) -> None:
    made(cli, task, tiny, tmp_path / "a", "--shard", "0/2")
    made(cli, task, tiny, tmp_path / "b", "--shard", "1/2", *SAMPLED)
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "a", root)
    assert cli("merge", tmp_path / "b", "-t", task, "--runs", root).code == 0
    assert [run.manifest["status"] for run in find_runs(root)] == ["partial", "partial"]


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_shard_that_is_none(cli: Callable[..., Any], task: Path, tmp_path: Path, shard: str) -> None:
    done = cli("run", "-t", task, "-m", "control/null", "--runs", tmp_path / "runs", f"--shard={shard}")
    assert done.code == 2
    assert "--shard is i/n" in done.err
