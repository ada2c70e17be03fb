"""Served turns become an annotation campaign: what was served against fresh samples of the serving checkpoint.

    FOLDER/CAMPAIGN/turns.jsonl   the turns taken, written whole before anything else is done with them
                    task/         the turns as a private task; the split is `served`
                    probe/        with `uncertain`: the turns that were sampled twice, and the samples
                    runs/         what was served, and the fresh samples

`turns.jsonl` of all campaigns in a folder is the ledger: a turn that stands in one of them is never taken again. So the
same command goes on after a kill, with the same turns whatever the log has become.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import yaml

from harness import annotate, models, run
from harness import task as tasks
from harness.digest import digest, text_digest
from harness.errors import GateFailed, Incomplete, UsageError
from harness.loop.choose import Wanted, asked, choose, differ
from harness.loop.served import Turn, read
from harness.paths import safe_name
from harness.record import Run, lock, open_run, read_lines, write_text
from harness.serve import package as packages
from harness.serve.package import Package
from harness.types import Item, KeyPoints, Message, Response, Task

TURNS = "turns.jsonl"
SERVED, FRESH = "served", ("again-1", "again-2")
"""Names of the systems that people compare"""
SPLIT = "served"
TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to collect, for whom. `guard`: tasks whose items test, so that they may never be trained on."""

    log: Path
    folder: Path
    campaign: str
    checkpoint: Path
    guard: tuple[Task, ...]
    wanted: Wanted = field(default_factory=Wanted)
    settings: annotate.Settings = field(default_factory=lambda: annotate.Settings(overlap=3))
    batch_size: int | None = None

    @property
    def place(self) -> Path:
        return self.folder / safe_name(self.campaign, "campaign name")


@dataclass(frozen=True, slots=True)
class Collected:
    """A campaign that stands: turns by reason, units that people see, and turns left out, by why (of the first call)."""

    campaign: str
    reasons: Mapping[str, int]
    units: int
    left_out: Mapping[str, int]


def collect(store: annotate.Store, lead: str, order: Order) -> Collected:
    """Make the campaign of an order; what exists of it is not made again.

    Raises Incomplete if the log has nothing new to offer, GateFailed if all samples say the same, UsageError if a campaign
    of another task has its name, EnvironmentProblem if another process collects in the folder.
    """
    order.folder.mkdir(parents=True, exist_ok=True)
    holder = lock(order.folder / ".lock", str(order.folder))
    try:
        left_out = take(order)
        package = packages.read(order.checkpoint)
        turns = list(_kept(order, package))
        if not turns:
            raise GateFailed(f"{order.campaign}: the samples of all turns are alike, so there is nothing to compare.")
        task = _task(order.place / "task", order.campaign, turns, package, order.guard[0])
        runs = [_served(order, task, turns), *(_again(order, task, name, seed) for seed, name in enumerate(FRESH, 1))]
        units = _campaign(store, lead, order, task, runs)
    finally:
        os.close(holder)
    reasons: dict[str, int] = {}
    for _, why in turns:
        reasons[why] = reasons.get(why, 0) + 1
    return Collected(order.campaign, reasons, units, left_out)


def take(order: Order) -> Mapping[str, int]:
    """Write down the turns of an order, unless they are. Returns how many were left out, by why."""
    path = order.place / TURNS
    if path.exists():
        return {}
    known = [item for task in order.guard for item in task.items]
    found = choose(read(order.log), taken(order.folder), known, order.wanted)
    if not found.turns:
        why = ", ".join(f"{count} {name}" for name, count in found.left_out.items())
        raise Incomplete(f"{order.log} has nothing new to collect ({why}).")
    order.place.mkdir(parents=True, exist_ok=True)
    rows = ({"why": why, "turn": asdict(one)} for one, why in found.turns)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return found.left_out


def taken(folder: Path) -> Iterator[Turn]:
    """Every turn taken by a campaign of this folder."""
    for path in sorted(folder.glob(f"*/{TURNS}")):
        yield from (turn for turn, _ in _read(path))


def _read(path: Path) -> Iterator[tuple[Turn, str]]:
    for row in read_lines(path):
        turn = row["turn"]
        messages = tuple(Message(**one) for one in turn["messages"])
        yield Turn(**{**turn, "messages": messages, "gates": tuple(turn["gates"])}), row["why"]


def _kept(order: Order, package: Package) -> Iterator[tuple[Turn, str]]:
    """The turns taken, without those sampled twice whose samples are alike."""
    found = list(_read(order.place / TURNS))
    probed = [pair for pair in found if pair[1] == "uncertain"]
    texts: dict[str, list[str]] = {}
    if probed:
        task = _task(order.place / "probe", f"{order.campaign}-probe"[:64], probed, package, order.guard[0])
        for one in _sampled(order, task, order.place / "probe", "probe", seed=0, samples=2).responses():
            texts.setdefault(one.item, []).append(one.text)
    for turn, why in found:
        if why != "uncertain" or differ(*texts[turn.id]):
            yield turn, why


def _task(folder: Path, name: str, turns: Sequence[tuple[Turn, str]], package: Package, like: Task) -> Task:
    """The turns as a task folder with the served prompts; nothing scores it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(_item(turn, why)) for turn, why in turns]
    write_text(folder / "items.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    task = {
        "name": name,
        "version": "1",
        "description": {"zh": "线上对话，仅供标注。", "en": "Served turns, for annotation only."},
        "license": "private",
        "items": "items.jsonl",
        "rubric": like.rubric.name,
        "system": dict(package.system),
        "scorers": [],
        "decoding": {"max_new_tokens": package.max_new_tokens},
    }
    write_text(folder / "task.yaml", yaml.safe_dump(task, allow_unicode=True))
    return tasks.load(str(folder / "task.yaml"))


def _item(turn: Turn, why: str) -> Item:
    """A turn as an item. Nobody knows its key points; students who asked the same are one cluster."""
    return Item(
        id=turn.id,
        cluster=text_digest(asked(turn))[:16],
        language=turn.language,
        knowledge_point=turn.knowledge_point or "unknown",
        difficulty=1,
        split=SPLIT,
        hint_level=turn.hint_level,
        messages=turn.messages,
        key_points=KeyPoints("", "", ()),
        answer="",
        meta={"why": why},
    )


def _served(order: Order, task: Task, turns: Sequence[tuple[Turn, str]]) -> Run:
    """A run folder of what students were sent."""
    plan = run.Plan.of(task)
    said = {turn.id: turn.guidance for turn, _ in turns}
    configuration = {
        "system": SERVED,
        "model": "log",
        "identity": {"provider": "log", "texts": digest(said)},
        "task": {"name": task.name, "version": task.version, "digest": task.digest, "rubric": task.rubric.digest},
        "decoding": asdict(plan.decoding),
        "limit": None,
        "requests": len(said),
    }
    with open_run(order.place / "runs", SERVED, SERVED, configuration) as writer:
        if writer.manifest["status"] != "complete":
            have = {one.item for one in writer.responses()}
            for name in said.keys() - have:
                writer.add_response(Response(name, 0, said[name], "stop", None, None, None, None, None))
            writer.flush()
            writer.update(status="complete", missing=0, scorers=[])
    return Run(order.place / "runs" / SERVED)


def _again(order: Order, task: Task, name: str, seed: int) -> Run:
    return _sampled(order, task, order.place / "runs", name, seed, samples=1)


def _sampled(order: Order, task: Task, folder: Path, name: str, seed: int, samples: int) -> Run:
    """Fresh samples of the serving checkpoint, continued if they were begun. Raises Incomplete if requests failed."""
    options = models.Options(batch_size=order.batch_size)
    model = models.open_model(f"hf/{order.checkpoint.resolve()}", options)
    plan = run.Plan.of(task, temperature=TEMPERATURE, seed=seed, samples=samples)
    done = run.execute(plan, model, folder, system=name, name=name)
    run.require_complete(done)
    return done


def _campaign(store: annotate.Store, lead: str, order: Order, task: Task, runs: Sequence[Run]) -> int:
    """The number of units of the campaign, made in one transaction if it is not there."""
    there = next((one for one in annotate.listed(store) if one.id == order.campaign), None)
    if there is None:
        said = [{one.item: one.text.strip() for one in each.responses()} for each in runs]
        if all(one == said[0] for one in said[1:]):
            raise GateFailed(f"{order.campaign}: fresh samples say what was served, so there is nothing to compare.")
        settings = replace(order.settings, against=SERVED)
        annotate.create(store, lead, order.campaign, "compare", task, runs, settings)
    elif there.task["digest"] != task.digest:
        raise UsageError(f"the campaign '{order.campaign}' is on another task. Choose another name with --into.")
    return annotate.status(store, lead, order.campaign).units
