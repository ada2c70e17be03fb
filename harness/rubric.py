"""Rubrics: criteria as data, the gold score that they define, and the guideline for the people who apply them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness import paths
from harness.digest import digest, file_digest
from harness.errors import UsageError, unknown
from harness.types import Criterion, Language, Rubric

_KINDS = {"gate", "graded", "nominal", "pairwise"}
NOT_APPLICABLE = "na"
"""The label of a criterion that does not fit an item; only criteria whose rubric says when may carry it."""


@dataclass(frozen=True, slots=True)
class Guideline:
    """What raters read before they rate, in one language. A label carries `version` and `digest` of what its rater read."""

    language: Language
    version: str
    rubric: str
    rubric_version: str
    digest: str
    text: str


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


def label_ids(criterion: Criterion) -> tuple[str, ...]:
    """The labels a rater may give on a criterion, the best first where they are ordered."""
    ids = tuple(str(label["id"]) for label in criterion.labels)
    return ids if criterion.not_applicable is None else (*ids, NOT_APPLICABLE)


def guideline(language: Language, folder: Path | None = None) -> Guideline:
    """The annotator guideline in a language (of rubrics/, or of `folder`); the digest is the SHA-256 of its file.

    Raises UsageError if there is none or its front matter does not say version, language, rubric and rubric_version.
    """
    path = (folder or paths.rubrics()) / f"guideline.{language}.md"
    try:
        _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
        front = yaml.safe_load(head)
        version, rubric, rubric_version = (front[name] for name in ("version", "rubric", "rubric_version"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: there is no guideline in '{language}'.") from error
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path}: a guideline begins with YAML between two lines '---' that says version, language, rubric and "
            f"rubric_version ({error})."
        ) from error
    if front.get("language") != language:
        raise UsageError(f"{path}: says language '{front.get('language')}', its name says '{language}'.")
    return Guideline(language, str(version), str(rubric), str(rubric_version), file_digest(path), text.lstrip())
