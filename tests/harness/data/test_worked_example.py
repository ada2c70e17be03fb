"""The worked example of docs/data_processing.md, run as it stands: from a raw log to a trained DPO checkpoint."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness import preferences
from harness import task as loader

PAGE = Path(__file__).resolve().parents[3] / "docs" / "data_processing.md"


def test_the_example_runs_as_written(tiny: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## From a raw log to a trained DPO")[2]
    block = re.search(r"```\n(.*?)```", section, re.S)
    assert block is not None
    commands = [shlex.split(line) for line in block.group(1).splitlines()]
    assert len(commands) >= 8
    monkeypatch.chdir(tmp_path)
    made = list(
        preferences.teacher_pairs(
            loader.exercises("ds-trace-demo", "train", 40, 8),
            loader.load("ds-trace-demo"),
            preferences.Rater(temperature=0, flips=0),
            ("vague", "language"),
        )
    )
    test_item = loader.load("ds-trace").items[0].messages[-1].content
    with open("log.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "good", "bad"])
        for row in made:
            question = "\n".join(turn["content"] for turn in row["prompt"] if turn["role"] == "user")
            writer.writerow([f"我叫李小明。{question}", row["chosen"], row["rejected"]])
        writer.writerow([f"我叫李小明。{test_item}", "Which rule holds here?", "Nothing to say."])
    Path("roster.txt").write_text("李小明\n", encoding="utf-8")
    tiny.rename(tmp_path / "checkpoint")
    Path("out/sft").mkdir(parents=True)
    (tmp_path / "checkpoint").rename("out/sft/checkpoint")

    for command in commands:
        done = cli(*command[1:])
        assert done.code in (0, 1), f"{command}: {done.err}"
        assert "Traceback" not in done.err

    kept = [json.loads(line) for line in Path("data/train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(kept) >= 0.6 * len(made)
    assert "李小明" not in Path("data/train.jsonl").read_text(encoding="utf-8")
    assert not any(test_item in row["prompt"] for row in kept)
    assert "preference" in Path("train.md").read_text(encoding="utf-8")
    events = [json.loads(line) for line in Path("out/dpo/events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert max(event["step"] for event in events) == 10
    assert Path("out/dpo/checkpoint").is_dir()
