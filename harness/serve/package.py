"""What is served: a checkpoint folder and, in it, `package.json` with what the gateway must know of it.

    {"alias": "easyds-7b-int8", "digest": "<weights_digest>", "precision": "int8", "task": "ds-trace",
     "system": {"zh": "…", "en": "…"}, "hint": {"zh": "〔提示等级 {level}〕", "en": "[hint level {level}]"},
     "max_new_tokens": 160}

`hint` is the line that the task puts before a student's turn; without it the model is not told the hint level. Other
fields are read over. A checkpoint without `package.json` is served as one that was trained on ds-trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import EnvironmentProblem, UsageError
from harness.models.checkpoint import folders, read_config
from harness.models.server import PACKAGE, weights_digest
from harness.simulator.language import words

LANGUAGES = {"zh", "en"}
TASK = "ds-trace"


@dataclass(frozen=True, slots=True)
class Package:
    """`alias`: the name that clients know; `digest`: of the weights; `task`: whose prompts these are."""

    alias: str
    digest: str
    precision: str
    task: str
    system: Mapping[str, str]
    hint: Mapping[str, str] | None = None
    max_new_tokens: int = 256


def read(folder: Path, weighed: bool = True) -> Package:
    """The package in `folder`. With `weighed` its weights are hashed in full and must be those that were packaged.

    Raises UsageError for fields that are missing or of the wrong kind, EnvironmentProblem for other weights or none.
    """
    if not folder.is_dir():
        raise EnvironmentProblem(f"{folder} does not exist or is no folder. Give a checkpoint, or what was packaged.")
    path = folder / PACKAGE
    name = str(folder.resolve())
    if not path.exists():
        return _plain(folder.resolve(), weights_digest(name))
    package = parse(_object(path), str(path))
    if weighed and weights_digest(name) != package.digest:
        raise EnvironmentProblem(f"{folder} does not hold the weights that {path} names. Package the checkpoint again.")
    return package


def parse(row: Mapping[str, Any], where: str) -> Package:
    """The package that an object says. Raises UsageError, beginning with `where`, for what is none."""
    for name in ("alias", "digest", "precision", "task"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise UsageError(f"{where}: '{name}' must be a text.")
    paths.safe_name(row["alias"], f"{where}: alias")
    _by_language(row.get("system"), where, "system")
    if row.get("hint") is not None:
        _by_language(row["hint"], where, "hint")
        if not all("{level}" in line for line in row["hint"].values()):
            raise UsageError(f"{where}: each 'hint' must hold {{level}}, where the hint level stands.")
    limit = row.get("max_new_tokens", 256)
    if type(limit) is not int or limit < 1:
        raise UsageError(f"{where}: 'max_new_tokens' must be a whole number of at least 1.")
    return Package(**{field.name: row[field.name] for field in fields(Package) if field.name in row})


def _by_language(value: Any, where: str, name: str) -> None:
    if (
        not isinstance(value, dict)
        or set(value) != LANGUAGES
        or not all(isinstance(one, str) for one in value.values())
    ):
        raise UsageError(f"{where}: '{name}' must have a text for zh and one for en.")


def _object(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(row, dict):
        raise UsageError(f"{path} is no JSON object.")
    return row


def _plain(folder: Path, digest: str) -> Package:
    """A checkpoint that nobody packaged, as one that was trained on ds-trace."""
    task = paths.read_yaml(paths.datasets() / TASK / "task.yaml")
    config = read_config(folders(str(folder)).base / "config.json")
    return Package(
        alias=paths.slug(folder.name),
        digest=digest,
        precision=str(config.get("dtype") or config.get("torch_dtype") or "unknown"),
        task=TASK,
        system=task["system"],
        hint=words("common")["hint_level"],
        max_new_tokens=task["decoding"]["max_new_tokens"],
    )
