"""Judge against people: how far a source's scores agree with what annotators said, and where they do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.annotate import people, votes
from harness.annotate.campaigns import Side, Unit, load
from harness.annotate.store import Store
from harness.board import read as read_table
from harness.board import rubric_values
from harness.record import Run
from harness.stats.agreement import Agreement, cohen_kappa
from harness.types import Rubric

RESAMPLES = 1000
PREFERRED_BY = "gold_score"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A unit on which a source says otherwise than people: labels of a criterion, or verdicts (x, y, tie)."""

    unit: int
    item: str
    run: str
    criterion: str
    source: str
    people: str
    judge: str
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """One source on one criterion against people. `kappa` is Cohen's, with quadratic weights where labels are graded.

    `confusion[(people, judge)]` counts units; `unscored` are those that the source could not judge; `unsettled` those
    on which people do not agree among themselves, which are left out.
    """

    criterion: str
    source: str
    kappa: Agreement
    accuracy: float | None
    confusion: Mapping[tuple[str, str], int]
    unscored: int
    unsettled: int
    disagreements: tuple[Disagreement, ...]


def against_people(
    store: Store, lead: str, campaign: str, runs: Sequence[Run], resamples: int = RESAMPLES, seed: int = 0
) -> list[Match]:
    """Every source that scored the campaign's texts against what people say of them (rulings first). For leads.

    A comparison is judged by the gold scores of the two texts: the higher one wins, equal ones tie; people's "both bad"
    is a tie there. Texts that a run no longer holds are left out. Intervals: bootstrap over the items' clusters.
    """
    with store.read() as tx:
        people.require(tx, lead, "lead", "against_people")
        found = load(tx, campaign)
        grouped = votes.by_unit(votes.read(tx, campaign))
        rulings = votes.rulings(tx, campaign)
    known = _Judged(runs, found.rubric)
    cells: dict[tuple[str, str], list[tuple[Unit, str | None, str | None]]] = defaultdict(list)
    for given in grouped.values():
        unit, ruling = given[0].unit, rulings.get(given[0].unit.id, {})
        if unit.y is not None:
            said, _ = votes.verdict(given, ruling)
            said = "tie" if said == "both_bad" else said
            for source, judged in known.verdicts(unit.x, unit.y, unit.item.id):
                cells["preference", source].append((unit, said, judged))
            continue
        together = votes.agreed(given, ruling, found.rubric)
        for criterion, source, judged in known.labels(unit.x, unit.item.id):
            if criterion in together:
                cells[criterion, source].append((unit, together[criterion].label, judged))
    order = list(found.rubric.criteria)
    keys = sorted(cells, key=lambda key: (order.index(key[0]), key[1]))
    return [_match(found.rubric, key, cells[key], resamples, seed) for key in keys]


class _Judged:
    """Scores of runs as labels, for the texts that the runs hold now."""

    def __init__(self, runs: Iterable[Run], rubric: Rubric) -> None:
        self.rubric = rubric
        self.texts: dict[tuple[str, int, str], str] = {}
        self.scores: dict[tuple[str, int, str], list[tuple[str, str, str | None]]] = defaultdict(list)
        self.gold: dict[tuple[str, int, str], float] = {}
        self.sources: dict[str, str] = {}
        for run in runs:
            self._take(run)

    def _take(self, run: Run) -> None:
        for one in run.responses():
            self.texts[run.id, one.sample, one.item] = one.text
        wanted = set(run.manifest.get("scorers", ()))
        for score in run.scores():
            if score.source in wanted and score.criterion in self.rubric.criteria:
                label = _label(self.rubric, score.criterion, score.value, score.reason)
                self.scores[run.id, score.sample, score.item].append((score.criterion, score.source, label))
        table = read_table(run)
        values = rubric_values(table, self.rubric).get(PREFERRED_BY)
        gates = self.rubric.gold["gates"]
        self.sources[run.id] = ", ".join(sorted({table.sources[gate] for gate in gates if gate in table.sources}))
        for item, sample, value in zip(table.item, table.sample, [] if values is None else values):
            self.gold[run.id, int(sample), table.items[item]] = float(value)

    def key(self, side: Side, item: str) -> tuple[str, int, str] | None:
        key = (side.run, side.sample, item)
        return key if self.texts.get(key) == side.text else None

    def labels(self, side: Side, item: str) -> Iterator[tuple[str, str, str | None]]:
        key = self.key(side, item)
        yield from self.scores.get(key, ()) if key else ()

    def verdicts(self, x: Side, y: Side, item: str) -> Iterator[tuple[str, str | None]]:
        """(source, verdict) of a pair that one source judged."""
        first, second = self.key(x, item), self.key(y, item)
        if first in self.gold and second in self.gold and self.sources[x.run] == self.sources[y.run]:
            gap = self.gold[first] - self.gold[second]
            unknown = gap != gap
            yield self.sources[x.run], None if unknown else "tie" if gap == 0 else "x" if gap > 0 else "y"


def _label(rubric: Rubric, criterion: str, value: float | None, reason: str) -> str | None:
    """The label of a value; "na" for what does not apply, None for what was not scored."""
    if value is None:
        return "na" if reason == "not applicable" else None
    for one in rubric.criteria[criterion].labels:
        if one.get("value") == value:
            return str(one["id"])
    return None


def _match(
    rubric: Rubric,
    key: tuple[str, str],
    cells: Sequence[tuple[Unit, str | None, str | None]],
    resamples: int,
    seed: int,
) -> Match:
    criterion, source = rubric.criteria[key[0]], key[1]
    both = [(unit, said, judged) for unit, said, judged in cells if said is not None and judged is not None]
    different = [
        Disagreement(unit.id, unit.item.id, unit.x.run, criterion.id, source, said, judged, unit.x.text)
        for unit, said, judged in both
        if said != judged
    ]
    graded = criterion.kind == "graded"
    rows: list[tuple[Unit, Any, Any]] = list(both)
    if graded:
        numbers = [(u, votes.value_of(criterion, a), votes.value_of(criterion, b)) for u, a, b in both]
        rows = [row for row in numbers if row[1] is not None and row[2] is not None]
    kappa = Agreement(None, 0, reason="no unit has a label of both")
    if rows:
        units, said_rows, judged_rows = zip(*rows, strict=True)
        clusters = [unit.item.cluster for unit in units]
        weights = "quadratic" if graded else "none"
        kappa = cohen_kappa(said_rows, judged_rows, weights, clusters, resamples=resamples, seed=seed)  # type: ignore[arg-type]
    return Match(
        criterion=criterion.id,
        source=source,
        kappa=kappa,
        accuracy=1 - len(different) / len(both) if both else None,
        confusion=dict(Counter((said, judged) for _, said, judged in both)),
        unscored=sum(judged is None for _, _, judged in cells),
        unsettled=sum(said is None for _, said, _ in cells),
        disagreements=tuple(different),
    )
