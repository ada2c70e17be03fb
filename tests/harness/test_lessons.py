"""Lessons for a judge: their verdicts are those of the checks, and a judge that gives them gives the facts back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoint import Handler, serving

from harness import calibration, lessons, record
from harness import task as tasks
from harness.errors import UsageError
from harness.experiment import data
from harness.scorers.checks import CRITERIA, check
from harness.scorers.judge.prompt import material
from harness.scorers.judge.verdict import parse
from harness.types import Task

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def demo() -> Task:
    return tasks.load("ds-trace-demo")


@pytest.fixture(scope="module")
def rows(demo: Task) -> list[dict[str, Any]]:
    return list(lessons.teacher_lessons(tasks.exercises(demo.name, "train", 60, 5), demo))


def test_every_answer_is_a_verdict_that_the_parser_takes(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        system, user, answer = (one["content"] for one in row["messages"])
        token = user.rsplit(" " if "Token: " in user else "：", 1)[1]
        allowed = dict.fromkeys(CRITERIA, ("pass", "fail", "yes", "partial", "no", "na"))
        found = parse(answer, token, allowed, (user,))
        assert tuple(found) == CRITERIA
        assert "JSON" not in system


def test_verdicts_are_those_of_the_checks(demo: Task) -> None:
    item = demo.items[0]
    row = lessons.lesson(demo, item, item.references[0], "good")
    said = json.loads(row["messages"][-1]["content"])
    values = {name: value for name, (value, _) in check(item, item.references[0]).items()}
    words = {2: "yes", 1: "partial", 0: "no"}
    for name in CRITERIA:
        if name.startswith("G"):
            assert said[name] == ("pass" if values[name] else "fail")
        else:
            assert said[name] == (words[int(values[name])] if name in values else "na")
    assert material(item.references[0]) in row["messages"][1]["content"]


def test_lessons_hold_every_fault_and_every_label(rows: list[dict[str, Any]]) -> None:
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["good"] == 120
    assert set(kinds) == {"good", *lessons.KINDS}
    for name in CRITERIA:
        labels = {json.loads(row["messages"][-1]["content"])[name] for row in rows}
        assert len(labels) > 1, name
    assert rows == list(
        lessons.teacher_lessons(tasks.exercises("ds-trace-demo", "train", 60, 5), tasks.load("ds-trace-demo"))
    )


def test_test_items_give_no_lessons(demo: Task, cli: Cli, runs: Path) -> None:
    with pytest.raises(UsageError, match="Test items never train"):
        next(lessons.teacher_lessons(tasks.exercises(demo.name, "test", 4, 5), demo))
    cli("run", "-t", "ds-trace-demo", "-m", "control/reference", "--limit", "4", "--runs", runs, "--name", "one")
    with pytest.raises(UsageError, match="Test items never train"):
        next(lessons.sampled_lessons(record.Run(runs / "one"), demo))


def test_data_of_an_experiment(tmp_path: Path) -> None:
    path = tmp_path / "lessons.jsonl"
    data.make(path, {"lessons": {"teacher": [{"clusters": 5, "seed": 1}, {"clusters": 5, "seed": 2}]}}, "ds-trace-demo")
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(found) == 40
    assert {one["role"] for one in found[0]["messages"]} == {"system", "user", "assistant"}


def test_a_judge_that_learnt_its_lessons_agrees_with_the_facts(
    cli: Cli, demo: Task, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked in the short form, a judge that answers as the lessons do has kappa 1 against the checks."""
    cli("run", "-t", "ds-trace-demo", "-m", "control/prior", "--limit", "12", "--runs", runs, "--name", "one")
    answers = {}
    for response in record.Run(runs / "one").responses():
        item = next(item for item in demo.items if item.id == response.item)
        _, user, answer = lessons.lesson(demo, item, response.text, "x")["messages"]
        answers[user["content"].rsplit("\n", 1)[0]] = json.loads(answer["content"])

    def wise(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        asked, last = request["messages"][1]["content"].rsplit("\n", 1)
        handler.whole(json.dumps(answers[asked] | {"token": last[-8:]}))

    monkeypatch.setenv("EASYDS_JUDGE_KEY", "none")
    with serving(wise) as server:
        spec = f"judge:model=wise,base_url={server.url},form=short,criteria={';'.join(CRITERIA)}"
        done = cli("score", "one", "--runs", runs, "--scorer", "trace", "--scorer", spec)
        assert done.code == 0, done.err
    run = record.Run(runs / "one")
    found = calibration.calibrate(calibration.labelled(demo, [run], "judge/wise", "check/ds-trace"), demo.rubric, 50)
    assert {one.criterion for one in found} == set(CRITERIA)
    assert all(one.accuracy == 1.0 and one.unscored == 0 for one in found)


@pytest.mark.parametrize("whole", [False, True])
def test_copies_ask_for_nothing_but_the_token(rows: list[dict[str, Any]], whole: bool) -> None:
    for row, copy in zip(rows, lessons.copies(rows, whole), strict=True):
        token = json.loads(row["messages"][-1]["content"])["token"]
        assert json.loads(copy["messages"][-1]["content"]) == {"token": token}
        asked = copy["messages"][1]["content"]
        assert asked.endswith(token)
        assert (asked == row["messages"][1]["content"]) is whole
        assert ("\n" in asked) is whole
