"""Whether a judge may carry the headline: measured against people, and not moved by what replies say to it.

What `easyds judge calibrate` and `easyds judge check` found of a source lies beside the runs, in `judges/NAME.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.board.table import Table, is_judge
from harness.errors import UsageError
from harness.paths import slug
from harness.record import write_json
from harness.types import Task

FOLDER = "judges"
SUBSTANTIAL = 0.61
"""Kappa from which agreement is called substantial (Landis & Koch 1977)"""
NEAR = 0.05
"""How far below people's agreement among themselves a judge's agreement with them may lie"""


def path(root: Path, source: str) -> Path:
    """Where what is known of a source lies, beside the runs of `root`."""
    return root / FOLDER / f"{slug(source.replace('@', '-'), 60)}.json"


def known(root: Path, source: str) -> dict[str, Any]:
    """What calibration and check found of a source; empty if neither was made. UsageError for a file of another form."""
    file = path(root, source)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read ({error}). Make it again: easyds judge calibrate.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file} is no JSON object. Make it again: easyds judge calibrate.")
    return found


def remember(root: Path, source: str, **parts: Any) -> Path:
    """Put `parts` in place of what was known of them."""
    file = path(root, source)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {**known(root, source), "source": source, **parts})
    return file


def carries(agreement: Mapping[str, Any]) -> bool:
    """Whether one criterion's agreement in one language is enough: kappa at least 0.61, or (weighted, as people's own
    is where labels are graded) near that among people."""
    kappa, human = agreement.get("kappa"), agreement.get("human")
    if kappa is None:
        return False
    return bool(kappa >= SUBSTANTIAL or (human is not None and agreement.get("weighted", kappa) >= human - NEAR))


def objection(root: Path, table: Table, task: Task) -> str:
    """Why the run's headline may not be ranked, if a judge gave it; "" if it may."""
    given: dict[str, list[str]] = {}
    for name in (*task.rubric.gold["gates"], "D3"):
        if is_judge(table.sources.get(name, "")):
            given.setdefault(table.sources[name], []).append(name)
    languages = sorted({item.language for item in task.items})
    for source, criteria in given.items():
        if problem := _unproven(known(root, source), criteria, languages):
            return f"judge not validated: {source} {problem}"
    return ""


def _unproven(found: Mapping[str, Any], criteria: Iterable[str], languages: Iterable[str]) -> str:
    rows = {(row["criterion"], row["language"]): row for row in found.get("agreement", ())}
    for criterion in criteria:
        for language in languages:
            row = rows.get((criterion, language))
            if row is None:
                return f"was not measured against people on {criterion} ({language}): easyds judge calibrate"
            if not carries(row):
                return f"agrees too little with people on {criterion} ({language}): kappa {row['kappa']}"
    check = found.get("check")
    if check is None:
        return "was not attacked: easyds judge check"
    return "" if check["passed"] else "is moved by what replies say to it (easyds judge check)"
