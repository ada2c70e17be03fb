"""What people said of a campaign, made fit to train on: whose votes do not count, and whether the others agree at all.

Two rules leave a person out: silent checks (attention, gold) that they surely pass in less than `CHECKS`, and verdicts that
surely go against the other people's more often than with them. "Surely": the whole 95 % interval. Then the share of pairs of
verdicts on a comparison that are the same must surely lie above one half, which is chance: sides are drawn anew for each
person. (Not Krippendorff's alpha: where one system nearly always wins, alpha falls however well people agree.) People who
err at random cost pairs; people who lie are found as long as they are fewer than those who do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from harness import annotate
from harness.annotate import votes
from harness.annotate.votes import Vote
from harness.errors import GateFailed, Incomplete
from harness.stats.intervals import Interval, clustered_rate, wilson

CHECKS = 0.75
DECIDED = ("x", "y")


@dataclass(frozen=True, slots=True)
class Settled:
    """Pairs that may train, who was left out and why, and the agreement of the others."""

    exported: annotate.Exported
    excluded: dict[str, str]
    agreement: Interval


def settle(store: annotate.Store, lead: str, campaign: str) -> Settled:
    """Leave out whose votes cannot be trusted (recorded in the store, as a lead's exclusion is) and export the rest.

    Raises Incomplete while votes are missing in an open campaign, GateFailed if the people who are left do not agree.
    """
    status = annotate.status(store, lead, campaign)
    if status.open and status.given < status.wanted:
        raise Incomplete(
            f"campaign {campaign} waits for {status.wanted - status.given} of {status.wanted} votes ('easyds app'). "
            f"'easyds annotate close {campaign}' goes on with those that are there."
        )
    while found := _worst(store, lead, campaign):
        annotate.exclude(store, lead, campaign, *found)
    found_agreement = agreement(_counted(store, campaign))
    if found_agreement is None or found_agreement.low <= 0.5:
        told = "no two decided on one comparison" if found_agreement is None else _told(found_agreement)
        raise GateFailed(
            f"campaign {campaign}: people do not agree beyond chance ({told}), so their votes train nothing."
        )
    out = {one.id: one.excluded for one in annotate.annotators(store, lead, campaign) if one.excluded}
    return Settled(_trainable(annotate.export(store, lead, campaign, "dpo")), out, found_agreement)


def _worst(store: annotate.Store, lead: str, campaign: str) -> tuple[str, str] | None:
    """The person to leave out next, and why: who fails the checks first, then who goes against the others most."""
    people = [one for one in annotate.annotators(store, lead, campaign) if not one.excluded]
    for one in people:
        hits, n = one.attention.hits + one.gold.hits, one.attention.n + one.gold.n
        if n and wilson(hits, n).high < CHECKS:
            return one.id, f"passed {hits} of {n} silent checks"
    counted = _counted(store, campaign)
    against = []
    for one in people:
        hits, n = with_others(counted, one.id)
        if n and wilson(hits, n).high < 0.5:
            against.append((hits / n, one.id, f"agreed with others in {hits} of {n} verdicts"))
    return min(against)[1:] if against else None


def _counted(store: annotate.Store, campaign: str) -> list[Vote]:
    with store.read() as tx:
        return [vote for vote in votes.read(tx, campaign) if vote.counted]


def agreement(counted: Sequence[Vote]) -> Interval | None:
    """How often two people who decided on a comparison decided alike; clustered by comparison. None: there are no two."""
    same, units = [], []
    for unit, given in votes.by_unit(counted).items():
        decided = [one.answers["verdict"] for one in given if one.answers["verdict"] in DECIDED]
        for a, b in combinations(decided, 2):
            same.append(float(a == b))
            units.append(unit)
    return clustered_rate(same, units) if same else None


def _told(one: Interval) -> str:
    return f"the same in {one.value:.2f} [{one.low:.2f}, {one.high:.2f}] of {one.n} pairs of verdicts"


def with_others(counted: Sequence[Vote], person: str) -> tuple[int, int]:
    """How often a person's verdict is another's on the same unit, of how many times both decided."""
    mine = {one.unit.id: one.answers["verdict"] for one in counted if one.person == person}
    hits = [
        mine[one.unit.id] == one.answers["verdict"]
        for one in counted
        if one.person != person and mine.get(one.unit.id) in DECIDED and one.answers["verdict"] in DECIDED
    ]
    return sum(hits), len(hits)


def _trainable(exported: annotate.Exported) -> annotate.Exported:
    """Pairs that two people decided (one, if the campaign asks for no more) or a lead, and neither side of which is empty."""
    enough = min(2, exported.provenance["about"]["settings"]["overlap"])
    kept, left_out = [], Counter[str]()
    for number, (row, origin) in enumerate(zip(exported.rows, exported.provenance["rows"])):
        if not all(row[side][0]["content"].strip() for side in ("chosen", "rejected")):
            left_out["empty"] += 1
        elif origin["votes"] < enough and not origin["ruled"]:
            left_out["one vote left"] += 1
        else:
            kept.append(number)
    provenance = {**exported.provenance, "rows": [exported.provenance["rows"][number] for number in kept]}
    return annotate.Exported(
        tuple(exported.rows[number] for number in kept), provenance, {**exported.left_out, **left_out}
    )


def write(settled: Settled, path: Path, least: int) -> None:
    """Write the pairs. Raises GateFailed if there are fewer than `least`; what a kill left is written again."""
    rows = settled.exported.rows
    if len(rows) < least:
        left = ", ".join(f"{name}: {count}" for name, count in settled.exported.left_out.items() if count)
        raise GateFailed(f"people's votes give {len(rows)} pairs, fewer than {least} ({left}).")
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".provenance.json").unlink(missing_ok=True)
    annotate.write(settled.exported, path)
