"""Campaigns: which texts of which runs people see. Texts are frozen when a campaign is made, and never looked up again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from random import Random
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from harness.annotate import people, schema
from harness.annotate.store import Store, fingerprint
from harness.errors import UsageError, unknown
from harness.paths import safe_name
from harness.qualifying import Exercise
from harness.record import Run
from harness.task import to_item
from harness.types import Criterion, Item, Language, Rubric, Task

Kind = Literal["rate", "compare"]
_FAMILIES = [
    "qwen",
    "通义",
    "chatgpt",
    "gpt-3",
    "gpt-4",
    "gpt-5",
    "openai",
    "claude",
    "anthropic",
    "gemini",
    "llama",
    "mistral",
    "deepseek",
    "深度求索",
    "文心",
    "ernie",
    "chatglm",
    "智谱",
    "kimi",
    "moonshot",
    "豆包",
    "doubao",
    "baichuan",
    "百川",
    "internlm",
    "书生",
    "minimax",
    "讯飞星火",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a campaign is run.

    `overlap`: votes that count on each unit. `attention` and `gold`: one silent check in so many units (0: none).
    `repeat`: one unit in so many is shown to the same person a second time, sides swapped (0: never). `qualify`: the
    share of labels of the qualifying test that must be as agreed (None: everyone invited may begin), on `exercises`
    of its exercises (None: all), in at most `attempts` attempts for each language. `items` draws that many items by
    the seed, the same for all runs, so that votes on them may stand for the rest (None: all). `against` names a run or
    system that all others are compared with, instead of each with each.
    """

    overlap: int = 2
    seed: int = 0
    lease_s: float = 900.0
    attention: int = 25
    gold: int = 15
    repeat: int = 20
    qualify: float | None = 0.75
    exercises: int | None = None
    attempts: int = 2
    items: int | None = None
    against: str | None = None

    def __post_init__(self) -> None:
        if self.overlap < 1 or self.lease_s <= 0 or self.attempts < 1:
            raise UsageError("overlap and attempts must be at least 1, and the lease longer than 0 seconds.")
        if min(self.attention, self.gold, self.repeat) < 0 or 1 in (self.attention, self.gold, self.repeat):
            raise UsageError("attention, gold and repeat are 0 (never), or 'one in so many' from 2 on.")
        if not (self.qualify is None or 0 < self.qualify <= 1) or (self.exercises is not None and self.exercises < 1):
            raise UsageError("qualify lies above 0 and at most 1, exercises is at least 1.")
        if self.items is not None and self.items < 1:
            raise UsageError("the number of items must be at least 1.")


@dataclass(frozen=True, slots=True)
class Side:
    """One frozen text, and whose it is. Nobody who rates sees anything of it but the text."""

    system: str
    run: str
    sample: int
    text: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What is judged in one go: an item with one text (rate) or two (compare). `expected` are a silent check's labels."""

    id: int
    campaign: str
    purpose: str
    active: bool
    item: Item
    x: Side
    y: Side | None
    content: str
    expected: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as pages show it. `task`: name, version, digest and system prompts at the time it was made."""

    id: str
    kind: Kind
    title: str
    open: bool
    task: Mapping[str, Any]
    rubric: Rubric
    settings: Settings
    created: float


@dataclass(frozen=True, slots=True)
class Made:
    """What a campaign was made of: units by purpose, languages, and how many texts or pairs were left out, by reason."""

    id: str
    units: Mapping[str, int]
    languages: Mapping[str, int]
    left_out: Mapping[str, int]


def create(
    store: Store,
    lead: str,
    name: str,
    kind: str,
    task: Task,
    runs: Sequence[Run],
    settings: Settings | None = None,
    *,
    gold: Sequence[Exercise] = (),
    title: str = "",
) -> Made:
    """Make a campaign from runs of one task: each text once (rate), or each two runs' texts on an item (compare).

    `gold` are exercises with agreed labels, shown silently. Raises UsageError if the runs are of another version of the
    task, or give nothing to judge; Refused unless `lead` is a lead.
    """
    settings = settings or Settings()
    if kind not in ("rate", "compare"):
        raise unknown("kind of campaign", kind, ["rate", "compare"], "--kind")
    left_out: Counter[str] = Counter()
    units = list(_units(kind, task, runs, settings, left_out))
    if not units:
        raise UsageError(
            f"the runs give nothing to {kind}: they have no texts on common items, or only equal ones "
            f"({dict(left_out) or 'no texts'})."
        )
    silent = [*_gold(kind, gold), *_attention(kind, settings, units)]
    row = {
        "id": safe_name(name, "campaign name"),
        "kind": kind,
        "title": (title or name)[:200],
        "open": 1,
        "task": _about(task),
        "rubric": asdict(task.rubric),
        "rubric_digest": task.rubric.digest,
        "settings": asdict(settings),
        "created": store.clock(),
        "created_by": lead,
    }
    with store.write() as tx:
        people.require(tx, lead, "lead", "create")
        if tx.execute(select(schema.campaign.c.id).where(schema.campaign.c.id == name)).first():
            raise UsageError(f"the campaign '{name}' exists already. Choose another name.")
        tx.execute(insert(schema.campaign).values(row))
        tx.execute(insert(schema.unit), [_row(name, *one) for one in (*units, *silent)])
        store.audit(tx, lead, "create", {"campaign": name, "runs": [run.id for run in runs]})
    purposes = Counter(purpose for purpose, *_ in (*units, *silent))
    return Made(name, purposes, Counter(item.language for _, item, *_ in units), left_out)


Draft = tuple[str, Item, Side, Side | None, Mapping[str, str] | None]
"""A unit before it is stored: purpose, item, x, y, expected labels"""


def _about(task: Task) -> dict[str, Any]:
    return {"name": task.name, "version": task.version, "digest": task.digest, "system": dict(task.system)}


def _row(campaign: str, purpose: str, item: Item, x: Side, y: Side | None, expected: Mapping[str, str] | None) -> Any:
    return {
        "campaign": campaign,
        "purpose": purpose,
        "active": 1,
        "language": item.language,
        "item": asdict(item),
        "x": asdict(x),
        "y": None if y is None else asdict(y),
        "content": content(item, x, y),
        "expected": None if expected is None else dict(expected),
    }


def content(item: Item, x: Side, y: Side | None) -> str:
    """What a vote is bound to: the situation and the texts, whatever run they came from."""
    return fingerprint([asdict(item), x.text, None if y is None else y.text])


def _units(
    kind: str,
    task: Task,
    runs: Sequence[Run],
    settings: Settings,
    left_out: Counter[str],
) -> Iterator[Draft]:
    texts = [_texts(run, task) for run in runs]
    names = {run.manifest["system"].lower() for run in runs}
    seen: set[str] = set()
    for item in _drawn(task, texts, settings):
        found = [side for by_item in texts for side in by_item.get(item.id, ())]
        if kind == "compare":
            named = [side for side in found if tells(side.text, names)]
            left_out["names its system"] += len(named)
            found = [side for side in found if side not in named]
        for x, y in ((side, None) for side in found) if kind == "rate" else _pairs(found, settings.against, left_out):
            key = content(item, x, y)
            if key in seen:
                left_out["the same text twice"] += 1
            else:
                seen.add(key)
                yield "real", item, x, y, None
    left_out += Counter()  # drops zeros


def _texts(run: Run, task: Task) -> dict[str, list[Side]]:
    """The texts of a run by item."""
    if run.manifest["task"]["digest"] != task.digest:
        raise UsageError(f"run {run.id} was made on another version of {task.name}: run it again on the present one.")
    found: dict[str, list[Side]] = {}
    for one in run.responses():
        found.setdefault(one.item, []).append(Side(run.manifest["system"], run.id, one.sample, one.text))
    return found


def _drawn(task: Task, texts: Sequence[Mapping[str, Any]], settings: Settings) -> Sequence[Item]:
    """The items that every run answered; so many of them as wanted, drawn by the seed and left in the task's order."""
    common = [item for item in task.items if all(item.id in one for one in texts)] if texts else []
    if settings.items is None or settings.items >= len(common):
        return common
    chosen = set(Random(f"items {settings.seed}").sample(range(len(common)), settings.items))
    return [item for number, item in enumerate(common) if number in chosen]


def _pairs(found: Sequence[Side], against: str | None, left_out: Counter[str]) -> Iterator[tuple[Side, Side]]:
    """Texts of different systems, the same sample of each. x is the one whose run was named first."""
    for x, y in combinations(found, 2):
        if x.system == y.system or x.sample != y.sample:
            continue
        if against is not None and against not in (x.system, x.run, y.system, y.run):
            continue
        if x.text.strip() == y.text.strip():
            left_out["both say the same"] += 1
        else:
            yield x, y


def tells(text: str, systems: set[str]) -> bool:
    """Whether a text names its own system or a well-known model, which would end the blindness of a comparison."""
    low = text.lower()
    words = [*_FAMILIES, *(name for name in systems if not name.isalpha())]  # "base" is also a word of ours
    return any(re.search(rf"(?<![a-z0-9]){re.escape(word)}", low) for word in words if word in low)


def _gold(kind: str, exercises: Sequence[Exercise]) -> Iterator[Draft]:
    """Exercises whose agreed labels a rater should give, none that training shows with its labels. x is the first reply."""
    for one in (one for one in exercises if one.part == "test"):
        sides = [Side("", one.id, 0, reply) for reply in one.replies]
        if (len(sides) == 2) == (kind == "compare"):
            expected = {name: _by_side(agreed.label) for name, agreed in one.labels.items()}
            yield "gold", one.item, sides[0], sides[1] if len(sides) == 2 else None, expected


def _by_side(label: str) -> str:
    return {"a": "x", "b": "y"}.get(label, label)


def _attention(kind: str, settings: Settings, units: Sequence[Draft]) -> Iterator[Draft]:
    """Units with an obvious label: a reply to another item in another language fails G3, and loses to any other.

    One for each `attention` real units, where the task has items of two languages and the texts keep to them.
    """
    if not settings.attention:
        return
    rng, seen = Random(f"attention {settings.seed}"), set()
    for _, item, x, _, _ in rng.sample(units, -(-len(units) // settings.attention)):
        others = [one for one in units if one[1].language != item.language and one[1].cluster != item.cluster]
        others = [one for one in others if one[2].text.strip() and _script(one[2].text) == one[1].language]
        if not others or not x.text.strip() or _script(x.text) != item.language:
            continue
        strange = Side("", "attention", 0, rng.choice(others)[2].text)
        fair = replace(x, system="", run="attention")
        one: Draft = ("attention", item, strange, None, {"G3": "fail"})
        if kind == "compare":
            one = ("attention", item, fair, strange, {"preference": "x"})
        if (key := content(item, one[2], one[3])) not in seen:
            seen.add(key)
            yield one


def _script(text: str) -> Language:
    """The language a text is written in, by its script."""
    return "zh" if sum("\u4e00" <= one <= "\u9fff" for one in text) * 4 > len(text.strip()) else "en"


def refresh(store: Store, lead: str, name: str, task: Task, runs: Sequence[Run]) -> Made:
    """Take up texts that runs gave anew (named by the same systems): units of texts that are no more are retired.

    Votes on retired units stay in the store and count for nothing but the text that they were given for. Raises
    UsageError if the task has changed or nothing is left to judge.
    """
    found = get(store, name)
    if found.task["digest"] != task.digest:
        raise UsageError(f"campaign {name} is on another version of {task.name}: make a new campaign.")
    with store.read() as tx:
        before = {unit.content: unit for unit in units(tx, name) if unit.purpose == "real"}
    asked = {unit.item.id for unit in before.values()}
    only = replace(task, items=tuple(item for item in task.items if item.id in asked))
    left_out: Counter[str] = Counter()
    drafts = {content(one[1], one[2], one[3]): one for one in _units(found.kind, only, runs, found.settings, left_out)}
    if not drafts:
        raise UsageError(f"the runs give nothing to {found.kind}.")
    table = schema.unit
    with store.write() as tx:
        people.require(tx, lead, "lead", "refresh")
        gone = [unit.id for key, unit in before.items() if key not in drafts]
        back = [unit.id for key, unit in before.items() if key in drafts and not unit.active]
        for ids, active in ((gone, 0), (back, 1)):
            for start in range(0, len(ids), 500):
                tx.execute(update(table).where(table.c.id.in_(ids[start : start + 500])).values(active=active))
        new = [_row(name, *one) for key, one in drafts.items() if key not in before]
        if new:
            tx.execute(insert(table), new)
        store.audit(tx, lead, "refresh", {"campaign": name, "retired": len(gone), "new": len(new)})
    return Made(name, {"real": len(drafts)}, Counter(one[1].language for one in drafts.values()), left_out)


def set_open(store: Store, lead: str, name: str, is_open: bool) -> None:
    """Close a campaign, so that nothing is served or saved any more, or open it again."""
    with store.write() as tx:
        people.require(tx, lead, "lead", "set_open")
        table = schema.campaign
        if tx.execute(update(table).where(table.c.id == name).values(open=int(is_open))).rowcount != 1:
            raise _no_campaign(tx, name)
        store.audit(tx, lead, "set_open", {"campaign": name, "open": is_open})


def get(store: Store, name: str) -> Campaign:
    """The campaign of that name. Raises UsageError if there is none."""
    with store.read() as tx:
        return load(tx, name)


def listed(store: Store) -> list[Campaign]:
    """All campaigns, newest first."""
    with store.read() as tx:
        rows = tx.execute(select(schema.campaign).order_by(schema.campaign.c.created.desc(), schema.campaign.c.id))
        return [_campaign(row) for row in rows]


def load(tx: Connection, name: str) -> Campaign:
    row = tx.execute(select(schema.campaign).where(schema.campaign.c.id == name)).first()
    if row is None:
        raise _no_campaign(tx, name)
    return _campaign(row)


def _no_campaign(tx: Connection, name: str) -> UsageError:
    known = list(tx.execute(select(schema.campaign.c.id)).scalars())
    return unknown("campaign", name, known, "'easyds annotate status'")


def _campaign(row: Any) -> Campaign:
    settings = Settings(**row.settings)
    return Campaign(row.id, row.kind, row.title, bool(row.open), row.task, _rubric(row.rubric), settings, row.created)


def _rubric(row: Mapping[str, Any]) -> Rubric:
    """The rubric as it was when the campaign was made."""
    criteria = {name: _criterion(one) for name, one in row["criteria"].items()}
    return Rubric(row["name"], row["version"], criteria, row["gold"], row["digest"])


def _criterion(row: Mapping[str, Any]) -> Criterion:
    return Criterion(**{**row, "labels": tuple(row["labels"]), "sources": tuple(row["sources"])})


def units(tx: Connection, campaign: str) -> list[Unit]:
    """All units of a campaign, retired ones too."""
    query = select(schema.unit).where(schema.unit.c.campaign == campaign).order_by(schema.unit.c.id)
    return [to_unit(row) for row in tx.execute(query)]


def to_unit(row: Any) -> Unit:
    y = None if row.y is None else Side(**row.y)
    item = to_item(row.item)
    return Unit(row.id, row.campaign, row.purpose, bool(row.active), item, Side(**row.x), y, row.content, row.expected)
