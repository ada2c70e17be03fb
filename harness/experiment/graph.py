"""What a plan makes, as nodes that know what they need. A node lies at a path named for all that it depends on.

So whatever exists is right: a plan may be changed, killed and started again, arms share what is the same (a reward model
of one seed), and nothing is ever made over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.digest import digest
from harness.experiment.plan import Arm, Plan, Settings, references, resolved, with_trial
from harness.scorers.checks import TraceChecks

Kind = Literal["data", "stage", "test", "validation"]


@dataclass(frozen=True, slots=True)
class Node:
    """A file of data, a trained stage, or a run. `settings` are resolved: paths in place of `$name`."""

    kind: Kind
    name: str
    """As people read it: `reward-0`, `pairs`; of a run, the system that it is of."""
    path: Path
    settings: Mapping[str, Any]
    needs: tuple[Node, ...] = ()

    @property
    def made(self) -> str:
        """What others get for `$name`: the file, or the stage's checkpoint."""
        return str(self.path / "checkpoint" if self.kind == "stage" else self.path)


class Graph:
    """The nodes of a plan below a folder, each made once however many arms need it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder.resolve()
        self._shared: dict[str, Node] = {}
        for name, how in plan.data.items():
            if isinstance(how, str):
                self._shared[name] = Node("data", name, Path(how).resolve(), {})
        for name, settings in plan.shared.items():
            self._shared[name] = self._stage(name, settings, self._shared, 0)

    def _named(self, known: dict[str, Node], name: str) -> Node:
        if name not in known:  # data that are made: some of them by a shared stage
            known[name] = self._shared[name] = self._data(name)
        return known[name]

    def _data(self, name: str) -> Node:
        how = self.plan.data[name]
        needs = {one: self._named(self._shared, one) for one in references(how)}
        return self._node("data", name, self.folder / "data" / name, how, needs, ".jsonl")

    def _stage(self, name: str, settings: Settings, known: dict[str, Node], seed: int) -> Node:
        needs = {one: self._named(known, one) for one in references(settings)}
        label = f"{name}-{seed}"
        return self._node("stage", label, self.folder / "stages" / label, {**settings, "seed": seed}, needs)

    def _node(
        self, kind: Kind, name: str, base: Path, settings: Settings, needs: Mapping[str, Node], end: str = ""
    ) -> Node:
        """A node whose path ends in the digest of its settings, of the paths of what it needs, and of the checks' version:
        gold scores label pairs and reward policies."""
        found = resolved(settings, {one: node.made for one, node in needs.items()})
        key = digest([TraceChecks.source, resolved(settings, {one: node.path.name for one, node in needs.items()})])[:8]
        return Node(kind, name, base.with_name(f"{base.name}-{key}{end}"), found, tuple(needs.values()))

    def stages(self, arm: Arm, trial: Settings, seed: int) -> dict[str, Node]:
        """The trained stages of an arm with the settings of a trial, by one seed, by name."""
        known = dict(self._shared)
        found = {}
        for name, settings in with_trial(arm, trial).items():
            found[name] = known[name] = self._stage(name, settings, known, seed)
        return found

    def shared(self, name: str) -> Node:
        """A stage or a file of data that the plan makes for all arms."""
        return self._named(self._shared, name)

    def drift(self, arm: Arm, stages: Mapping[str, Node], seed: int) -> Node | None:
        """How far the last stage's policy moved, measured on validation items, where its training does not tell."""
        last = list(stages.values())[-1] if stages else None
        if last is None or last.settings["stage"] not in DRIFTING:
            return None
        settings = {"stage": "drift", "base": last.settings["base"], "policy": last.made}
        key = digest(last.path.name)[:8]
        path = self.folder / "stages" / f"{arm.name}-drift-{key}"
        settings |= {"validation": self.plan.validation, "seed": seed}
        return Node("stage", f"{arm.name}-{seed}-drift", path, settings, (last,))

    def benchmark(self, kind: Kind, arm: Arm, stages: Mapping[str, Node], label: str) -> Node:
        """The run of an arm's checkpoint on the task (`test`) or on the validation task; `label` names its system."""
        known = {**self._shared, **stages}
        if stages:
            known["last"] = list(stages.values())[-1]
        named = {one: self._named(known, one) for one in references(arm.model)}
        model = resolved(arm.model, {one: node.made for one, node in named.items()})
        task = self.plan.task if kind == "test" else self.plan.validation
        settings = {"model": model, "task": task, "system": label, "batch_size": self.plan.batch_size}
        needs = tuple({node.path: node for node in (*stages.values(), *named.values())}.values())
        folder = self.folder / RUNS[kind]
        if kind == "test":  # after the first test scoring a plan does not change, so a name is enough
            return Node(kind, label, folder / label, settings, needs)
        key = digest([arm.model, *(node.path.name for node in needs)])[:8]
        return Node(kind, label, folder / f"{label}-{key}", settings, needs)


DRIFTING = ("dpo", "rloo")
"""Stages that leave an adapter and do not measure the KL to the reference on validation items as they go."""

RUNS: Mapping[str, str] = {"test": "runs", "validation": "validation"}
"""Where the runs lie below an experiment's folder."""


def order(goals: Sequence[Node]) -> list[Node]:
    """All nodes that the goals need and the goals, each after what it needs and once."""
    found: dict[Path, Node] = {}

    def visit(node: Node) -> None:
        for one in node.needs:
            visit(one)
        found.setdefault(node.path, node)

    for goal in goals:
        visit(goal)
    return list(found.values())
