"""Preference pairs: the rater's formula, what the faults are, and what may be paired."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support import SYSTEM, item_row, make_task, read_jsonl, record

from harness import preferences
from harness import task as loader
from harness.errors import UsageError
from harness.preferences import KINDS, Rater
from harness.record import Run, open_run
from harness.scorers.checks import check
from harness.simulator.items import Plan
from harness.task import to_item
from harness.types import Response, Task


@pytest.fixture(scope="module")
def task() -> Task:
    return loader.load("ds-trace-demo")


@pytest.fixture(scope="module")
def rows(task: Task) -> list[dict[str, Any]]:
    plan = Plan("train", 60, 3, ("stack", "queue"), (1,), (0, 1, 2))
    made = list(preferences.teacher_pairs(plan, task, Rater(temperature=0, flips=0)))
    read: list[dict[str, Any]] = json.loads(json.dumps(made))
    return read


def test_the_rater_is_bradley_terry_with_flips_and_a_length_bias() -> None:
    def chance(rater: Rater) -> float:
        return rater.chance(("a" * 150, 0.8), ("b" * 50, 0.5))

    assert chance(Rater(0.2, 0, 0)) == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert chance(Rater(0.2, 0.1, 0)) == pytest.approx(0.9 / (1 + math.exp(-1.5)) + 0.1 / (1 + math.exp(1.5)))
    assert chance(Rater(0.2, 0, -2.0)) == pytest.approx(1 / (1 + math.exp(0.5)))
    assert chance(Rater(0, 0.1, 0)) == pytest.approx(0.9)
    assert Rater(0.2, 0.02, 0.5).chance(("ab", 0.5), ("cd", 0.5)) == pytest.approx(0.5)


def test_labels_follow_the_chances(task: Task) -> None:
    plan = Plan("train", 300, 5, ("stack", "queue"), (1,), (0,))
    made = list(preferences.teacher_pairs(plan, task, Rater(temperature=1.0, flips=0.05), ["wrong-diagnosis"]))
    kept = [row["gold"][0] > row["gold"][1] for row in made if row["gold"][0] != row["gold"][1]]
    chances = [max(row["chance"], 1 - row["chance"]) for row in made if row["gold"][0] != row["gold"][1]]
    expected = sum(chances) / len(chances)
    assert sum(kept) / len(kept) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(kept)))
    (everything, _) = preferences.summary(made)
    assert everything["ceiling"] == pytest.approx(sum(max(r["chance"], 1 - r["chance"]) for r in made) / len(made))


def test_every_fault_shows_in_the_checks(rows: list[dict[str, Any]]) -> None:
    assert {row["kind"] for row in rows} == set(KINDS)
    failing = {
        "leak": "G2",
        "language": "G3",
        "wrong-diagnosis": "G1",
        "wrong-step": "G1",
        "false-praise": "G1",
        "false-alarm": "G1",
    }
    for kind, gate in failing.items():
        some = [row for row in rows if row["kind"] == kind]
        failed = [check(to_item(row["item"]), row["rejected"])[gate][0] == 0 for row in some]
        assert sum(failed) / len(failed) > 0.7, kind


def test_a_hard_negative_differs_in_one_fact(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["kind"] == "wrong-diagnosis":
            good, bad = (check(to_item(row["item"]), row[side]) for side in ("chosen", "rejected"))
            assert good["D1"][0] == 2
            assert bad["D1"][0] < 2


def test_a_rater_without_errors_prefers_the_better_answer(rows: list[dict[str, Any]]) -> None:
    assert all(row["gold"][0] >= row["gold"][1] for row in rows)
    assert all(row["chosen"] != row["rejected"] for row in rows)


def test_the_same_plan_gives_the_same_rows(rows: list[dict[str, Any]], task: Task) -> None:
    plan = Plan("train", 60, 3, ("stack", "queue"), (1,), (0, 1, 2))
    again = list(preferences.teacher_pairs(plan, task, Rater(temperature=0, flips=0)))
    assert json.loads(json.dumps(again)) == rows


def test_test_items_are_refused(task: Task, runs: Path, cli: Any) -> None:
    with pytest.raises(UsageError, match="Test items never train"):
        list(preferences.teacher_pairs(Plan("test", 5), task, Rater()))
    with open_run(runs, "sampled", "x", {"task": {"digest": task.digest}}) as run:
        run.add_response(Response(task.items[0].id, 0, "a?", "stop", 1, 1, 0.0, 0.0, 0))
        run.flush()
        with pytest.raises(UsageError, match="split 'test'"):
            list(preferences.sampled_pairs(run, task, Rater()))
    done = cli("pairs", "--split", "test", "--task", "ds-trace-demo", "-n", 5)
    assert done.code == 2
    assert "never train" in done.err


def test_sampled_answers_are_paired_where_their_gold_scores_differ(task: Task, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(
        Path(loader.paths.datasets() / "ds-trace-demo" / "task.yaml").read_text().replace("split: test", "split: train")
    )
    train = loader.load(str(tmp_path / "task.yaml"))
    first, second = train.items[:2]
    with open_run(runs, "sampled", "x", {"task": {"digest": train.digest}}) as run:
        said = [
            (first, first.references[0], "stop"),
            (first, f"{first.answer}", "stop"),
            (first, "cut off", "length"),
            (second, "Hm?", "stop"),
            (second, "Hm, hm?", "stop"),
        ]
        for sample, (item, text, reason) in enumerate(said):
            run.add_response(Response(item.id, sample, text, reason, 1, 1, 0.0, 0.0, 0))  # type: ignore[arg-type]
        run.flush()
        found = list(preferences.sampled_pairs(run, train, Rater(0, 0), per_item=3))
    assert [(row["chosen"], row["rejected"], row["kind"]) for row in found] == [
        (first.references[0], first.answer, "sampled")
    ]
    with pytest.raises(UsageError, match="made on another task"):
        list(preferences.sampled_pairs(run, task, Rater()))


def test_the_best_answer_of_several_systems_is_paired_with_the_worst(tmp_path: Path, cli: Any) -> None:
    rows = [item_row(number, split="train") for number in range(4)]
    file = make_task(tmp_path / "task", rows)
    train = loader.load(str(file))
    tables = {"good": [2, 2, 1, None], "bad": [0, 1, 1, 2]}
    folders = []
    for system, values in tables.items():
        record(tmp_path / "runs", train, system, lambda number, _, values=values: {"D3": values[number]}, name=system)
        folders.append(tmp_path / "runs" / system)
        path = folders[-1] / "responses.jsonl"
        path.write_text(path.read_text().replace('"text":"text"', f'"text":"said by {system}"'))
    done = cli("data", "pairs", *folders, "-t", file, "--by", "D3", "--out", tmp_path / "pairs.jsonl")
    assert done.code == 0, done.err
    found = read_jsonl(tmp_path / "pairs.jsonl")
    told = [(row["item"]["id"], row["chosen"], row["margin"], row["systems"]) for row in found]
    assert told == [
        ("item-0", "said by good", 2.0, ["good", "bad"]),
        ("item-1", "said by good", 1.0, ["good", "bad"]),
    ], "equal answers and an unscored one make no pair"
    wide = cli("data", "pairs", *folders, "-t", file, "--by", "D3", "--margin", 1, "--out", tmp_path / "wide.jsonl")
    assert wide.code == 0
    assert [row["item"]["id"] for row in read_jsonl(tmp_path / "wide.jsonl")] == ["item-0"]
    refused = cli("data", "pairs", *folders, "-t", file, "--by", "D5", "--out", tmp_path / "x.jsonl")
    assert refused.code == 2
    assert "D3, gold_score" in refused.err


def test_test_items_of_scored_runs_are_refused(tmp_path: Path) -> None:
    test = loader.load(str(make_task(tmp_path / "task")))
    record(tmp_path / "runs", test, "a", lambda number, _: {"D3": number % 3}, name="a")
    with pytest.raises(UsageError, match="Test items never train"):
        list(preferences.scored_pairs([Run(tmp_path / "runs" / "a")], test, "D3"))


def test_the_command_writes_rows_and_tells_the_ceiling(cli: Any, tmp_path: Path) -> None:
    done = cli("pairs", "--task", "ds-trace-demo", "-n", 6, "--seed", 2, "--out", tmp_path / "pairs.jsonl")
    assert done.code == 0
    assert "ceiling of accuracy" in done.err
    made = read_jsonl(tmp_path / "pairs.jsonl")
    assert len(made) == 12
    assert {"prompt", "chosen", "rejected", "kind", "gold", "chance", "item"} == set(made[0])
    assert made[0]["prompt"][0]["content"] in ("辅导学生。", SYSTEM["en"], "Tutor the student.")
    again = cli("pairs", "--task", "ds-trace-demo", "-n", 6, "--out", tmp_path / "pairs.jsonl")
    assert again.code == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--kind", "rude"), "unknown kind 'rude'"),
        (("--flips", "0.6"), "--flips at least 0 and below 0.5"),
        (("-n", "0"), "no pairs to write"),
    ],
)
def test_wrong_options_are_one_line(options: tuple[str, ...], word: str, cli: Any) -> None:
    done = cli("pairs", "--task", "ds-trace-demo", "-n", "3", *options)
    assert done.code == 2
    assert word in done.err
