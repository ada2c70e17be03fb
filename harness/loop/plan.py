"""What one loop is about, as a YAML file says it (docs/loop.md). Paths are relative to the working folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from harness import paths
from harness.annotate import Settings
from harness.errors import UsageError, require
from harness.loop.choose import Wanted
from harness.serve.make import PRECISIONS

WAYS = (("dpo",), ("reward", "ppo"))
"""Stages by which a round trains, in their order"""
OWN = ("base", "base_digest", "data", "output")
"""Keys of a stage's spec that the loop sets; of PPO's also `reward`"""


@dataclass(frozen=True, slots=True)
class Plan:
    """`start`: the package or checkpoint that the first round begins from. `task`: what decides, by `metric`; `guard`:
    further tasks whose items must not be trained on. `pairs`: fewer do not train. `train`: one of WAYS, in its order, each
    stage with its settings."""

    name: str
    log: Path
    start: Path
    task: str
    guard: tuple[str, ...] = ()
    metric: str = "guidance_accuracy"
    collect: Wanted = field(default_factory=Wanted)
    campaign: Settings = field(default_factory=lambda: Settings(overlap=3))
    pairs: int = 100
    train: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"dpo": {}})
    precision: str = "float32"
    batch_size: int = 16


def read(path: Path) -> Plan:
    """The plan in a YAML file. Raises UsageError naming what is wrong with it."""
    given, where = paths.read_yaml(path), str(path)
    found = _fields(Plan, given, where)
    for name, one in fields_of(Plan).items():
        if one.default is MISSING and one.default_factory is MISSING and name not in found:
            raise UsageError(f"{where}: the key '{name}' is missing.")
    paths.safe_name(str(found["name"]), "name of a loop")
    if len(found["name"]) > 40:
        raise UsageError(f"{where}: a loop's name has at most 40 characters: packages and campaigns are named for it.")
    found |= {key: Path(found[key]) for key in ("log", "start")}
    found["guard"] = tuple(found.get("guard", ()))
    found["collect"] = Wanted(**_fields(Wanted, found.get("collect", {}), f"{where}: collect"))
    found["campaign"] = Settings(**{"overlap": 3, **_fields(Settings, found.get("campaign", {}), f"{where}: campaign")})
    require("precision", found.get("precision", "float32"), list(PRECISIONS), where)
    if "train" in found:
        found["train"] = _ways(found["train"], where)
    return Plan(**found)


def _ways(given: Any, where: str) -> dict[str, dict[str, Any]]:
    """`train` of a plan, its stages in their order."""
    way = next((way for way in WAYS if isinstance(given, dict) and set(given) == set(way)), None)
    if way is None:
        raise UsageError(f"{where}: 'train' has {' or '.join(' and '.join(way) for way in WAYS)}, and their settings.")
    for stage in way:
        settings, own = given[stage], (*OWN, *(("reward",) if stage == "ppo" else ()))
        if not isinstance(settings, dict) or set(settings) & set(own):
            raise UsageError(
                f"{where}: '{stage}' maps settings of the stage to values; the loop sets {', '.join(own)}."
            )
    if "ppo" in way and "validation" not in given["ppo"]:
        raise UsageError(f"{where}: 'ppo' needs 'validation', a task whose items choose the checkpoint that is kept.")
    return {stage: given[stage] for stage in way}


def fields_of(kind: type[Any]) -> dict[str, Any]:
    return {one.name: one for one in fields(kind)}


def _fields(kind: type[Any], given: Any, where: str) -> dict[str, Any]:
    """`given`, if it is a mapping with fields of `kind`."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: must be a mapping, not {given!r}.")
    for key in given:
        require(f"key of {where}:", str(key), list(fields_of(kind)), "A loop's plan")
    return dict(given)
