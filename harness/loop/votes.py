"""What people said of a campaign, made fit to train on: whose votes do not count, and whether the others agree at all.

Two rules leave a person out: silent checks (attention, gold) that they surely pass in less than `CHECKS`, and verdicts that
surely go against the other people's more often than with them. "Surely": the whole 95 % Wilson interval. Then Krippendorff's
alpha of the rest must lie above 0 with its whole interval. People who err at random cost pairs; people who lie are found as
long as they are fewer than those who do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import annotate
from harness.annotate import votes
from harness.annotate.votes import Vote
from harness.errors import GateFailed, Incomplete
from harness.stats.intervals import wilson

CHECKS = 0.75
DECIDED = ("x", "y")


@dataclass(frozen=True, slots=True)
class Settled:
    """Pairs that may train, who was left out and why, and the agreement of the others."""

    exported: annotate.Exported
    excluded: dict[str, str]
    alpha: float


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
    row = annotate.agreement(store, lead, campaign)[0]
    if row.alpha.low is None or row.alpha.low <= 0:
        told = row.state if row.alpha.value is None else f"alpha {row.alpha.value:.2f}, from {row.alpha.low}"
        raise GateFailed(
            f"campaign {campaign}: people do not agree beyond chance ({told}), so their votes train nothing."
        )
    out = {one.id: one.excluded for one in annotate.annotators(store, lead, campaign) if one.excluded}
    return Settled(_trainable(annotate.export(store, lead, campaign, "dpo")), out, float(row.alpha.value or 0.0))


def _worst(store: annotate.Store, lead: str, campaign: str) -> tuple[str, str] | None:
    """The person to leave out next, and why: who fails the checks first, then who goes against the others most."""
    people = [one for one in annotate.annotators(store, lead, campaign) if not one.excluded]
    for one in people:
        hits, n = one.attention.hits + one.gold.hits, one.attention.n + one.gold.n
        if n and wilson(hits, n).high < CHECKS:
            return one.id, f"passed {hits} of {n} silent checks"
    with store.read() as tx:
        counted = [vote for vote in votes.read(tx, campaign) if vote.counted]
    against = []
    for one in people:
        hits, n = with_others(counted, one.id)
        if n and wilson(hits, n).high < 0.5:
            against.append((hits / n, one.id, f"agreed with others in {hits} of {n} verdicts"))
    return min(against)[1:] if against else None


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
    """Pairs without those one side of which is empty: nothing can be learnt from what was not said."""
    kept = [
        number
        for number, row in enumerate(exported.rows)
        if all(row[side][0]["content"].strip() for side in ("chosen", "rejected"))
    ]
    origins = [exported.provenance["rows"][number] for number in kept]
    left_out = {**exported.left_out, "empty": len(exported.rows) - len(kept)}
    rows = tuple(exported.rows[number] for number in kept)
    return annotate.Exported(rows, {**exported.provenance, "rows": origins}, left_out)


def write(settled: Settled, path: Path, least: int) -> None:
    """Write the pairs. Raises GateFailed if there are fewer than `least`; what a kill left is written again."""
    rows = settled.exported.rows
    if len(rows) < least:
        left = ", ".join(f"{name}: {count}" for name, count in settled.exported.left_out.items() if count)
        raise GateFailed(f"people's votes give {len(rows)} pairs, fewer than {least} ({left}).")
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".provenance.json").unlink(missing_ok=True)
    annotate.write(settled.exported, path)
