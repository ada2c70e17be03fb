"""What people said, as training data: preference pairs, pairs with a margin, unpaired labels; and votes as a table.

Test items never leave here. What people do not agree on trains nothing unless a lead ruled on it. Beside the rows goes a
file that says where each came from; annotators stand in it under pseudonyms.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from harness.annotate import people, votes
from harness.annotate.campaigns import Campaign, Side, Unit, load
from harness.annotate.schema import SCHEMA_VERSION
from harness.annotate.store import Store, fingerprint, pseudonym
from harness.annotate.votes import Vote
from harness.errors import UsageError, require
from harness.record import write_json, write_text
from harness.spreadsheet import as_csv

FORMATS = ("dpo", "reward", "unpaired")
GOOD, BAD = 4, 2
"""Satisfaction from which on a text is a good example, and up to which it is a bad one"""


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows of training data, where each came from, and how many units gave none, by reason."""

    rows: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]
    left_out: Mapping[str, int]

    def jsonl(self) -> str:
        """The rows as the trainers read them, one a line."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)


def export(store: Store, lead: str, campaign: str, form: str) -> Exported:
    """The training data of a campaign. For leads; audited.

    - dpo: `{prompt, chosen, rejected}`, conversational. The winner has at least two thirds of the counted votes, or a
      ruling. Ties and "both bad" give no pair.
    - reward: the same with `margin`: the mean strength of the votes for the winner less that against it (0 to 3).
    - unpaired: `{prompt, completion, label}`. "Both bad" gives two false rows; in a rating campaign a mean satisfaction
      from 4 on is true, up to 2 false.

    Raises UsageError if the campaign holds a test item, or the form does not fit its kind; Refused for others than leads.
    """
    require("format", form, list(FORMATS), "--format")
    with store.write() as tx:
        people.require(tx, lead, "lead", "export")
        found = load(tx, campaign)
        if form != "unpaired" and found.kind != "compare":
            raise UsageError(f"'{form}' needs a comparison; of ratings only 'unpaired' can be made.")
        grouped = votes.by_unit(votes.read(tx, campaign))
        rulings = votes.rulings(tx, campaign)
        _refuse_test([given[0].unit for given in grouped.values()])
        left_out: Counter[str] = Counter()
        made = [
            (row, _origin(tx, given, ruling))
            for given in grouped.values()
            for ruling in (rulings.get(given[0].unit.id, {}),)
            for row in _rows(form, found, given, ruling, left_out)
        ]
        store.audit(tx, lead, "export", {"campaign": campaign, "format": form, "rows": len(made)})
        rows = tuple(row for row, _ in made)
        about = {
            "campaign": campaign,
            "format": form,
            "task": {name: found.task[name] for name in ("name", "version", "digest")},
            "rubric": {"name": found.rubric.name, "version": found.rubric.version, "digest": found.rubric.digest},
            "settings": asdict(found.settings),
            "schema_version": SCHEMA_VERSION,
            "policy": {"majority": votes.MAJORITY, "good": GOOD, "bad": BAD},
            "excluded": {pseudonym(tx, one): why for one, why in votes.excluded(tx, campaign).items()},
            "left_out": dict(left_out),
            "sha256": fingerprint(rows),
        }
    return Exported(rows, {"about": about, "rows": [origin for _, origin in made]}, dict(left_out))


def write(exported: Exported, path: Path) -> Path:
    """Write the rows as a new JSONL file and, beside it, where they came from. Returns the second file's path.

    Raises UsageError if there is nothing to write, or one of the files exists.
    """
    origins = path.with_name(path.name + ".provenance.json")
    if not exported.rows:
        why = ", ".join(f"{name}: {count}" for name, count in exported.left_out.items()) or "no votes yet"
        raise UsageError(f"there is nothing to export ({why}).")
    for one in (path, origins):
        if one.exists():
            raise UsageError(f"{one} exists already. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, exported.jsonl())
    write_json(origins, exported.provenance)
    return origins


def _refuse_test(units: Sequence[Unit]) -> None:
    if bad := next((unit for unit in units if unit.item.split.startswith("test")), None):
        raise UsageError(
            f"item {bad.item.id} is of the split '{bad.item.split}'. Test items never train: make a campaign from runs on "
            "train or validation items."
        )


def _rows(
    form: str, campaign: Campaign, given: Sequence[Vote], ruling: Mapping[str, Any], left_out: Counter[str]
) -> Iterator[dict[str, Any]]:
    unit = given[0].unit
    about = {"prompt": _prompt(campaign, unit), "item": asdict(unit.item)}
    if unit.y is None:
        mean = votes.satisfaction(given).value or 0.0
        if BAD < mean < GOOD:
            left_out["neither good nor bad"] += 1
        else:
            yield {**about, "completion": _turn(unit.x), "label": mean >= GOOD}
        return
    verdict, _ = votes.verdict(given, ruling, votes.MAJORITY)
    if verdict in ("x", "y") and form != "unpaired":
        chosen, rejected = (unit.x, unit.y) if verdict == "x" else (unit.y, unit.x)
        row = {**about, "chosen": _turn(chosen), "rejected": _turn(rejected), "kind": "people"}
        yield {**row, "margin": _margin(given, verdict)} if form == "reward" else row
    elif verdict == "both_bad" and form == "unpaired":
        for side in (unit.x, unit.y):
            yield {**about, "completion": _turn(side), "label": False}
    else:
        left_out["no majority" if verdict is None else str({"x": "decided", "y": "decided"}.get(verdict, verdict))] += 1


def _prompt(campaign: Campaign, unit: Unit) -> list[dict[str, str]]:
    system = {"role": "system", "content": campaign.task["system"][unit.item.language]}
    return [system, *({"role": turn.role, "content": turn.content} for turn in unit.item.messages)]


def _turn(side: Side) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": side.text}]


def _margin(given: Sequence[Vote], winner: str) -> float:
    """Mean over votes: their strength (1 where not said) for the winner, its negative against it, 0 otherwise."""
    signs = {winner: 1, {"x": "y", "y": "x"}[winner]: -1}
    total = sum(signs.get(vote.answers["verdict"], 0) * (vote.answers["strength"] or 1) for vote in given)
    return max(0.0, total / len(given))


def _origin(tx: Connection, given: Sequence[Vote], ruling: Mapping[str, Any]) -> dict[str, Any]:
    """Where a row came from."""
    unit = given[0].unit
    sides = [side for side in (unit.x, unit.y) if side is not None]
    origin = {
        "unit": unit.id,
        "content": unit.content,
        "item": unit.item.id,
        "split": unit.item.split,
        "texts": [{"system": side.system, "run": side.run, "sample": side.sample} for side in sides],
        "annotators": [pseudonym(tx, vote.person) for vote in given],
        "guidelines": sorted({f"{vote.guideline['language']}@{vote.guideline['version']}" for vote in given}),
        "votes": len(given),
        "ruled": bool(ruling),
    }
    if unit.y is not None:
        origin["verdicts"] = [vote.answers["verdict"] for vote in given]
        origin["first_stood_left"] = [not vote.swapped for vote in given]
        origin["agreement"] = votes.verdict(given, {})[1]
    else:
        origin["satisfaction"] = [vote.answers["satisfaction"] for vote in given]
    return origin


def votes_csv(store: Store, lead: str, campaign: str) -> bytes:
    """Every vote as one line of CSV for a spreadsheet. For leads; audited. Annotators stand under pseudonyms."""
    with store.write() as tx:
        people.require(tx, lead, "lead", "votes_csv")
        found = load(tx, campaign)
        rows = [_line(tx, found, vote) for vote in votes.read(tx, campaign)]
        store.audit(tx, lead, "votes_csv", {"campaign": campaign, "rows": len(rows)})
    return as_csv(rows)


def _line(tx: Connection, campaign: Campaign, vote: Vote) -> dict[str, Any]:
    unit = vote.unit
    row: dict[str, Any] = {
        "unit": unit.id,
        "purpose": unit.purpose,
        "item": unit.item.id,
        "language": unit.item.language,
        "annotator": pseudonym(tx, vote.person),
        "counted": vote.counted,
        "repeat": vote.repeat,
        "seconds": round(vote.seconds, 1),
        "x": unit.x.system,
        "x_text": unit.x.text,
    }
    if campaign.kind == "rate":
        labels = {
            name: vote.answers["labels"].get(name, "") for name in campaign.rubric.criteria if name != "preference"
        }
        return {**row, **labels, "satisfaction": vote.answers["satisfaction"], "note": vote.answers["note"]}
    assert unit.y is not None
    left = "y" if vote.swapped else "x"
    row |= {"y": unit.y.system, "y_text": unit.y.text, "left": left, "verdict": vote.answers["verdict"]}
    return {**row, "strength": vote.answers["strength"], "rationale": vote.answers["rationale"]}
