"""Plans: what they may say, what `$name` stands for, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import experiment, paths
from harness.errors import UsageError
from harness.experiment.graph import Graph, order
from harness.experiment.plan import Arm, references, resolved, with_trial

PLAN: dict[str, Any] = {
    "name": "small",
    "task": "ds-trace-demo",
    "validation": "ds-trace-demo-validation",
    "seeds": [0, 1],
    "data": {"good": {"conversations": {"teacher": "good", "clusters": 4, "seed": 1}}, "pairs": "pairs.jsonl"},
    "shared": {"sft": {"stage": "sft", "base": "somewhere", "data": "$good", "steps": 1}},
    "arms": {
        "dpo": {"stages": {"dpo": {"stage": "dpo", "base": "$sft", "data": "$pairs", "lora": {"r": 8}}}},
        "ppo": {
            "stages": {
                "reward": {"stage": "reward", "base": "$sft", "data": "$pairs"},
                "ppo": {"stage": "ppo", "base": "$sft", "reward": {"$": 1}, "data": "$pairs", "ppo": {"rate": 1}},
            }
        },
        "sft": {"model": "hf/$sft"},
    },
}


def plan(folder: Path, **changes: Any) -> experiment.Plan:
    path = folder / "plan.yaml"
    found = {key: value for key, value in {**PLAN, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    return experiment.read(path)


def arms(**changes: Any) -> dict[str, Any]:
    return {**PLAN["arms"], **changes}


def stages(**settings: Any) -> dict[str, Any]:
    return {"stages": {"dpo": {"stage": "dpo", "base": "$sft", **settings}}}


def test_the_shipped_plans_can_be_read() -> None:
    found = sorted(paths.experiments().glob("*.yaml"))
    assert found
    for path in found:
        assert experiment.read(path).name == path.stem


def test_references_are_whole_texts_or_the_last_part_of_a_models_name() -> None:
    value = {"a": "$one", "b": ["hf/$two", {"c": "best-of/4/$three"}], "d": "costs 3$", "e": "US$x"}
    assert list(references(value)) == ["one", "two", "three"]
    assert resolved(value, {"one": "/1", "two": "/2", "three": "/3"}) == {
        "a": "/1",
        "b": ["hf//2", {"c": "best-of/4//3"}],
        "d": "costs 3$",
        "e": "US$x",
    }


def test_a_trial_changes_only_what_it_names() -> None:
    arm = Arm(
        name="x", stages={"ppo": {"stage": "ppo", "ppo": {"rate": 1, "epochs": 2}}, "reward": {"stage": "reward"}}
    )
    assert with_trial(arm, {"ppo.ppo.rate": 5, "reward.steps": 7}) == {
        "ppo": {"stage": "ppo", "ppo": {"rate": 5, "epochs": 2}},
        "reward": {"stage": "reward", "steps": 7},
    }
    assert arm.stages["ppo"]["ppo"]["rate"] == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "../x"}, "experiment name '../x' is not allowed"),
        ({"sedes": [1]}, "seeds"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": None}, "'seeds' is missing"),
        ({"tuning_seed": 1}, "tuning_seed 1 is one of the seeds"),
        ({"budget": "money"}, "money"),
        ({"arms": arms(dpo=stages(data="$pears"))}, "$pears"),
        ({"arms": arms(dpo=stages(seed=3))}, "must not set 'seed'"),
        ({"arms": arms(dpo={"stages": {"dpo": {"base": "$sft"}}})}, "must be a mapping with 'stage'"),
        ({"arms": arms(dpo={**stages(), "trials": [{"dop.rate": 1}]})}, "dop"),
        ({"arms": arms(dpo={**stages(), "trials": [{"dpo.rate": 1}]})}, "same number of trials (dpo 1, ppo 0)"),
        ({"arms": arms(dpo={**stages(), "role": "best"})}, "best"),
        ({"arms": arms(none={})}, "has no stages: give it 'model'"),
        ({"arms": arms(gold={**stages(), "tuned_as": "dop"})}, "dop"),
        ({"shared": {"a": {"stage": "sft", "base": "$b"}, "b": {"stage": "sft", "base": "$a"}}}, "need each other"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_in_one_line(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        plan(tmp_path, **changes)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_node_lies_where_all_that_it_depends_on_names_it(tmp_path: Path) -> None:
    first = plan(tmp_path, arms=arms(dpo=stages(data="$pairs"), twin=stages(data="$pairs")))
    graph = Graph(first, tmp_path)
    dpo, twin = (graph.stages(first.arm(name), {}, 0)["dpo"] for name in ("dpo", "twin"))
    assert dpo.path == twin.path, "arms share what is the same"
    others = [
        graph.stages(first.arm("dpo"), {}, 1)["dpo"],
        graph.stages(first.arm("dpo"), {"dpo.steps": 3}, 0)["dpo"],
        Graph(plan(tmp_path, shared={"sft": {**PLAN["shared"]["sft"], "steps": 2}}), tmp_path).stages(
            first.arm("dpo"), {}, 0
        )["dpo"],
    ]
    assert len({dpo.path, *(one.path for one in others)}) == 4
    assert dpo.settings["base"] == str(graph.shared("sft").path / "checkpoint")
    assert dpo.settings["data"] == str(Path("pairs.jsonl").resolve())


def test_the_order_has_everything_once_and_after_what_it_needs(tmp_path: Path) -> None:
    found = plan(tmp_path)
    graph = Graph(found, tmp_path)
    arm = found.arm("dpo")
    goals = [graph.benchmark("test", arm, graph.stages(arm, {}, seed), f"dpo-{seed}") for seed in (0, 1)]
    nodes = order(goals)
    assert [node.name for node in nodes] == ["good", "sft-0", "pairs", "dpo-0", "dpo-0", "dpo-1", "dpo-1"]
    places = {node.path: place for place, node in enumerate(nodes)}
    assert all(places[need.path] < places[node.path] for node in nodes for need in node.needs)
