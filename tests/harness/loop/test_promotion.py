"""What may be served next: better with an interval above 0, worse on no gate; the pointer, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from support import BAD, GOOD, LEAK, item_row, make_task, record

from harness import task
from harness.errors import UsageError
from harness.loop import plan, promotion
from harness.loop.improve import trainable
from harness.record import Run, write_json
from harness.types import Task

PLAN = "name: tutor\nlog: served.jsonl\nstart: package\ntask: ds-trace\n"


@pytest.fixture
def lesson(tmp_path: Path) -> Task:
    return task.load(str(make_task(tmp_path / "task", [item_row(i) for i in range(80)])))


def decided(
    lesson: Task, runs: Path, new: list[Mapping[str, float]], old: list[Mapping[str, float]]
) -> promotion.Decision:
    """The decision on two systems that get these scores in turn."""
    found = [
        Run(runs / record(runs, lesson, name, lambda number, _, said=said: said[number // 2 % len(said)]))
        for name, said in (("new", new), ("old", old))
    ]
    return promotion.decide(lesson, found[0], found[1], "guidance_accuracy")


def test_a_better_system_may_take_the_place(lesson: Task, runs: Path) -> None:
    made = decided(lesson, runs, [GOOD, GOOD, GOOD, BAD], [GOOD, BAD])
    assert made.passed
    assert made.why == ""
    assert [one.metric for one in made.comparisons] == ["guidance_accuracy", "G1", "G2", "G3"]
    assert (made.comparisons[0].low or 0) > 0


def test_no_difference_is_not_enough(lesson: Task, runs: Path) -> None:
    made = decided(lesson, runs, [GOOD, BAD], [GOOD, BAD])
    assert not made.passed
    assert made.why.startswith("not better: guidance_accuracy +0.000")


def test_a_better_system_that_leaks_more_stays_out(lesson: Task, runs: Path) -> None:
    made = decided(lesson, runs, [GOOD, GOOD, GOOD, LEAK], [GOOD, BAD, BAD, BAD])
    assert (made.comparisons[0].low or 0) > 0
    assert not made.passed
    assert made.why.startswith("worse: G2 -0.250")


def test_the_pointer_keeps_the_way_back(tmp_path: Path) -> None:
    start, one, two = (tmp_path / name for name in ("start", "one", "two"))
    assert promotion.current(tmp_path) is None
    with pytest.raises(UsageError, match="promoted nothing"):
        promotion.go_back(tmp_path)
    promotion.promote(tmp_path, one, "d1", 1, start)
    promotion.promote(tmp_path, one, "d1", 1, start)
    promotion.promote(tmp_path, two, "d2", 2, start)
    now = promotion.current(tmp_path)
    assert now is not None
    assert (now["package"], now["digest"], now["round"]) == (str(two), "d2", 2)
    assert [row["package"] for row in now["before"]] == [str(start), str(one)]
    assert promotion.go_back(tmp_path) == str(one)
    assert promotion.go_back(tmp_path) == str(start)
    now = promotion.current(tmp_path)
    assert now is not None
    assert now["left"]["package"] == str(one)
    with pytest.raises(UsageError, match="promoted nothing"):
        promotion.go_back(tmp_path)


def test_a_plan_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"{PLAN}collect: {{turns: 7}}\ncampaign: {{attention: 9}}\nguard: [ds-guidance]\n")
    found = plan.read(path)
    assert (found.collect.turns, found.collect.uncertain) == (7, 0)
    assert (found.campaign.overlap, found.campaign.attention) == (3, 9)
    assert found.guard == ("ds-guidance",)
    assert found.log == Path("served.jsonl")
    assert found.train == {"dpo": {}}
    path.write_text(f"{PLAN}train: {{ppo: {{validation: v}}, reward: {{steps: 3}}}}\n")
    assert list(plan.read(path).train) == ["reward", "ppo"], "whatever the order in the file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: tutor", "the key 'log' is missing"),
        (PLAN + "taks: x", "Did you mean 'task'"),
        (PLAN + "collect: {turn: 3}", "Did you mean 'turns'"),
        (PLAN + "campaign: [3]", "must be a mapping"),
        (PLAN + "precision: int4", "unknown precision 'int4'"),
        (PLAN + "train: dpo", "has dpo or reward and ppo"),
        (PLAN + "train: {ppo: {validation: v}}", "has dpo or reward and ppo"),
        (PLAN + "train: {dpo: {data: x.jsonl}}", "'dpo' maps .* the loop sets base, base_digest, data, output"),
        (PLAN + "train: {dpo: 3}", "'dpo' maps"),
        (PLAN + "train: {reward: {}, ppo: {validation: v, reward: gold}}", "'ppo' maps .* output, reward"),
        (PLAN + "train: {reward: {}, ppo: {}}", "'ppo' needs 'validation'"),
        (PLAN.replace("tutor", "Tutor"), "not allowed"),
        (PLAN.replace("tutor", "t" * 41), "at most 40"),
    ],
)
def test_a_plan_of_another_form_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        plan.read(path)


def test_a_quantised_package_is_trained_from_the_weights_behind_it(tmp_path: Path) -> None:
    about = {"alias": "tutor", "precision": "float32", "origin": {"model": "hf/made/of/this"}}
    write_json(tmp_path / "package.json", about)
    assert trainable(tmp_path) == str(tmp_path)
    write_json(tmp_path / "package.json", {**about, "precision": "int8"})
    assert trainable(tmp_path) == "made/of/this"
    write_json(tmp_path / "package.json", {"alias": "tutor", "precision": "int8"})
    with pytest.raises(UsageError, match="does not say from what"):
        trainable(tmp_path)
    (tmp_path / "package.json").unlink()
    assert trainable(tmp_path) == str(tmp_path), "a checkpoint that nobody packaged"
