"""Carrying out a plan: nodes side by side as far as they do not wait for each other, trials before tests.

Whatever exists is not made again, so the same command goes on after any kill. What another process is still making (a
stage outlives a killed experiment) is waited for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness import board, stages
from harness import task as tasks
from harness.errors import EasyDSError, EnvironmentProblem, Incomplete, UsageError
from harness.experiment import cost
from harness.experiment.graph import Graph, Node, order
from harness.experiment.ledger import Ledger, rows
from harness.experiment.plan import Arm, Plan, Settings, put
from harness.record import MANIFEST, Run, is_held, lock, write_json

MADE = "experiment.json"
POLL_S = 0.2


class Watch(Protocol):
    """Told how an experiment gets on, from several threads."""

    def planned(self, nodes: Sequence[Node]) -> None: ...
    def found(self, node: Node) -> None: ...
    def begun(self, node: Node) -> None: ...
    def event(self, node: Node, event: Mapping[str, Any]) -> None: ...
    def done(self, node: Node, seconds: float) -> None: ...
    def failed(self, node: Node, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Made:
    """The checkpoints of one arm: its settings (a trial's), and by seed its stages and its run on the test items."""

    arm: Arm
    trial: Settings
    stages: Mapping[int, Mapping[str, Node]]
    runs: Mapping[int, Node]
    drifts: Mapping[int, Node]
    """How far its policies moved, where the training did not tell."""

    @property
    def goals(self) -> list[Node]:
        return [*self.runs.values(), *self.drifts.values()]


def run(plan: Plan, given: Mapping[str, Any], folder: Path, watch: Watch, workers: int) -> dict[str, Made]:
    """Carry out `plan` (`given`: as it was read) below `folder` with up to `workers` processes side by side.

    Raises Incomplete if a part failed, after everything that does not need it is done; UsageError if the folder's test
    items were scored under another plan; EnvironmentProblem if another process carries it out.
    """
    _refuse_other_splits(plan)
    folder.mkdir(parents=True, exist_ok=True)
    holder = lock(folder / ".lock", str(folder))
    ledger = Ledger(folder)
    try:
        ledger.plan(plan, given)
        graph = Graph(plan, folder)
        work = Work(graph, ledger, watch, workers)
        watch.planned(order([*(node for nodes in tried(graph).values() for node in nodes), *likely(graph)]))
        chosen = choose(work)
        made = {arm.name: _made(graph, arm, settled(work, arm, chosen)) for arm in plan.arms}
        write_json(folder / MADE, as_json(graph, made))
        work.make([node for one in made.values() for node in one.goals])
        return made
    finally:
        ledger.close()
        os.close(holder)


def _refuse_other_splits(plan: Plan) -> None:
    for name, wanted in ((plan.validation, "validation"), (plan.task, "test")):
        for item in tasks.load(name).items:
            if not item.split.startswith(wanted):
                raise UsageError(
                    f"plan {plan.name}: task {name} holds items of the split '{item.split}', not '{wanted}'."
                )


def tried(graph: Graph) -> dict[str, list[Node]]:
    """The validation runs of the trials of each arm that has several, in the plan's order."""
    found: dict[str, list[Node]] = {}
    for arm in graph.plan.arms:
        if len(arm.trials) > 1:
            made = [graph.stages(arm, trial, graph.plan.tuning_seed) for trial in arm.trials]
            labels = [f"{arm.name}-trial{number}" for number in range(len(made))]
            found[arm.name] = [graph.benchmark("validation", arm, one, label) for one, label in zip(made, labels)]
    return found


def likely(graph: Graph) -> list[Node]:
    """The goals if every arm's first trial is chosen: as many as there will be, whichever is."""
    plan = graph.plan
    sources = {arm.name: plan.arm(arm.tuned_as or arm.name) for arm in plan.arms}
    trials = {name: source.trials[0] if source.trials else {} for name, source in sources.items()}
    return [node for arm in plan.arms for node in _made(graph, arm, trials[arm.name]).goals]


def choose(work: Work) -> dict[str, int]:
    """The trial of each arm that has several: the best by the plan's metric on the validation items. Recorded.

    Raises UsageError if no trial of an arm measured that metric.
    """
    plan, graph = work.graph.plan, work.graph
    runs = tried(graph)
    work.make([node for nodes in runs.values() for node in nodes])
    chosen: dict[str, int] = {}
    known = {row["arm"]: row for row in rows(graph.folder, "chosen")}
    for name, nodes in runs.items():
        values = [_value(plan, Run(node.path)) for node in nodes]
        measured = [place for place, value in enumerate(values) if value is not None]
        if not measured:
            raise UsageError(
                f"the validation task {plan.validation} does not measure '{plan.select}' of any trial of '{name}' "
                "('select' of the plan)."
            )
        chosen[name] = max(measured, key=lambda place: values[place] or 0.0)
        facts = {
            "arm": name,
            "trial": chosen[name],
            "values": values,
            "trials": [dict(t) for t in plan.arm(name).trials],
        }
        if {key: known.get(name, {}).get(key) for key in facts} != facts:
            work.ledger.append("chosen", **facts)
    return chosen


def _value(plan: Plan, run: Run) -> float | None:
    """The plan's metric of a validation run; None if it could not be measured (a model that says nothing)."""
    (row,) = board.build(tasks.load(plan.validation), [run]).rows
    return row.metrics[plan.select].value if plan.select in row.metrics else None


def settled(work: Work, arm: Arm, chosen: Mapping[str, int]) -> dict[str, Any]:
    """The settings of an arm for all its seeds: the chosen trial's, then stretched to the plan's budget."""
    plan = work.graph.plan
    source = plan.arm(arm.tuned_as or arm.name)
    trial = dict(source.trials[chosen.get(source.name, 0)]) if source.trials else {}
    ranked = [one for one in plan.arms if one.role == "ranked" and one.stages]
    if plan.budget == "data" or source not in ranked:
        return trial
    spent = {}
    for one in ranked:
        own = dict(one.trials[chosen.get(one.name, 0)]) if one.trials else {}
        nodes = work.graph.stages(one, own, plan.tuning_seed)
        work.make(list(nodes.values()))
        spent[one.name] = [_spent(plan, node) for node in nodes.values()]
    most = max(sum(values) for values in spent.values())
    *before, last = spent[source.name]
    return trial | _stretched(source, trial, (most - sum(before)) / last)


def _spent(plan: Plan, node: Node) -> float:
    found = cost.of(node.path)
    value = found.flops if plan.budget == "flops" else found.cpu_seconds
    if not value:
        raise UsageError(f"stage {node.name} does not tell its {plan.budget}, so budgets cannot be made equal by it.")
    return value


def _stretched(arm: Arm, trial: Settings, factor: float) -> dict[str, int]:
    """The length of the arm's last stage times `factor`."""
    name, settings = list(arm.stages.items())[-1]
    key = "ppo.iterations" if settings["stage"] == "ppo" else "steps"
    whole = json.loads(json.dumps(settings))
    for place, value in trial.items():
        if place.startswith(f"{name}."):
            put(whole, place.partition(".")[2], value)
    length = whole
    for part in key.split("."):
        if part not in length:
            raise UsageError(
                f"arm '{arm.name}': stage '{name}' needs '{key}', so that its length can be set by the budget."
            )
        length = length[part]
    return {f"{name}.{key}": max(1, round(length * factor))}  # type: ignore[operator]


def _made(graph: Graph, arm: Arm, trial: Settings) -> Made:
    found = {seed: graph.stages(arm, trial, seed) for seed in graph.plan.seeds_of(arm)}
    labels = {seed: f"{arm.name}-{seed}" if arm.stages else arm.name for seed in found}
    runs = {seed: graph.benchmark("test", arm, stages, labels[seed]) for seed, stages in found.items()}
    drifts = {seed: drift for seed, stages in found.items() if (drift := graph.drift(arm, stages, seed))}
    return Made(arm, trial, found, runs, drifts)


def as_json(graph: Graph, made: Mapping[str, Made]) -> dict[str, Any]:
    """Where everything of an experiment lies, for those who read it; paths are relative to its folder."""
    plan = graph.plan

    def place(node: Node) -> str:
        return os.path.relpath(node.path, graph.folder)

    arms = {
        name: {
            "role": one.arm.role,
            "trial": dict(one.trial),
            "model": one.arm.model,
            "seeds": {
                str(seed): {
                    "system": run.name,
                    "run": place(run),
                    "stages": {stage: place(node) for stage, node in one.stages[seed].items()},
                    "drift": place(one.drifts[seed]) if seed in one.drifts else None,
                }
                for seed, run in one.runs.items()
            },
        }
        for name, one in made.items()
    }
    return {
        "name": plan.name,
        "plan": plan.digest,
        "task": plan.task,
        "validation": plan.validation,
        "select": plan.select,
        "budget": plan.budget,
        "shared": {name: place(graph.shared(name)) for name in plan.shared},
        "data": {name: place(graph.shared(name)) for name in plan.data},
        "arms": arms,
    }


class Work:
    """Making nodes, several at a time."""

    def __init__(self, graph: Graph, ledger: Ledger, watch: Watch, workers: int) -> None:
        self.graph, self.ledger, self.watch, self.workers = graph, ledger, watch, workers
        self._stop = threading.Event()

    def make(self, goals: Sequence[Node]) -> None:
        """Make the goals and all they need. Raises Incomplete naming what failed, once nothing else can be made."""
        done: set[Path] = set()
        waiting = []
        for node in order(goals):
            if is_made(node):
                done.add(node.path)
                self.watch.found(node)
            else:
                waiting.append(node)
        failed: dict[Path, str] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            running: dict[Future[None], Node] = {}
            try:
                while waiting or running:
                    for node in [one for one in waiting if all(need.path in done for need in one.needs)]:
                        if len(running) < self.workers:
                            waiting.remove(node)
                            running[pool.submit(self._make, node)] = node
                    waiting = [
                        one
                        for one in waiting
                        if not any(need.path in failed for need in one.needs) or self._lost(one, failed)
                    ]
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._ended(running.pop(future), future, done, failed)
            except BaseException:
                self._stop.set()
                raise
        if failed:
            first = next(iter(failed.values()))
            raise Incomplete(
                f"{len(failed)} parts of the experiment were not made; the first: {first} The same command goes on."
            )

    def _lost(self, node: Node, failed: dict[Path, str]) -> bool:
        """False, after noting that a node cannot be made because what it needs could not."""
        failed[node.path] = f"{node.name} needs what failed."
        return False

    def _ended(self, node: Node, future: Future[None], done: set[Path], failed: dict[Path, str]) -> None:
        try:
            future.result()
        except EasyDSError as error:
            failed[node.path] = f"{node.name}: {error}"
            self.watch.failed(node, str(error))
        else:
            done.add(node.path)

    def _make(self, node: Node) -> None:
        started = time.perf_counter()
        self.watch.begun(node)
        if node.kind == "stage":
            spec = {key: value for key, value in node.settings.items() if key != "stage"}
            self._train(node, {**spec, "output": str(node.path)})
        else:
            if node.kind == "test":
                self.ledger.test(node.name)
            self._wait_for_others(node)
            self._in_a_process(node)
        seconds = time.perf_counter() - started
        self.ledger.append("made", kind=node.kind, name=node.name, path=str(node.path), seconds=round(seconds, 1))
        self.watch.done(node, seconds)

    def _train(self, node: Node, spec: Mapping[str, Any]) -> None:
        stages.run_when_free(
            stages.Order(node.settings["stage"], spec), lambda event: self.watch.event(node, event), self._stop.is_set
        )

    def _in_a_process(self, node: Node) -> None:
        """Make data or a run. One thread each, so that numbers do not depend on how many are made side by side."""
        node.path.parent.mkdir(parents=True, exist_ok=True)
        given = [node.kind, json.dumps(dict(node.settings)), str(node.path), self.graph.plan.task]
        command = [sys.executable, "-m", "harness.experiment.part", *given]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            try:
                while process.poll() is None:
                    if self._stop.is_set():
                        raise KeyboardInterrupt
                    time.sleep(POLL_S)
            except BaseException:
                process.terminate()
                process.wait()
                raise
            if process.returncode:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                raise EnvironmentProblem(lines[-1] if lines else f"it ended with exit code {process.returncode}.")

    def _wait_for_others(self, node: Node) -> None:
        """Wait until no process left over from a killed experiment writes this run."""
        while is_held(node.path / ".lock") and not self._stop.is_set():
            time.sleep(POLL_S)


def is_made(node: Node) -> bool:
    """Whether a node exists whole."""
    if node.kind == "stage":
        return (node.path / stages.RESULT).exists()
    if node.kind == "data":
        return node.path.exists()
    return (node.path / MANIFEST).exists() and Run(node.path).manifest["status"] == "complete"


def default_workers() -> int:
    """Processes side by side: one for each processor core that this process may use."""
    return len(os.sched_getaffinity(0))
