"""Votes as scores: `people.jsonl` in each run folder, from which the board takes satisfaction and corrected scores.

The file is derived and replaced as a whole. A row is bound to the text that people saw; the board drops it once the run
holds another text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.annotate import people, votes
from harness.annotate.answers import SATISFACTION
from harness.annotate.campaigns import listed
from harness.annotate.store import Store, fingerprint
from harness.annotate.votes import Vote
from harness.digest import text_digest
from harness.record import PEOPLE, Run, write_text
from harness.types import Response, Rubric, Score, Task

Key = tuple[str, str]
"""(fingerprint of the item, text): what a vote of a rating campaign is about, whichever run or campaign it came from"""


def publish(store: Store, lead: str, task: Task, runs: Sequence[Run]) -> dict[str, int]:
    """Write `people.jsonl` into the folder of each run on `task`; returns the number of rated responses by run.

    All rating campaigns of the store on this version of the task and rubric count. A run without a rated text loses
    its file. For leads; audited. Raises EnvironmentProblem if a folder cannot be written.
    """
    with store.write() as tx:
        people.require(tx, lead, "lead", "publish")
        store.audit(tx, lead, "publish", {"task": task.name, "runs": [run.id for run in runs]})
    found, rulings = _collected(store, task)
    items = {item.id: fingerprint(asdict(item)) for item in task.items}
    result = {}
    for run in runs:
        if run.manifest["task"]["digest"] != task.digest:
            continue
        rows: list[Score] = []
        rated = 0
        for response in run.responses():
            key = (items.get(response.item, ""), response.text)
            if key in found:
                rated += 1
                rows += _scores(response, found[key], rulings.get(key, {}), task.rubric)
        path = run.folder / PEOPLE
        if rows:
            write_text(path, "".join(json.dumps(asdict(row)) + "\n" for row in rows))
        else:
            path.unlink(missing_ok=True)
        result[run.id] = rated
    return result


def _collected(store: Store, task: Task) -> tuple[dict[Key, list[Vote]], dict[Key, Mapping[str, Any]]]:
    """Votes by what they are about, of all campaigns on this version of the task, and rulings, later ones first."""
    found: dict[Key, list[Vote]] = defaultdict(list)
    rulings: dict[Key, Mapping[str, Any]] = {}
    for campaign in sorted(listed(store), key=lambda one: one.created):
        if campaign.kind != "rate" or campaign.task["digest"] != task.digest:
            continue
        with store.read() as tx:
            ruled, out = votes.rulings(tx, campaign.id), votes.excluded(tx, campaign.id)
            given = votes.read(tx, campaign.id)
        for vote in given:
            # a retired unit's votes are for a text that another run may still hold
            if vote.slot is None or vote.unit.purpose != "real" or vote.person in out:
                continue
            key = (fingerprint(asdict(vote.unit.item)), vote.unit.x.text)
            found[key].append(vote)
            if vote.unit.id in ruled:
                rulings[key] = ruled[vote.unit.id]
    return found, rulings


def _scores(response: Response, given: Sequence[Vote], ruling: Mapping[str, Any], rubric: Rubric) -> list[Score]:
    """What people say of one response, in the shape that every source's scores have."""
    versions = sorted({vote.guideline["version"] for vote in given})
    source = f"people/{rubric.name}@{rubric.version}-{'+'.join(versions)}"
    together = {**votes.agreed(given, ruling, rubric), SATISFACTION: votes.satisfaction(given)}
    digest = text_digest(response.text)
    return [
        Score(response.item, response.sample, name, source, one.value, one.reason, {"n": one.n, "text": digest})
        for name, one in together.items()
        if one.value is not None or one.reason
    ]
