"""Once round the loop with real parts: served turns, feedback, campaign, votes, pairs, DPO, benchmark, gate, package."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_support import Annotator, vote
from school import Expert, items_of, load, teach, train_tutor, write_task
from support import command, equal_weights, read_jsonl

from harness import annotate, stages
from harness.errors import GateFailed, Incomplete, UsageError
from harness.loop import collect, plan, promotion, votes
from harness.loop.improve import improve
from harness.loop.plan import Plan
from harness.record import read_json
from harness.serve import package as packages
from harness.types import Item

pytestmark = pytest.mark.slow
HONEST = [Annotator(f"honest-{n}", 0.9) for n in range(3)]
LORA = {"r": 16, "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}


@dataclass(frozen=True)
class World:
    """A tutor that was served for a while: its log, the plan of its loop, and what students asked."""

    plan: Plan
    plan_file: Path
    asked: Sequence[Item]
    expert: Expert
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("school")
    began = time.monotonic()
    task_file = write_task(folder / "task", clusters=200)
    lesson, asked = load(task_file), items_of("train", 200, seed=77)
    tutor = train_tutor(folder / "tutor", steps=320)
    trained = time.monotonic()
    teach(tutor, folder / "served.jsonl", asked, lesson)
    given = {
        "name": "school",
        "log": str(folder / "served.jsonl"),
        "start": str(tutor),
        "task": str(task_file),
        "collect": {"turns": 200, "novel": 0.0},
        "campaign": {"overlap": 3, "qualify": None, "gold": 0, "repeat": 0, "attention": 10},
        "pairs": 40,
        "train": {"dpo": {"steps": 40, "batch_size": 16, "learning_rate": 0.001, "save_every": 10, "lora": LORA}},
    }
    plan_file = folder / "plan.yaml"
    plan_file.write_text(yaml.safe_dump(given), encoding="utf-8")
    seconds = {"train": trained - began, "serve": time.monotonic() - trained}
    return World(plan.read(plan_file), plan_file, asked, Expert(lesson, asked), seconds)


def go_round(
    world: World, folder: Path, store: annotate.Store, people: Sequence[Annotator], said: list[str], **changes: object
) -> dict[str, object]:
    """A round with its votes."""
    lead = annotate.operator(store, "lead").id
    its_plan = replace(world.plan, **changes)  # type: ignore[arg-type]
    with pytest.raises(Incomplete, match="waits for"):
        improve(its_plan, folder, store, lead, said.append)
    vote(store, lead, "school-1", people, world.expert)
    return improve(its_plan, folder, store, lead, said.append)


def test_use_makes_the_next_model_better(
    world: World, tmp_path: Path, store: annotate.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    began, said = time.monotonic(), []
    folder = tmp_path / "loop"
    result = go_round(world, folder, store, HONEST, said)
    seconds = sum(world.seconds.values()) + time.monotonic() - began
    with capsys.disabled():
        print("", f"loop: {seconds:.0f} s {world.seconds}", *said, sep="\n")
    assert result["promoted"] is True
    better, *gates = result["decision"]["comparisons"]  # type: ignore[index]
    assert better["metric"] == "guidance_accuracy"
    assert better["low"] > 0
    assert {one["metric"] for one in gates} == {"G1", "G2", "G3"}

    now = promotion.current(folder)
    assert now is not None
    package = packages.read(Path(now["package"]))
    assert package.digest == now["digest"] != packages.read(world.plan.start).digest
    turns = Counter(one.id for one in collect.taken(folder / "campaigns"))
    assert set(turns.values()) == {1}
    pairs = read_jsonl(folder / "rounds" / "1" / "pairs.jsonl")
    assert {row["item"]["split"] for row in pairs} == {"served"}
    assert {row["item"]["id"] for row in pairs} <= set(turns)

    lead = annotate.operator(store, "lead").id
    assert improve(world.plan, folder, store, lead, said.append) == result, "nothing new came: the same again"
    assert promotion.go_back(folder) == str(world.plan.start.resolve())
    assert promotion.current(folder)["left"]["package"] == now["package"]  # type: ignore[index]
    with pytest.raises(UsageError, match="nothing that could be taken back"):
        promotion.go_back(folder)


def test_a_reward_model_and_ppo_close_the_loop_too(
    world: World, tmp_path: Path, store: annotate.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed while the reward model is trained, and again in PPO."""
    validation = write_task(tmp_path / "validation", clusters=40, split="validation")
    steps = {"batch_size": 8, "learning_rate": 0.002, "lora": LORA}
    ppo = {"iterations": 8, "episodes": 64, "minibatch": 32, "micro_batch": 32, "max_new_tokens": 60}
    ppo |= {"learning_rate": 0.0005, "value_learning_rate": 0.002}
    train = {
        "reward": {"steps": 100, **steps},
        "ppo": {"validation": str(validation), "validation_items": 40, "frontier": 2, "lora": LORA, "ppo": ppo},
    }
    for settings in train.values():
        settings["save_every"] = 2
    plan_file = tmp_path / "plan.yaml"
    plan_file.write_text(yaml.safe_dump(yaml.safe_load(world.plan_file.read_text()) | {"train": train}))
    folder = tmp_path / "loop"
    place = folder / "rounds" / "1"
    args = ("improve", plan_file, "--folder", folder, "--store", tmp_path / "annotations.db")
    assert _run(args).returncode == 4, "it waits for votes"
    vote(store, annotate.operator(store, "lead").id, "school-1", HONEST, world.expert)
    for stage in train:
        _kill_once(args, lambda stage=stage: any(place.glob(f"{stage}-*/trainer_state/step-*/whole.json")), stage)
    done = _run(args)
    with capsys.disabled():
        print("\n", done.stderr)
    assert done.returncode == 0, done.stderr
    result = read_json(place / "result.json")
    assert result["promoted"] is True
    assert result["decision"]["comparisons"][0]["low"] > 0
    (reward,) = place.glob("reward-*/checkpoint")
    (trained,) = place.glob("ppo-*")
    assert read_json(trained / "given.json")["reward"] == str(reward.resolve())
    assert read_json(trained / "result.json")["oracle"] is False, "people's votes trained it, no gold score"


def test_liars_among_the_voters_are_left_out(
    world: World, tmp_path: Path, store: annotate.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """30 % adversarial votes: quality control takes them out, so that the pairs are those of the others."""
    people = [Annotator(f"honest-{n}", 0.9) for n in range(7)] + [Annotator(f"liar-{n}", 0.1) for n in range(3)]
    lead = annotate.operator(store, "lead").id
    with pytest.raises(Incomplete, match="waits for"):
        improve(world.plan, tmp_path / "loop", store, lead, lambda _: None)
    ids = vote(store, lead, "school-1", people, world.expert)
    poisoned = right(world, annotate.export(store, lead, "school-1", "dpo").rows)
    settled = votes.settle(store, lead, "school-1")
    clean = right(world, settled.exported.rows)
    with capsys.disabled():
        print(f"\npairs as an expert has them: {poisoned:.2f} with the liars, {clean:.2f} without")
    assert set(settled.excluded) == {ids[f"liar-{n}"] for n in range(3)}
    assert clean > poisoned
    assert clean >= 0.93


def right(world: World, rows: Sequence[Mapping[str, Any]]) -> float:
    """The share of pairs whose chosen text is worth more than the rejected one."""
    sides = [
        [world.expert.worth(row["prompt"][-1]["content"], row[side][0]["content"]) for side in ("chosen", "rejected")]
        for row in rows
    ]
    return sum(chosen > rejected for chosen, rejected in sides) / len(sides)


def test_votes_that_lie_together_do_not_pass_the_gate(
    world: World, tmp_path: Path, store: annotate.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody honest is there and nothing is checked: quality control cannot see it, the benchmark can."""
    liars = [Annotator(f"liar-{n}", 0.1) for n in range(3)]
    said: list[str] = []
    blind = replace(world.plan.campaign, attention=0)
    with pytest.raises(GateFailed, match="promotes nothing"):
        go_round(world, tmp_path / "loop", store, liars, said, campaign=blind)
    with capsys.disabled():
        print("", *said, sep="\n")
    result = read_json(tmp_path / "loop" / "rounds" / "1" / "result.json")
    assert "not better" in result["why"]
    assert promotion.current(tmp_path / "loop") is None
    assert not (tmp_path / "loop" / "packages").exists()


def test_killed_at_every_step_the_round_ends_the_same(world: World, tmp_path: Path, store: annotate.Store) -> None:
    """SIGKILL as soon as each thing lies there; the next command goes on. No turn is lost or doubled."""
    folder = tmp_path / "loop"
    args = ("improve", world.plan_file, "--folder", folder, "--store", tmp_path / "annotations.db")
    place = folder / "rounds" / "1"
    before_votes: dict[str, Callable[[], bool]] = {
        "turns": lambda: (folder / "campaigns" / "school-1" / "turns.jsonl").exists(),
        "round": lambda: (place / "round.json").exists(),
        "served": lambda: (folder / "campaigns" / "school-1" / "runs" / "served" / "manifest.json").exists(),
        "sampled": lambda: _lines(folder / "campaigns" / "school-1" / "runs" / "again-2" / "responses.jsonl") > 0,
        "campaign": lambda: any(one.id == "school-1" for one in annotate.listed(store)),
    }
    after_votes: dict[str, Callable[[], bool]] = {
        "pairs": lambda: (place / "pairs.jsonl").exists(),
        "dpo": lambda: any(place.glob("dpo-*/trainer_state/step-*/whole.json")),
        "trained": lambda: any(place.glob("dpo-*/result.json")),
        "benchmark": lambda: any(_lines(one) for one in folder.glob("runs/*school-1-*/responses.jsonl")),
        "package": lambda: any((folder / "packages").glob("school-1-*")),
        "promoted": lambda: (folder / "current.json").exists(),
    }
    for name, there in before_votes.items():
        _kill_once(args, there, name)
    assert _run(args).returncode == 4, "it waits for votes"
    lead = annotate.operator(store, "lead").id
    first = read_jsonl(folder / "campaigns" / "school-1" / "turns.jsonl")
    vote(store, lead, "school-1", HONEST, world.expert)
    for name, there in after_votes.items():
        _kill_once(args, there, name)
    done = _run(args)
    assert done.returncode == 0, done.stderr
    assert read_jsonl(folder / "campaigns" / "school-1" / "turns.jsonl") == first
    assert len({row["turn"]["id"] for row in first}) == len(first)
    assert len(annotate.listed(store)) == 1
    assert len(list(place.glob("dpo-*"))) == 1
    assert len(list((folder / "packages").glob("school-1-*"))) == 1
    pairs = read_jsonl(place / "pairs.jsonl")
    assert len({(row["item"]["id"], str(row["chosen"]), str(row["rejected"])) for row in pairs}) == len(pairs)
    for one in folder.glob("runs/*/responses.jsonl"):
        keys = [(row["item"], row["sample"]) for row in read_jsonl(one)]
        assert len(keys) == len(set(keys))
    now = promotion.current(folder)
    assert now is not None
    assert len(now["before"]) == 1, "promoted once"
    (trained,) = place.glob("dpo-*")
    spec = {**read_json(trained / "given.json"), "output": str(tmp_path / "at-once")}
    stages.run(stages.Order("dpo", spec))
    weights = "checkpoint/adapter_model.safetensors"
    assert equal_weights(trained / weights, tmp_path / "at-once" / weights)


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def _run(args: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=900)


def _kill_once(args: Sequence[str | Path], there: Callable[[], bool], name: str) -> None:
    """Start the command and kill it once something is there. What it started ends by itself or is waited for."""
    process = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not there():
        assert process.poll() is None, f"it ended with {process.returncode} before '{name}' was there"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
