"""The plan of an experiment: which candidates are trained, on what, by how many seeds, and what decides between settings.

A candidate (an *arm*) is a recipe of stages as data. `$name` in a stage's settings stands for something that the plan
makes before it: the checkpoint of a stage of the same arm, of a shared stage, or a file of `data`. docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, get_args

from harness import paths
from harness.digest import digest
from harness.errors import UsageError, require, unknown

Role = Literal["ranked", "control", "oracle"]
Budget = Literal["data", "flops", "time"]
Settings = Mapping[str, Any]
GAPS = ("verdict", "reward_model", "label_noise", "optimiser")
"""verdict: the question. reward_model: gold reward less the reward model. label_noise: gold labels less noisy ones.
optimiser: the same gold score by two methods."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One candidate. Each of `stages` is `{"stage": NAME or ./program, setting: value, ...}`, in order of training."""

    name: str
    role: Role = "ranked"
    """ranked; control: told beside, ranked with a mark of its own; oracle: trained on the gold score, never ranked"""
    stages: Mapping[str, Settings] = field(default_factory=dict)
    trials: tuple[Settings, ...] = ()
    """Settings to choose from on the validation task, each `{"STAGE.KEY": value}`."""
    tuned_as: str | None = None
    """The arm whose choice this one takes over."""
    seeds: int | None = None
    """By how many of the plan's seeds it is trained, if not by all."""
    model: str = "hf/$last"
    """What is benchmarked: `provider/$STAGE`; `$last` is the arm's last stage."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `easyds experiment run` carries out. `digest` identifies it: a plan that changed is another plan."""

    name: str
    task: str
    """Every checkpoint answers it once, after everything was chosen."""
    validation: str
    """Chooses among trials; its items are of the validation split."""
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    """Files by name: a path, or how they are made (harness.experiment.data)."""
    shared: Mapping[str, Settings] = field(default_factory=dict)
    """Stages that all arms begin from, trained once, by seed 0."""
    select: str = "gold_score"
    """The metric of the validation board that chooses among trials."""
    tuning_seed: int = 100
    """Seed of the trials: none of `seeds`, so that no checkpoint of the test was chosen for itself."""
    budget: Budget = "data"
    """What ranked arms have in common: the data; or the training FLOPs or processor time of the dearest one."""
    batch_size: int = 16
    """Rows generated together when a checkpoint is benchmarked."""
    gaps: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Differences that the report names: GAPS, each the arm that is ahead and the arm it is held against."""
    digest: str = ""

    def arm(self, name: str) -> Arm:
        return next(one for one in self.arms if one.name == name)

    def seeds_of(self, arm: Arm) -> tuple[int, ...]:
        """The seeds of an arm; only the first for one without stages, which no seed of the plan has made."""
        return self.seeds[: arm.seeds] if arm.stages else self.seeds[:1]


def read(path: Path) -> Plan:
    """The plan in a YAML file. Raises UsageError naming what is wrong with it."""
    given, where = paths.read_yaml(path), str(path)
    found = _fields(Plan, given, where)
    paths.safe_name(found["name"], "experiment name")
    require("budget", found.get("budget", "data"), list(get_args(Budget)), where)
    if not isinstance(found["arms"], dict) or not found["arms"]:
        raise UsageError(f"{where}: 'arms' must map the name of each candidate to its recipe.")
    seeds = found["seeds"]
    if not isinstance(seeds, list) or not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"{where}: 'seeds' must be a list of different whole numbers.")
    found["seeds"] = tuple(seeds)
    found["arms"] = tuple(_arm(name, row, f"{where}: arm '{name}'") for name, row in found["arms"].items())
    plan = Plan(**found, digest=digest(given))
    _check(plan, where)
    return plan


def _fields(kind: type[Any], given: Any, where: str) -> dict[str, Any]:
    """`given`, if it is a mapping with fields of `kind`, none of the needed ones missing."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: must be a mapping, not {given!r}.")
    known = {one.name: one for one in fields(kind) if one.name != "digest"}
    for key in given:
        require(f"key of {where}:", str(key), list(known), f"A {kind.__name__.lower()}")
    for name, one in known.items():
        if one.default is MISSING and one.default_factory is MISSING and name not in given:
            raise UsageError(f"{where}: the key '{name}' is missing.")
    return dict(given)


def _arm(name: str, row: Any, where: str) -> Arm:
    found = _fields(Arm, {**(row or {}), "name": paths.safe_name(str(name), "name of an arm")}, where)
    require("role", found.get("role", "ranked"), list(get_args(Role)), where)
    found["trials"] = tuple(found.get("trials", ()))
    arm = Arm(**found)
    for stage, settings in arm.stages.items():
        paths.safe_name(str(stage), "name of a stage")
        if not isinstance(settings, dict) or not isinstance(settings.get("stage"), str):
            raise UsageError(f"{where}: stage '{stage}' must be a mapping with 'stage': what is run, and its settings.")
        if taken := {"seed", "output"} & set(settings):
            raise UsageError(f"{where}: stage '{stage}' must not set '{min(taken)}': the experiment does.")
    for trial in arm.trials:
        for key in trial:
            require(f"stage in the trials of {where}:", key.partition(".")[0], list(arm.stages), "The arm")
    return arm


def _check(plan: Plan, where: str) -> None:
    """References, the same number of trials for every ranked arm, and a tuning seed of its own."""
    if plan.tuning_seed in plan.seeds:
        raise UsageError(f"{where}: tuning_seed {plan.tuning_seed} is one of the seeds. Choose another.")
    known = {*plan.data, *plan.shared}
    for name, settings in [*plan.data.items(), *plan.shared.items()]:
        _require_known(settings, known, f"{where}: '{name}'")
    try:
        needs = {name: set(references(how)) for name, how in [*plan.data.items(), *plan.shared.items()]}
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise UsageError(f"{where}: these need each other: {' -> '.join(error.args[1])}.") from error
    for arm in plan.arms:
        own = {*known}
        for name, settings in arm.stages.items():
            _require_known(settings, own, f"{where}: arm '{arm.name}', stage '{name}'")
            own.add(name)
        _require_known({"model": arm.model}, {*own, "last"}, f"{where}: arm '{arm.name}'")
        if "$last" in arm.model and not arm.stages:
            raise UsageError(f"{where}: arm '{arm.name}' has no stages: give it 'model', such as hf/$sft.")
        if arm.tuned_as is not None:
            require(
                f"'tuned_as' of {where}: arm '{arm.name}'", arm.tuned_as, [one.name for one in plan.arms], "The plan"
            )
            if arm.trials or plan.arm(arm.tuned_as).tuned_as:
                raise UsageError(f"{where}: arm '{arm.name}' takes over a choice, so it has no trials, nor a chain.")
    for name, pair in plan.gaps.items():
        require(f"gap of {where}:", name, list(GAPS), "A plan")
        if len(pair) != 2 or not {*pair} <= {one.name for one in plan.arms}:
            raise UsageError(f"{where}: gap '{name}' must name two arms of the plan, not {pair}.")
    counts = {arm.name: len(arm.trials) for arm in plan.arms if arm.role == "ranked" and arm.stages}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(f"{where}: ranked arms must have the same number of trials ({told}).")


def _require_known(settings: Any, known: set[str], where: str) -> None:
    for name in references(settings):
        if name not in known:
            raise unknown(f"reference in {where}:", f"${name}", [f"${one}" for one in known], "Up to there the plan")


def references(value: Any) -> Iterator[str]:
    """Names that `$name` stands for anywhere in a value: a whole text, or the last part of a model's name."""
    if isinstance(value, str):
        head, dollar, name = value.partition("$")
        if dollar and (not head or head.endswith("/")):
            yield name
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from references(one)


def resolved(value: Any, known: Mapping[str, str]) -> Any:
    """A value with what stands in `known` in place of every `$name`."""
    if isinstance(value, str):
        head, dollar, name = value.partition("$")
        return head + known[name] if dollar and (not head or head.endswith("/")) else value
    if isinstance(value, Mapping):
        return {key: resolved(one, known) for key, one in value.items()}
    return [resolved(one, known) for one in value] if isinstance(value, list | tuple) else value


def with_trial(arm: Arm, trial: Settings) -> dict[str, dict[str, Any]]:
    """The arm's stages with the settings of a trial in place of its own."""
    stages = {name: {**settings} for name, settings in arm.stages.items()}
    for place, value in trial.items():
        stage, _, key = place.partition(".")
        put(stages[stage], key, value)
    return stages


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b` in nested settings; what is not touched is shared with what was there."""
    head, dot, rest = key.partition(".")
    if not dot:
        settings[head] = value
        return
    settings[head] = {**settings.get(head, {})}
    put(settings[head], rest, value)
