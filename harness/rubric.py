"""Rubrics: criteria as data, and the gold score that they define."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import paths
from harness.digest import digest
from harness.errors import UsageError, unknown
from harness.types import Criterion, Rubric

_KINDS = {"gate", "graded", "nominal", "pairwise"}


def load(name: str) -> Rubric:
    """The rubric `name` of rubrics/, or the YAML file at that path. Raises UsageError for what is no rubric."""
    if not isinstance(name, str):
        raise TypeError("'rubric' must be a name or a path")
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        path = paths.rubrics() / f"{paths.safe_name(name, 'rubric')}.yaml"
        if not path.exists():
            raise unknown("rubric", name, [p.stem for p in paths.rubrics().glob("*.yaml")], "The folder rubrics/")
    data = paths.read_yaml(path)
    try:
        criteria = {row["id"]: _criterion(row) for row in data["criteria"]}
        return Rubric(data["name"], str(data["version"]), criteria, data["gold"], digest(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: the rubric lacks or misshapes {error}. See rubrics/guidance.yaml.") from error


def _criterion(row: Mapping[str, Any]) -> Criterion:
    if row["kind"] not in _KINDS:
        raise TypeError(f"kind '{row['kind']}' of criterion {row['id']} (one of {', '.join(sorted(_KINDS))})")
    return Criterion(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        definition=row["definition"],
        labels=tuple(row["labels"]),
        not_applicable=row["not_applicable"],
        sources=tuple(row["sources"]),
    )


def gold_score(rubric: Rubric, values: Mapping[str, float | None]) -> float | None:
    """Gold score of one response in [0, 1]: 0 if a gate fails, else the mean of the graded criteria divided by 2.

    `values` maps criterion to value; a criterion that is absent was not applicable and leaves the mean, one that is
    None was not scored. None is returned when the score cannot be known: a gate or a graded criterion is unscored
    (and no gate failed), or no graded criterion applies.
    """
    gates = [values.get(gate) for gate in rubric.gold["gates"]]
    if 0 in gates:
        return 0.0
    graded = [values[criterion] for criterion in rubric.gold["graded"] if criterion in values]
    if None in gates or None in graded or not graded:
        return None
    return sum(value for value in graded if value is not None) / len(graded) / 2
