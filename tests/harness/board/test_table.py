"""The columns of a run, from JSONL and from the cache; and the vectorised rates against the rubric, value by value."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import GOOD, record

from harness import board, rubric
from harness.board import table as tables
from harness.board.table import CACHE, Table, read
from harness.errors import UsageError
from harness.record import Run, RunWriter
from harness.types import Score, Task

RUBRIC = rubric.load("guidance")


@pytest.fixture
def cached(small: Task, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that a cache pays for: with unscored and inapplicable values, a whole-run score, an unused source."""
    monkeypatch.setattr(tables, "CACHE_FROM", 0)
    monkeypatch.setattr(tables, "SETTLED_S", 0.0)
    rng = np.random.default_rng(1)
    extra = (
        Score("*", 0, "distinct_2", "diversity@1", 0.25, evidence={"n": 20, "low": 0.2, "high": 0.3}),
        Score("item-3", 0, "D2", "check@1", None, "not applicable"),
        Score("item-4", 0, "rouge_l", "reference@1", float(rng.random())),
        Score("item-5", 0, "D1", "unused@1", 0.0),
    )
    values = {**GOOD, "D4": None}
    name = record(runs, small, "a", lambda n, s: {**values, "D1": float((n + s) % 3)}, samples=2, extra=extra)
    time.sleep(0.02)
    return Run(runs / name)


def same(one: Table, other: Table) -> bool:
    assert (one.items, one.sources, one.whole) == (other.items, other.sources, other.whole)
    for name in ("item", "sample", "answered"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    for name in ("measured", "values", "applies"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert list(ours) == list(theirs)
        for key in ours:
            assert np.array_equal(ours[key], theirs[key], equal_nan=name != "applies")
    return True


def path_of(run: Run) -> Path:
    return run.folder.parent / CACHE / f"{run.id}.parquet"


def test_cache_holds_the_columns_and_is_read(cached: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read(cached, cache=False)
    assert not path_of(cached).exists()
    assert same(read(cached), plain)
    assert path_of(cached).exists()
    monkeypatch.setattr(tables, "_parse", None)  # from here on only the cache can answer
    assert same(read(cached), plain)
    assert plain.applies["D4"].all()
    assert np.isnan(plain.values["D4"]).all()
    assert (~plain.applies["D2"]).sum() == 1
    assert "unused@1" not in plain.sources.values()


def test_board_is_the_same_with_without_and_after_the_cache(cached: Run, small: Task) -> None:
    root = cached.folder.parent
    first = board.from_folder(small, root).as_json()
    assert path_of(cached).exists()
    assert board.from_folder(small, root).as_json() == first
    written = path_of(cached).read_bytes()
    path_of(cached).unlink()
    assert board.from_folder(small, root).as_json() == first
    assert path_of(cached).read_bytes() == written, "rebuilt identically"


def test_cache_of_other_files_is_not_used(cached: Run, small: Task) -> None:
    read(cached)
    with RunWriter(cached.folder) as run:
        run.add_scores([Score("item-0", 0, "D3", "check@1", 0.0)])
    assert read(Run(cached.folder)).values["D3"][0] == 0.0
    scores = cached.folder / "scores.jsonl"
    stamp = scores.stat()
    scores.write_bytes(
        scores.read_bytes().replace(b'"D7","source":"check@1","value":2.0', b'"D7","source":"check@1","value":1.0')
    )
    os.utime(
        scores, ns=(stamp.st_atime_ns, stamp.st_mtime_ns)
    )  # same size, same time of change as far as a user can say
    assert (read(Run(cached.folder)).values["D7"] == 1.0).all()
    cached.manifest["scorers"] = ["check@1"]
    assert "distinct_2" not in read(cached).whole


def test_torn_or_foreign_cache_is_made_again(cached: Run) -> None:
    plain = read(cached)
    for content in (b"", path_of(cached).read_bytes()[:200], b"PAR1 not really PAR1"):
        path_of(cached).write_bytes(content)
        assert same(read(cached), plain)


def test_file_that_just_changed_is_not_cached(cached: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SETTLED_S", 3600.0)
    read(cached)
    assert not path_of(cached).exists()


@pytest.mark.parametrize("obstacle", ["no pyarrow", "no folder"])
def test_without_a_cache_jsonl_answers(cached: Run, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    plain = read(cached, cache=False)
    if obstacle == "no pyarrow":
        monkeypatch.setattr(tables, "find_spec", lambda _: None)
    else:
        (cached.folder.parent / CACHE).write_text("in the way")
    assert same(read(cached), plain)
    assert not path_of(cached).is_file()


def test_small_run_has_no_cache(small: Task, runs: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD)
    board.from_folder(small, runs)
    assert not (runs / CACHE).exists()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("scores.jsonl", '{"item": "item-0"}'),
        ("scores.jsonl", "[]"),
        ("scores.jsonl", '{"item":"item-0","sample":0,"criterion":"D3","source":"check@1","value":"high","reason":""}'),
        ("responses.jsonl", '{"item": "item-0", "sample": 9}'),
    ],
)
def test_row_of_another_form_is_named(small: Task, runs: Path, file: str, line: str) -> None:
    name = record(runs, small, "a", lambda *_: GOOD)
    with open(runs / name / file, "a") as out:
        out.write(line + "\n")
    with pytest.raises(UsageError, match=f"run {name} has a row of another form"):
        read(Run(runs / name))


VALUES = st.dictionaries(
    st.sampled_from(["G1", "G2", "G3", "D1", "D2", "D3", "D4", "D5", "D6", "D7"]),
    st.sampled_from([None, 0.0, 1.0, 2.0]),
)


def by_hand(values: dict[str, float | None]) -> dict[str, float | None]:
    """The definitions of docs/evaluation.md, one response at a time."""
    gates = [values.get(gate) for gate in ("G1", "G2", "G3")]
    full = [values[name] for name in ("D1", "D2", "D3", "D5") if name in values]
    d3 = values.get("D3")
    verdicts: dict[str, bool | None] = {
        "guidance_accuracy": None if d3 is None else d3 >= 1,
        "guidance_accuracy_strict": None if d3 is None else d3 >= 2,
        "guidance_accuracy_full": False
        if any(value is not None and value < 2 for value in full)
        else (None if None in full or "D3" not in values else True),
    }
    found: dict[str, float | None] = {}
    for name, verdict in verdicts.items():
        unknown = None in gates or verdict is None
        found[name] = 0.0 if 0 in gates or verdict is False else None if unknown else 1.0
    d7 = values.get("D7")
    return found | {
        "teaching_relevance": None if d7 is None else float(d7 >= 2),
        "gates": 0.0 if 0 in gates else None if None in gates else 1.0,
        "gold_score": rubric.gold_score(RUBRIC, values),
    }


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_vectorised_rates_are_the_definitions(values: dict[str, float | None]) -> None:
    values = {name: 1.0 if name[0] == "G" and value == 2 else value for name, value in values.items()}
    for name, wanted in by_hand(values).items():
        assert board.rate(name, values, RUBRIC) == (pytest.approx(wanted) if wanted is not None else None), name
