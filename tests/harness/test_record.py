"""Run folders: what is written can be read again, whatever it holds and wherever a write broke off."""

from __future__ import annotations

import json
import os
from pathlib import Path
from string import ascii_lowercase
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import paths
from harness.errors import EnvironmentProblem, UsageError
from harness.record import Lines, Run, RunWriter, find_runs, open_run, read_lines, write_json
from harness.types import Response, Score

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\u2028", "\x85", "\ud83d", "\x00", "\r\n", "队列"]
)
ROW = st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.none() | st.floats(allow_nan=False), max_size=4)


def response(item: str, text: str = "text", sample: int = 0) -> Response:
    return Response(item, sample, text, "stop", 3, 2, 0.1, 0.2, 1)


def configuration(**changes: Any) -> dict[str, Any]:
    return {"system": "a", "task": {"name": "small"}, **changes}


@QUICK
@given(st.lists(ROW, max_size=8))
def test_rows_come_back_as_they_were(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = Lines(path)
        for row in rows:
            lines.append(row)
        lines.close()
        assert list(read_lines(path)) == rows
        path.read_bytes().decode("utf-8")  # a lone surrogate must not make a file that no other program reads


@QUICK
@given(st.lists(ROW, min_size=1, max_size=5), st.data())
def test_torn_at_any_byte(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """Whole rows before the tear survive, the torn one is gone, and the next row starts a line of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = Lines(path)
        for row in rows:
            lines.append(row)
        lines.close()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = rows[: whole[:cut].count(b"\n")]
        assert list(read_lines(path)) == kept
        assert path.read_bytes() == whole[:cut], "reading changes nothing"
        again = Lines(path)
        again.append({"next": 1})
        again.close()
        assert list(read_lines(path)) == [*kept, {"next": 1}]


def test_torn_line_longer_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n' + b'{"b":"' + b"x" * 200_000)
    Lines(path).close()
    assert path.read_bytes() == b'{"a":1}\n'


def test_damage_before_the_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":\n{"c":1}\n')
    with pytest.raises(EnvironmentProblem, match="line 2"):
        list(read_lines(path))


def test_write_json_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_error_of_the_disk_reaches_the_writer(tmp_path: Path) -> None:
    """/dev/full is a disk without room."""
    lines = Lines(tmp_path / "rows.jsonl")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, lines._descriptor)
    os.close(full)
    lines.append({"a": 1})
    with pytest.raises(EnvironmentProblem, match="no space left"):
        lines.close()


def test_first_response_and_last_score_count(tmp_path: Path) -> None:
    with open_run(tmp_path, "mine", "a", configuration()) as run:
        run.add_response(response("i", "first"))
        run.add_response(response("i", "second"))
        run.add_scores([Score("i", 0, "D3", "check@1", value) for value in (0.0, 2.0)])
        run.add_scores([Score("i", 0, "D3", "check@2", 1.0)])
    run = Run(tmp_path / "mine")
    assert [one.text for one in run.responses()] == ["first"]
    assert [(one.source, one.value) for one in run.scores()] == [("check@1", 2.0), ("check@2", 1.0)]


def test_same_configuration_continues_and_another_is_a_new_run(tmp_path: Path) -> None:
    with open_run(tmp_path, None, "a", configuration()) as run:
        first = run.folder
    with open_run(tmp_path, None, "a", configuration()) as run:
        assert run.folder == first
    with open_run(tmp_path, None, "a", configuration(decoding={"seed": 1})) as run:
        assert run.folder != first
    with open_run(tmp_path, None, "a", configuration(), new=True) as run:
        third = run.folder
        assert third != first
    with open_run(tmp_path, None, "a", configuration()) as run:
        assert run.folder == third, "the latest run of a configuration is continued"
    assert len(find_runs(tmp_path)) == 3
    assert all(paths.safe_name(run.id, "run") for run in find_runs(tmp_path))


def test_name_is_taken_by_another_configuration(tmp_path: Path) -> None:
    open_run(tmp_path, "mine", "a", configuration()).__exit__()
    with pytest.raises(UsageError, match="another configuration"):
        open_run(tmp_path, "mine", "a", configuration(decoding={"seed": 1}))


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with open_run(tmp_path, "mine", "a", configuration()):
        with pytest.raises(EnvironmentProblem, match=f"pid {os.getpid()}"):
            RunWriter(tmp_path / "mine")
        assert Run(tmp_path / "mine").manifest["status"] == "started"
    RunWriter(tmp_path / "mine").__exit__()


def test_folder_of_a_run_killed_before_its_manifest_is_used(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert find_runs(tmp_path) == []
    with open_run(tmp_path, "mine", "a", configuration()) as run:
        assert run.manifest["system"] == "a"


def test_hostile_labels_become_safe_names(tmp_path: Path) -> None:
    for label in ("../../x", "hf//etc/passwd", "队列", "", "a" * 300, ".", "A b\n"):
        with open_run(tmp_path, None, label, configuration(system=label)) as run:
            assert run.folder.parent == tmp_path
            assert paths.safe_name(run.id, "run") == run.id


@QUICK
@given(st.text(max_size=70) | st.text(ascii_lowercase + "0123456789._-/", max_size=70))
def test_safe_names_stay_in_their_folder(name: str) -> None:
    try:
        paths.safe_name(name, "run name")
    except UsageError:
        return
    assert Path("runs", name).parent == Path("runs")
    assert name[0] in ascii_lowercase + "0123456789"
    assert name.isascii()
    assert len(name) <= 64
    assert not set(name) & set("/\\\0\n ")


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "a\n", "", ".", "..", "-rf", "A", "a\0b", "ａ", "a" * 65])
def test_unsafe_names(name: str) -> None:
    with pytest.raises(UsageError, match="not allowed"):
        paths.safe_name(name, "run name")
