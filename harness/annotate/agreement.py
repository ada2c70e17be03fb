"""How far annotators agree, by criterion and language; and what to make of a coefficient that is not defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal

from harness.annotate import people, votes
from harness.annotate.answers import SATISFACTION
from harness.annotate.campaigns import load
from harness.annotate.store import Store
from harness.annotate.votes import Vote
from harness.stats.agreement import Agreement, Level, cohen_kappa, fleiss_kappa, krippendorff_alpha
from harness.types import Criterion, Rubric

State = Literal["defined", "no_votes", "one_annotator", "no_overlap", "no_variation", "too_few"]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """Agreement on one criterion in one language ("": all). `state` says why `alpha` is None, if it is.

    no_votes; one_annotator: it needs two; no_overlap: no unit has two labels; no_variation: all labels are one, so that
    nothing can be said of agreement beyond chance; too_few: for anything else. `kappa` is Cohen's (of exactly two
    people; quadratic for ordered labels) or Fleiss's (`kappa_name`), over units with a label of each, None otherwise.
    """

    criterion: str
    language: str
    state: State
    alpha: Agreement
    kappa: Agreement | None
    kappa_name: str
    raters: int
    labels: int
    share: float | None
    """Of pairs of labels on one unit, how many are the same"""


def agreement(store: Store, lead: str, campaign: str, resamples: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """For each criterion (satisfaction, or the verdict), over all languages and in each. For leads.

    Alpha is nominal for gates, labels without numbers and verdicts, ordinal for the rest; "does not apply" is a label
    that is missing. Intervals: bootstrap over the items' clusters.
    """
    with store.read() as tx:
        people.require(tx, lead, "lead", "agreement")
        found = load(tx, campaign)
        counted = [vote for vote in votes.read(tx, campaign) if vote.counted]
    questions = _verdicts() if found.kind == "compare" else _criteria(found.rubric)
    languages = sorted({vote.unit.item.language for vote in counted})
    rows = []
    for name, (level, label) in questions.items():
        for language in ("", *languages) if len(languages) > 1 else ("",):
            chosen = [vote for vote in counted if language in ("", vote.unit.item.language)]
            rows.append(_row(name, language, chosen, level, label, resamples, seed))
    return rows


Label = Callable[[Vote], Any]


def _verdicts() -> dict[str, tuple[Level, Label]]:
    return {"preference": ("nominal", lambda vote: vote.answers["verdict"])}


def _criteria(rubric: Rubric) -> dict[str, tuple[Level, Label]]:
    found: dict[str, tuple[Level, Label]] = {}
    for name, criterion in rubric.criteria.items():
        if criterion.kind == "graded":
            found[name] = "ordinal", partial(_graded, criterion)
        elif criterion.kind != "pairwise":
            found[name] = "nominal", partial(_given, name)
    found[SATISFACTION] = "ordinal", lambda vote: vote.answers["satisfaction"]
    return found


def _graded(criterion: Criterion, vote: Vote) -> float | None:
    return votes.value_of(criterion, vote.answers["labels"][criterion.id])


def _given(name: str, vote: Vote) -> str:
    return str(vote.answers["labels"][name])


def _row(
    name: str, language: str, chosen: Sequence[Vote], level: Level, label: Label, resamples: int, seed: int
) -> Row:
    raters = sorted({vote.person for vote in chosen})
    cells: dict[int, dict[str, Any]] = {}
    cluster = {vote.unit.id: vote.unit.item.cluster for vote in chosen}
    for vote in chosen:
        if (value := label(vote)) is not None:
            cells.setdefault(vote.unit.id, {})[vote.person] = value
    count = sum(map(len, cells.values()))
    table = [[row.get(person) for person in raters] for row in cells.values()]
    clusters = [cluster[unit] for unit in cells]
    alpha = Agreement(None, 0, reason="there are no labels")
    if table:
        alpha = krippendorff_alpha(table, level, clusters, resamples=resamples, seed=seed)
    kappa, kappa_name = _kappa(cells, raters, cluster, level, resamples, seed)
    pairs = [a == b for row in cells.values() for a, b in combinations(row.values(), 2)]
    share = sum(pairs) / len(pairs) if pairs else None
    return Row(name, language, _state(alpha, raters, cells), alpha, kappa, kappa_name, len(raters), count, share)


def _state(alpha: Agreement, raters: Sequence[str], cells: Mapping[int, Mapping[str, Any]]) -> State:
    if alpha.value is not None:
        return "defined"
    if not cells:
        return "no_votes"
    if len(raters) < 2:
        return "one_annotator"
    shared = [row for row in cells.values() if len(row) >= 2]
    if not shared:
        return "no_overlap"
    return "no_variation" if len({value for row in shared for value in row.values()}) == 1 else "too_few"


def _kappa(
    cells: Mapping[int, Mapping[str, Any]],
    raters: Sequence[str],
    cluster: Mapping[int, str],
    level: Level,
    resamples: int,
    seed: int,
) -> tuple[Agreement | None, str]:
    """Cohen's kappa of two people on what both labelled, or Fleiss's where units have the same number of labels."""
    if len(raters) == 2:
        both = {unit: row for unit, row in cells.items() if len(row) == 2}
        if not both:
            return None, ""
        a, b = ([row[person] for row in both.values()] for person in raters)
        clusters = [cluster[unit] for unit in both]
        weights: Literal["none", "quadratic"] = "none" if level == "nominal" else "quadratic"
        return cohen_kappa(a, b, weights, clusters, resamples=resamples, seed=seed), "cohen"
    size = max(map(len, cells.values()), default=0)
    whole = {unit: row for unit, row in cells.items() if len(row) == size}
    if size < 2:
        return None, ""
    table = [list(row.values()) for row in whole.values()]
    return fleiss_kappa(table, [cluster[unit] for unit in whole], resamples=resamples, seed=seed), "fleiss"
