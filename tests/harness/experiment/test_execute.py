"""Plans carried out with a real program as their stage: choice on validation, budgets, the ledger, kills, failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import answers, command, item_row, make_task, manifest, read_jsonl

from harness.experiment.cost import Cost
from harness.record import Run

PROGRAM = """\
#!{python}
import json, os, shutil, sys, time
spec = json.load(open(sys.argv[1]))
output = spec["output"]
with open(os.path.join(output, "events.jsonl"), "w") as events:
    for step in range(1, 4):
        time.sleep(spec.get("sleep", 0.0))
        print(json.dumps({{"step": step, "steps": 3, "phase": "x", "tokens": 10 * step}}), file=events, flush=True)
if spec.get("fail"):
    sys.exit("trainers: it does not want to")
if "base" in spec:
    shutil.copytree(spec["base"], os.path.join(output, "checkpoint"), dirs_exist_ok=True)
else:
    os.makedirs(os.path.join(output, "checkpoint"), exist_ok=True)
with open({log!r}, "a") as log:
    print(output, file=log)
with open(os.path.join(output, "result.json"), "w") as result:
    json.dump({{"cpu_seconds": spec.get("steps", 1), "seconds": 1.0}}, result)
"""


class World:
    """A folder with two small tasks, a program that is a stage, and plans."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "trained.txt"
        rows = [item_row(number) for number in range(6)]
        self.task = make_task(folder / "test", rows)
        held = [{**row, "id": f"v-{row['id']}", "split": "validation"} for row in rows]
        self.validation = make_task(folder / "validation", held, name="held", scorers=["diversity"])
        self.program = folder / "program"
        self.program.write_text(PROGRAM.format(python=sys.executable, log=str(self.log)))
        self.program.chmod(0o755)

    def stage(self, **settings: Any) -> dict[str, Any]:
        return {"stage": str(self.program), **settings}

    def plan(self, arms: dict[str, Any], **settings: Any) -> Path:
        path = self.folder / "plan.yaml"
        tasks = {"task": str(self.task), "validation": str(self.validation)}
        given = {"name": "small", **tasks, "seeds": [0, 1], "select": "distinct_2", "arms": arms, **settings}
        path.write_text(yaml.safe_dump(given), encoding="utf-8")
        return path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def command(self, plan: Path) -> list[str]:
        return command("experiment", "run", plan, "--folder", self.out, "--workers", 2)

    def run(self, plan: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(plan), capture_output=True, text=True, timeout=300)

    def made(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "experiment.json").read_text())
        return found

    def ledger(self, what: str) -> list[dict[str, Any]]:
        return [row for row in read_jsonl(self.out / "ledger.jsonl") if row["what"] == what]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def control(world: World, **settings: Any) -> dict[str, Any]:
    """An arm whose training is the program's and whose answers are a control's: quick, and no torch."""
    return {
        "stages": {"first": world.stage(**settings), "second": world.stage(after="$first")},
        "model": "control/null",
    }


def test_every_arm_is_trained_by_every_seed_and_scored_once(world: World) -> None:
    done = world.run(world.plan({"a": control(world), "reference": {"role": "control", "model": "control/reference"}}))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(world.out)
    assert "time left" in done.stderr
    assert sorted(row["system"] for row in world.ledger("test")) == ["a-0", "a-1", "reference"]
    for arm in world.made()["arms"].values():
        for one in arm["seeds"].values():
            run = Run(world.out / one["run"])
            assert (run.manifest["status"], run.manifest["system"]) == ("complete", one["system"])
            assert all((world.out / path / "result.json").exists() for path in one["stages"].values())
    times = [row["time"] for row in read_jsonl(world.out / "ledger.jsonl") if row["what"] in ("plan", "test")]
    assert times == sorted(times), "the plan was recorded before the first test scoring"
    before = (world.out / "ledger.jsonl").read_bytes()
    again = world.run(world.folder / "plan.yaml")
    assert again.returncode == 0, again.stderr
    assert (world.out / "ledger.jsonl").read_bytes() == before, "whatever exists is not made again"


def test_after_the_first_test_scoring_a_changed_plan_is_refused(world: World) -> None:
    assert world.run(world.plan({"a": control(world)})).returncode == 0
    done = world.run(world.plan({"a": control(world, steps=2)}))
    assert done.returncode == 2
    assert "scored on the test items under another plan" in done.stderr


def test_a_plan_that_tests_on_validation_items_or_the_other_way_round_is_refused(world: World) -> None:
    done = world.run(world.plan({"a": control(world)}, validation=str(world.task)))
    assert done.returncode == 2
    assert "not 'validation'" in done.stderr
    assert not world.log.exists()


def test_three_kills_lose_nothing_and_make_nothing_twice(world: World) -> None:
    plan = world.plan({"a": control(world, sleep=0.3), "b": control(world, sleep=0.2, other=1)})
    for number in range(3):
        process = subprocess.Popen(world.command(plan), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda number=number: len(finished(world)) > number, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = world.run(plan)
    assert done.returncode == 0, done.stderr
    assert len(finished(world)) == len(set(finished(world))) == 8
    assert len(world.ledger("test")) == len({row["system"] for row in world.ledger("test")}) == 4
    for arm in world.made()["arms"].values():
        for one in arm["seeds"].values():
            assert len(answers(world.out / one["run"])) == 6


def finished(world: World) -> list[str]:
    return world.log.read_text().splitlines() if world.log.exists() else []


def wait_for(condition: Any, process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)


def test_what_fails_is_told_and_the_rest_is_made(world: World) -> None:
    done = world.run(world.plan({"bad": control(world, fail=True), "good": control(world)}))
    assert done.returncode == 4
    assert "first-0 FAILED: it does not want to" in done.stderr
    assert "parts of the experiment were not made" in done.stderr.splitlines()[-1]
    assert (world.out / "runs" / "good-1" / "manifest.json").exists()
    assert not (world.out / "runs" / "bad-0").exists()


def test_equal_time_stretches_the_cheaper_arm(world: World) -> None:
    """`dear` takes 4 + 6 seconds, `cheap` 4 + 2: its last stage gets three times its length."""
    arms = {
        "dear": {"stages": {"one": world.stage(steps=4), "two": world.stage(steps=6, x=1)}, "model": "control/null"},
        "cheap": {"stages": {"one": world.stage(steps=4), "two": world.stage(steps=2, x=2)}, "model": "control/null"},
    }
    done = world.run(world.plan(arms, budget="time"))
    assert done.returncode == 0, done.stderr
    found = world.made()["arms"]
    assert (found["dear"]["trial"], found["cheap"]["trial"]) == ({"two.steps": 6}, {"two.steps": 6})


def test_costs_add_up_and_what_is_not_known_stays_unknown() -> None:
    one, two = Cost(1.0, 2.0, 5.0, 30, 7, 9.0), Cost(2.0, 3.0, None, 20, 1, None)
    assert one + two == Cost(3.0, 5.0, None, 30, 8, None)


@pytest.mark.slow
def test_the_better_trial_on_validation_items_is_what_is_tested(world: World, tiny: Path) -> None:
    """A checkpoint that says nothing has no bigrams to measure; one that babbles has."""
    from safetensors.torch import load_file, save_file

    dull = world.folder / "dull"
    dull.mkdir()
    for path in tiny.iterdir():
        (dull / path.name).write_bytes(path.read_bytes())
    weights = load_file(tiny / "model.safetensors")
    weights["lm_head.weight"].zero_()
    save_file(weights, dull / "model.safetensors", metadata={"format": "pt"})
    arm = {
        "stages": {"copy": world.stage(base=str(dull))},
        "trials": [{"copy.base": str(dull)}, {"copy.base": str(tiny)}],
    }
    done = world.run(world.plan({"a": arm}, seeds=[0], tuning_seed=9))
    assert done.returncode == 0, done.stderr
    (chosen,) = world.ledger("chosen")
    assert chosen["trial"] == 1
    assert chosen["values"][0] is None
    assert chosen["values"][1] > 0
    assert world.made()["arms"]["a"]["trial"] == {"copy.base": str(tiny)}
    run = world.out / world.made()["arms"]["a"]["seeds"]["0"]["run"]
    assert len(set(answers(run).values())) > 1
    assert manifest(run)["task"]["name"] == "small"
    assert [row["system"] for row in world.ledger("test")] == ["a-0"]
