"""Scorers by name. A scorer is imported only when a task or a command asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from harness.errors import UsageError, unknown
from harness.models import resolve
from harness.types import Scorer

SCORERS = {
    "trace": "harness.scorers.checks:TraceChecks",
    "authored": "harness.scorers.authored:Authored",
    "rouge_l": "harness.scorers.reference:rouge_l_scorer",
    "chrf": "harness.scorers.reference:chrf_scorer",
    "bleu": "harness.scorers.reference:bleu_scorer",
    "diversity": "harness.scorers.diversity:Diversity",
    "perplexity": "harness.scorers.fluency:Perplexity",
    "judge": "harness.scorers.judge:Judge",
    "learned": "harness.scorers.learned:LearnedScorer",
}


def open_scorer(spec: Mapping[str, Any]) -> Scorer:
    """The scorer `spec["name"]` with the other entries of `spec` as its options. Raises UsageError if it takes none such."""
    table = {**SCORERS, **{point.name: point.value for point in entry_points(group="easyds.scorers")}}
    name = spec["name"]
    if name not in table:
        raise unknown("scorer", name, list(table), "A task's 'scorers' and --scorer")
    options = {key: value for key, value in spec.items() if key != "name"}
    try:
        found: Scorer = resolve(table[name])(**options)
    except TypeError as error:
        raise UsageError(f"scorer '{name}': {error}.") from error
    return found


def parse(text: str) -> dict[str, Any]:
    """A scorer on the command line: `name` or `name:option=value,option=value`."""
    name, _, rest = text.partition(":")
    spec: dict[str, Any] = {"name": name}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"--scorer '{text}': '{part}' is not option=value.")
        spec[key] = value
    return spec
