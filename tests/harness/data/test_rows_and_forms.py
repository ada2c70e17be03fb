"""Rows from and to every kind of file, and forms into each other: nothing is lost, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from harness.data import forms, rows
from harness.errors import UsageError

TEXT = some.text(min_size=1, max_size=30).filter(lambda text: text.strip())
TURNS = some.lists(TEXT, min_size=1, max_size=3).map(
    lambda texts: [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
)
PROMPT = TEXT | TURNS.filter(lambda turns: len(turns) % 2 == 1)
ANSWER = TEXT | TEXT.map(lambda text: [{"role": "assistant", "content": text}])
REST = some.dictionaries(some.sampled_from(["kind", "item", "difficulty"]), TEXT, max_size=2)
SFT = some.builds(lambda p, a, rest: {"prompt": p, "response": a, **rest}, PROMPT, ANSWER, REST)
PREFERENCE = some.builds(
    lambda p, a, b, rest: {"prompt": p, "chosen": a, "rejected": b, **rest}, PROMPT, ANSWER, ANSWER, REST
)


def placed(found: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"row {number}", row) for number, row in enumerate(found, start=1)]


@given(some.lists(SFT, max_size=4))
def test_sft_becomes_messages_and_comes_back(found: list[dict[str, Any]]) -> None:
    whole = list(forms.convert(placed(found), "messages"))
    assert all(row["messages"][-1]["role"] == "assistant" for row in whole)
    assert list(forms.convert(placed(whole), "sft")) == found


@given(some.lists(PREFERENCE, max_size=4))
def test_preferences_become_unpaired_and_come_back(found: list[dict[str, Any]]) -> None:
    single = list(forms.convert(placed(found), "unpaired"))
    assert [row["label"] for row in single] == [True, False] * len(found)
    assert list(forms.convert(placed(single), "preference")) == found


@given(some.lists(SFT | PREFERENCE, max_size=4))
def test_the_prompt_of_any_row_can_be_taken(found: list[dict[str, Any]]) -> None:
    taken = list(forms.convert(placed(found), "prompt"))
    assert [row["prompt"] for row in taken] == [row["prompt"] for row in found]
    assert not any({"response", "chosen", "rejected"} & set(row) for row in taken)


@given(found=some.lists(PREFERENCE, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_file_gives_back_what_was_written(ending: str, found: list[dict[str, Any]], tmp_path: Path) -> None:
    """CSV has no types: texts that look like JSON come back as JSON, so such rows belong into JSONL."""
    if ending == ".csv":
        found = [{name: value for name, value in row.items() if not _looks_typed(value)} for row in found]
        found = [row for row in found if row]
    path = tmp_path / f"rows{ending}"
    path.unlink(missing_ok=True)
    assert rows.write(path, found) == len(found)
    assert [row for _, row in rows.read(path)] == found


def _looks_typed(value: Any) -> bool:
    return isinstance(value, str) and (value[:1] in ("[", "{") or value in ("true", "false"))


def test_parquet_and_huggingface_folders(tmp_path: Path) -> None:
    from datasets import Dataset, load_dataset

    found = [
        {"prompt": [{"role": "user", "content": "为什么？"}], "chosen": "a", "rejected": "b", "n": 1},
        {"prompt": [{"role": "user", "content": "why?"}], "chosen": "c", "rejected": "d", "kind": "leak"},
    ]
    rows.write(tmp_path / "one.parquet", found)
    assert [row for _, row in rows.read(tmp_path / "one.parquet")] == found
    names = ("prompt", "chosen", "rejected", "n", "kind")  # Dataset takes the columns of the first row only
    Dataset.from_list([{name: row.get(name) for name in names} for row in found]).save_to_disk(tmp_path / "saved")
    assert [row for _, row in rows.read(tmp_path / "saved")] == found
    rows.write(tmp_path / "folder" / "train.jsonl", found)
    assert [where for where, _ in rows.read(tmp_path / "folder")] == [
        f"{tmp_path}/folder/train.jsonl, line 1",
        f"{tmp_path}/folder/train.jsonl, line 2",
    ]
    loaded = load_dataset("parquet", data_files=str(tmp_path / "one.parquet"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"][1]["chosen"] == "c"


def test_broken_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\n{"prompt": \n\xff\xfe\n[1]\n\n{"prompt": "b"}\n')
    found = list(rows.scan(path))
    assert [where.rpartition(" ")[2] for where, _ in found] == ["1", "2", "3", "4", "6"]
    assert [type(row).__name__ for _, row in found] == ["dict", "Broken", "Broken", "Broken", "dict"]
    with pytest.raises(UsageError, match="line 2: not JSON"):
        list(rows.read(path))
    sheet = tmp_path / "rows.csv"
    sheet.write_text("prompt,response\na,b\nonly one\n")
    with pytest.raises(UsageError, match="line 3: 1 cells under 2 columns"):
        list(rows.read(sheet))


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("kept")
    with pytest.raises(UsageError, match="exists"):
        rows.write(path, [{"a": 1}])
    assert path.read_text() == "kept"

    def failing() -> Any:
        yield {"a": 1}
        raise UsageError("row 2 is bad")

    with pytest.raises(UsageError, match="row 2 is bad"):
        rows.write(tmp_path / "other.jsonl", failing())
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]
    with pytest.raises(UsageError, match="column 'b' that the first"):
        rows.write(tmp_path / "x.csv", [*({"a": n} for n in range(rows.BATCH)), {"b": 1}])


@pytest.mark.parametrize(
    ("row", "to", "told"),
    [
        ({"question": "a", "answer": "b"}, "sft", "row 1: its columns (question, answer) are of no form"),
        ({"prompt": "a", "response": "b"}, "preference", "only rows of the form unpaired"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "sft", "cannot become sft without inventing or losing"),
        ({"messages": [{"role": "user", "content": "a"}]}, "sft", "must be the assistant's answer"),
        ({"prompt": 3, "response": "b"}, "messages", "neither a text nor a list of turns"),
        ({"prompt": "a", "completion": "b", "label": True, "pair": 0}, "preference", "has no second answer"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_its_place(row: dict[str, Any], to: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        list(forms.convert(placed([row]), to))
    assert told in str(error.value)


def test_columns_are_renamed_at_the_command_line(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("question,reply\n为什么？,想一想\n")
    done = cli(
        "data",
        "convert",
        tmp_path / "in.csv",
        "--out",
        tmp_path / "out.jsonl",
        "--to",
        "messages",
        "--column",
        "question=prompt",
        "--column",
        "reply=response",
    )
    assert done.code == 0, done.err
    (row,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [turn["content"] for turn in row["messages"]] == ["为什么？", "想一想"]
    assert "rows/s" in done.err
