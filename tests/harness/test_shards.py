"""Shards: parts of a run made on several machines are together the run that one machine would have made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import item_row, make_task

from harness.record import Run, RunWriter, find_runs

Cli = Callable[..., Any]
SETTINGS = ("--max-new-tokens", "12", "--dtype", "float32")
SAMPLED = ("--temperature", "0.9", "--samples", "2", "--seed", "3")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task", [item_row(number) for number in range(7)], scorers=["chrf", "diversity"])


def made(cli: Cli, task: Path, checkpoint: Path, runs: Path, *options: str) -> Run:
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
    cli: Cli, task: Path, tiny: Path, tmp_path: Path, decoding: tuple[str, ...]
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


def test_both_shards_in_one_folder_are_joined(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    whole = made(cli, task, tiny, tmp_path / "whole")
    for place in (0, 1):
        made(cli, task, tiny, tmp_path / f"part{place}", "--shard", f"{place}/2")
        shutil.copytree(tmp_path / f"part{place}", tmp_path / "both", dirs_exist_ok=True)
    assert cli("merge", tmp_path / "both", "-t", task, "--runs", tmp_path / "root").code == 0
    (joined,) = find_runs(tmp_path / "root")
    assert (joined.manifest["status"], texts(joined)) == ("complete", texts(whole))
    assert len(joined.manifest["sessions"]) == 2


def test_a_join_that_was_killed_is_finished_by_the_same_command(
    cli: Cli, task: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed once the responses are there and before anything else: the run must not be taken for a whole one."""
    whole = made(cli, task, tiny, tmp_path / "whole")
    for place in (0, 1):
        made(cli, task, tiny, tmp_path / f"part{place}", "--shard", f"{place}/2")
    root = tmp_path / "root"
    assert cli("merge", tmp_path / "part0", "-t", task, "--runs", root).code == 0

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "update", die)
        with pytest.raises(Killed):
            cli("merge", tmp_path / "part1", "-t", task, "--runs", root)
    (torn,) = find_runs(root)
    assert (len(torn.responses()), torn.manifest["status"]) == (7, "partial")
    done = cli("merge", tmp_path / "part1", "-t", task, "--runs", root)
    assert "it is complete" in done.err
    (joined,) = find_runs(root)
    assert (joined.manifest["status"], texts(joined)) == ("complete", texts(whole))
    assert len(joined.manifest["sessions"]) == 2


def test_what_a_shard_failed_is_not_forgotten(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    """An item too long for the context fails in shard 0; shard 1, which has no failure, must not hide it."""
    long = [item_row(0, messages=[{"role": "user", "content": "heap " * 900}]), *(item_row(n) for n in range(1, 6))]
    task = make_task(tmp_path / "long", long, scorers=["chrf"])
    command = ("run", "-t", task, "-m", f"hf/{tiny}", "--runs", tmp_path / "runs", *SETTINGS)
    assert cli(*command, "--shard", "0/2").code == 4
    done = cli(*command, "--shard", "1/2")
    assert (done.code, "fills the context" in done.err) == (4, True)


def test_strangers_are_refused_before_anything_is_written(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    for place in (0, 1):
        made(cli, task, tiny, tmp_path / f"part{place}", "--shard", f"{place}/2")
    (shard,) = find_runs(tmp_path / "part1")
    path = shard.folder / "responses.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0].replace("item-", "stranger-") + "\n")
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "part0", root)
    before = [run.responses() for run in find_runs(root)]
    done = cli("merge", tmp_path / "part1", "-t", task, "--runs", root)
    assert (done.code, "does not ask" in done.err) == (2, True)
    assert [run.responses() for run in find_runs(root)] == before


def test_shards_of_one_folder_complete_each_other(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    whole = made(cli, task, tiny, tmp_path / "whole")
    for place in range(3):
        run = made(cli, task, tiny, tmp_path / "runs", "--shard", f"{place}/3")
    assert run.manifest["status"] == "complete"
    assert texts(run) == texts(whole)


def test_a_shard_alone_is_not_ranked_and_says_what_it_is(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    run = made(cli, task, tiny, tmp_path / "runs", "--shard", "1/2")
    assert run.manifest["shard"] == "1/2"
    assert (len(run.responses()), run.manifest["missing"]) == (3, 4)
    (row,) = json.loads(cli("board", "-t", task, "--runs", tmp_path / "runs", "-f", "json").out)["rows"]
    assert (row["rank"], "not complete" in row["note"]) == (None, True)


def test_a_shard_of_another_run_is_a_run_of_its_own(cli: Cli, task: Path, tiny: Path, tmp_path: Path) -> None:
    made(cli, task, tiny, tmp_path / "a", "--shard", "0/2")
    made(cli, task, tiny, tmp_path / "b", "--shard", "1/2", *SAMPLED)
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "a", root)
    assert cli("merge", tmp_path / "b", "-t", task, "--runs", root).code == 0
    assert [run.manifest["status"] for run in find_runs(root)] == ["partial", "partial"]


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_shard_that_is_none(cli: Cli, task: Path, tmp_path: Path, shard: str) -> None:
    done = cli("run", "-t", task, "-m", "control/null", "--runs", tmp_path / "runs", f"--shard={shard}")
    assert done.code == 2
    assert "--shard is i/n" in done.err
