"""Published boards are rebuilt byte for byte from their packed runs; runs from other machines merge or are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import BAD, GOOD, SOME, record

from harness import board, task
from harness.board import Merged
from harness.cli import show
from harness.cli.publish import publish
from harness.errors import UsageError
from harness.paths import data_root
from harness.record import Run, RunWriter, find_runs, scan
from harness.types import Score, Task


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def several(small: Task, runs: Path) -> Path:
    """Ranked, superseded, limited, failed, unscored, oracle: all that a board can list."""
    sessions = [{"generate_s": 3.0, "completion_tokens": 61, "responses": 20, "peak_memory_bytes": {"host": 7}}]
    evidence = Score("*", 0, "distinct_2", "diversity@1", 0.25, evidence={"n": 20, "low": 0.2, "high": 0.3})
    record(runs, small, "a", lambda n, _: GOOD if n % 3 else SOME, name="a1", sessions=sessions, extra=(evidence,))
    record(runs, small, "a", lambda n, s: BAD if n < 3 else GOOD, name="a2", samples=3, weights="other")
    record(runs, small, "b", lambda n, _: {**GOOD, "D3": None if n < 4 else 0.1 + 0.2}, name="b")
    record(runs, small, "c", lambda *_: GOOD, name="c", answered=5, limit=5)
    record(runs, small, "d", lambda *_: GOOD, name="d", answered=5, status="failed")
    record(runs, small, "o", lambda *_: GOOD, name="o", oracle=True)
    return runs


def test_published_board_is_rebuilt_byte_for_byte(small: Task, several: Path, tmp_path: Path) -> None:
    boards = tmp_path / "leaderboards"
    shown = publish(small, several, boards)
    written = files(boards)
    assert shown.as_json() == board.from_folder(small, several).as_json(), "packing loses nothing that the board shows"
    shutil.rmtree(several)
    again = board.from_folder(small, boards / "small")
    assert (show.as_json(again) + "\n").encode() == written["small.json"]
    assert written["small.md"].startswith(show.markdown(again).encode())
    rows = {row["run"]: row for row in json.loads(written["small.json"])["rows"]}
    assert set(rows) == {"a1", "a2", "b", "c", "d", "o"}, "all attempts are listed"
    assert rows["a1"]["metrics"]["distinct_2"]["low"] == 0.2


def test_publishing_again_changes_no_byte_and_keeps_what_others_published(
    small: Task, several: Path, tmp_path: Path
) -> None:
    boards = tmp_path / "leaderboards"
    publish(small, several, boards)
    before = files(boards)
    publish(small, several, boards)
    assert files(boards) == before
    elsewhere = tmp_path / "elsewhere"
    record(elsewhere, small, "e", lambda *_: GOOD, name="e")
    assert {row.run for row in publish(small, elsewhere, boards).rows} == {"a1", "a2", "b", "c", "d", "o", "e"}
    assert files(boards / "small" / "a1") == {
        name.removeprefix("small/a1/"): content for name, content in before.items() if name.startswith("small/a1/")
    }


def test_run_scored_again_replaces_its_published_copy(small: Task, runs: Path, tmp_path: Path) -> None:
    name = record(runs, small, "a", lambda *_: GOOD)
    publish(small, runs, tmp_path / "boards")
    with RunWriter(runs / name) as run:
        run.add_scores([Score("item-0", 0, "D3", "check@1", 0.0)])
    (row,) = publish(small, runs, tmp_path / "boards").rows
    assert row.metrics["guidance_accuracy"].value == 0.95


def test_another_run_of_a_published_name_is_refused(small: Task, runs: Path, tmp_path: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD, name="mine")
    publish(small, runs, tmp_path / "boards")
    before = files(tmp_path / "boards")
    other = tmp_path / "other"
    record(other, small, "new", lambda *_: GOOD, name="fresh")
    record(other, small, "a", lambda *_: GOOD, name="mine", weights="other")
    with pytest.raises(UsageError, match="another run of the same name"):
        publish(small, other, tmp_path / "boards")
    assert files(tmp_path / "boards") == before


def test_packed_run_is_small_readable_and_not_written_to(small: Task, several: Path, tmp_path: Path) -> None:
    publish(small, several, tmp_path)
    packed, whole = Run(tmp_path / "small" / "a1"), Run(several / "a1")
    assert packed.responses() == whole.responses()
    assert [(one.item, one.criterion, one.value) for one in packed.scores()] == [
        (one.item, one.criterion, one.value) for one in whole.scores()
    ]
    assert sum(map(len, files(packed.folder).values())) < 0.2 * sum(map(len, files(whole.folder).values()))
    with pytest.raises(UsageError, match="published run"):
        RunWriter(packed.folder)


def test_torn_packed_run_is_listed(small: Task, several: Path, tmp_path: Path) -> None:
    publish(small, several, tmp_path)
    path = tmp_path / "small" / "b" / "scores.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    rows = {row.run: row for row in board.from_folder(small, tmp_path / "small").rows}
    assert "row of another form" in rows["b"].note
    assert rows["a2"].rank


def test_runs_that_have_not_ended_or_cannot_be_read_are_not_published(small: Task, runs: Path, tmp_path: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD, name="fine")
    record(runs, small, "b", lambda *_: GOOD, name="running", status="started")
    record(runs, small, "c", lambda *_: GOOD, name="old", digest="0" * 64)
    record(runs, small, "d", lambda *_: GOOD, name="torn")
    (runs / "torn" / "scores.jsonl").write_text('{"item": "item-0"}\n')
    assert [row.run for row in publish(small, runs, tmp_path / "boards").rows] == ["fine"]


def test_publish_on_the_command_line(cli: Callable[..., Any], several: Path, tmp_path: Path) -> None:
    args = ("board", "-t", tmp_path / "task" / "task.yaml", "--format", "json")
    done = cli(*args, "--runs", several, "--publish", "--leaderboards", tmp_path / "boards")
    assert done.code == 0
    assert "6 runs new or changed" in done.err
    assert done.out == (tmp_path / "boards" / "small.json").read_text()
    assert cli(*args, "--runs", tmp_path / "boards" / "small").out == done.out


def test_shipped_boards_are_rebuilt_byte_for_byte() -> None:
    """Fails when a task or a scorer has changed since: then run its systems again and publish the board anew."""
    for path in (data_root() / "leaderboards").glob("*.json"):
        rebuilt = board.from_folder(task.load(path.stem), path.with_suffix(""))
        assert show.as_json(rebuilt) + "\n" == path.read_text(encoding="utf-8"), path.stem


# --- runs from other machines -----------------------------------------------------------------------------------


def test_merge_copies_what_is_new_and_leaves_what_is_the_same(small: Task, several: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert board.merge(several, root) == Merged([run.id for run in find_runs(several)], [], [])
    assert board.from_folder(small, root) == board.from_folder(small, several)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert board.merge(several, root) == Merged([], [run.id for run in find_runs(several)], [])
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_merge_refuses_another_run_of_the_same_name(
    cli: Callable[..., Any], small: Task, several: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    record(root, small, "b", lambda *_: BAD, name="b")
    before = files(root)
    done = cli("merge", several, "--runs", root)
    assert done.code == 2
    assert "run b exists in" in done.err
    assert files(root) == before
    shutil.rmtree(root / "b")
    assert cli("merge", several, "--runs", root).code == 0


def test_merge_refuses_what_cannot_be_read_and_nothing(small: Task, several: Path, tmp_path: Path) -> None:
    (several / "a1" / "manifest.json").write_text("{")
    for source, why in ((several, "Nothing was copied"), (tmp_path / "none", "no run folder")):
        with pytest.raises(UsageError, match=why):
            board.merge(source, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_half_copied_run_is_no_run(several: Path) -> None:
    shutil.copytree(several / "a1", several / ".a9.tmp")
    assert {run.id for run in scan(several)[0]} == {"a1", "a2", "b", "c", "d", "o"}


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("hf//home/ann/out/stages/dpo-0/checkpoint", "hf/./dpo-0/checkpoint"),
        ("hf/./checkpoint", "hf/./checkpoint"),
        ("hf/~/secret/place/sft/adapter", "hf/./sft/adapter"),
        ("best-of/8//home/ann/reward-0/checkpoint", "best-of/8/./reward-0/checkpoint"),
        ("hf/Qwen/Qwen2.5-7B-Instruct", "hf/Qwen/Qwen2.5-7B-Instruct"),
        ("control/reference", "control/reference"),
    ],
)
def test_where_a_checkpoint_lies_is_not_published(
    small: Task, runs: Path, tmp_path: Path, model: str, shown: str
) -> None:
    record(runs, small, "a", lambda *_: GOOD, name="a")
    with RunWriter(runs / "a") as run:
        run.update(model=model)
    publish(small, runs, tmp_path / "leaderboards")
    assert Run(tmp_path / "leaderboards" / "small" / "a").manifest["model"] == shown
    assert Run(runs / "a").manifest["model"] == model


def test_a_folder_whose_name_no_run_has_is_neither_merged_nor_published(
    small: Task, several: Path, tmp_path: Path
) -> None:
    """S3"""
    (several / "a1").rename(several / "-rf x")
    for call in (board.merge, lambda source, root: board.publish_runs(small, scan(source)[0], root)):
        with pytest.raises(UsageError, match="not allowed"):
            call(several, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_merge_refuses_links_out_of_a_run(small: Task, several: Path, tmp_path: Path) -> None:
    (several / "a1" / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="is a link"):
        board.merge(several, tmp_path / "root")
    assert not (tmp_path / "root").exists()
