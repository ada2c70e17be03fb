"""Check the authored set datasets/ds-guidance: faults (exit 1), figures, and what is missing to the declared size.

    python scripts/check_guidance.py                      # everything
    python scripts/check_guidance.py tree heap            # the faults of these areas only, while writing them
    python scripts/check_guidance.py --screens            # also list what a reader should look at

A *fault* is decided by a rule. A *screen* only asks a reader to look: it errs in both directions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import guidance_texts as texts

from harness import paths
from harness.errors import UsageError
from harness.task import read_items
from harness.types import Item

SPLITS = ("train", "validation", "test")
LANGUAGES = ("zh", "en")
STATES = ("question", "wrong-trace", "buggy-code", "stuck", "right-unsure", "frustrated")
DEFECTS = (
    "gives-answer",
    "wrong-claim",
    "off-point",
    "vague-praise",
    "too-much",
    "repeats-hint",
    "ignores-turn",
    "discouraging",
    "wrong-language",
)
CLUSTERS = {"train": 240, "validation": 60, "test": 240}
UNSEEN_SHARE = 0.15
LEVEL_SHARE = 0.10
"""Smallest share of clusters that each hint level 0-3 must have in a split."""
PAIRS = 3
"""Preference pairs of a training cluster in each language; one at least differs in one sentence."""
ALIKE = {"prompt": 70.0, "reply": 80.0}
"""Similarity (0-100) from which texts of two clusters are near-duplicates."""
SAME_STYLE = 60.0
"""Similarity from which the two references of an item are one text."""
SURFACE, WORDS = 0.60, 0.65
KINDS = ("fact", "diagnosis", "leak", "level", "language", "defect", "off", "other")
"""Why the second reader rejected something"""
PAIR_FIELDS = {"cluster", "language", "item", "prompt", "chosen", "rejected", "defect", "near_miss", "note"}


@dataclass(frozen=True)
class Fault:
    """What is wrong, and in which area's file ("" for the whole set)."""

    area: str
    what: str


@dataclass(frozen=True)
class Content:
    """The set as read from disk."""

    knowledge: Mapping[str, Any]
    catalogue: Mapping[str, Any]
    items: tuple[tuple[str, Item], ...]
    """(area of the file, item)"""
    pairs: tuple[tuple[str, Mapping[str, Any]], ...]
    reading: tuple[tuple[str, Mapping[str, Any]], ...]
    """(area, what the second reader rejected, or said of a screen's hit)"""

    @cached_property
    def points(self) -> dict[str, Any]:
        return {row["id"]: row for row in self.knowledge["points"]}

    @cached_property
    def misconceptions(self) -> dict[str, Any]:
        return {row["id"]: row for row in self.catalogue["misconceptions"]}

    @cached_property
    def clusters(self) -> dict[str, list[tuple[str, Item]]]:
        found: dict[str, list[tuple[str, Item]]] = defaultdict(list)
        for area, item in self.items:
            found[item.cluster].append((area, item))
        return found

    def split(self, name: str) -> list[Item]:
        """One item of each cluster of a split."""
        return [rows[0][1] for rows in self.clusters.values() if rows[0][1].split == name]


def read(folder: Path) -> Content:
    """Everything under `folder`. Raises UsageError for a file that is not of the right form."""
    items = [
        (path.stem, item)
        for path in sorted(folder.glob("items/*/*.jsonl"))
        if path.stat().st_size
        for item in read_items(path)
    ]
    pairs, reading = (tuple(_rows(folder / name)) for name in ("preferences", "reading"))
    knowledge, catalogue = (paths.read_yaml(folder / f"{name}.yaml") for name in ("knowledge", "misconceptions"))
    return Content(knowledge, catalogue, tuple(items), pairs, reading)


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(area, row) of every line of the files of a folder."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                yield path.stem, json.loads(line)


def knowledge_map(content: Content) -> Iterator[Fault]:
    """Ids, names, prerequisites without a cycle."""
    areas = set(content.knowledge["areas"])
    if len(content.points) < len(content.knowledge["points"]):
        yield Fault("", "knowledge.yaml: an id stands twice")
    for name, row in content.points.items():
        if set(row) != {"id", "zh", "en", "level", "needs"} or row["level"] not in (1, 2, 3):
            yield Fault("", f"knowledge.yaml: {name} needs exactly id, zh, en, level (1-3), needs")
        if name.partition(".")[0] not in areas:
            yield Fault("", f"knowledge.yaml: {name} is of no area")
        for other in set(row["needs"]) - set(content.points):
            yield Fault("", f"knowledge.yaml: {name} needs '{other}', which is no point")
    try:
        TopologicalSorter({name: row["needs"] for name, row in content.points.items()}).prepare()
    except CycleError as error:
        yield Fault("", f"knowledge.yaml: prerequisites in a circle: {' -> '.join(error.args[1])}")


def catalogue(content: Content) -> Iterator[Fault]:
    """Ids, points, both languages, sources, and bugs that the simulator has."""
    bugs = {
        bug
        for path in (Path(paths.__file__).parent / "simulator" / "words").glob("*.yaml")
        for bug in (paths.read_yaml(path).get("bugs") or {})
    }
    rows = content.catalogue["misconceptions"]
    if len(content.misconceptions) < len(rows):
        yield Fault("", "misconceptions.yaml: an id stands twice")
    for row in rows:
        where = f"misconceptions.yaml: {row['id']}"
        said = [row[language] for language in LANGUAGES]
        said += [row[name][language] for name in ("says", "apart", "next") for language in LANGUAGES]
        if not all(isinstance(text, str) and text.strip() for text in said):
            yield Fault("", f"{where}: a text is empty")
        if row["point"] not in content.points:
            yield Fault("", f"{where}: '{row['point']}' is no knowledge point")
        if row["source"] != "authored" and row["source"] not in content.catalogue["sources"]:
            yield Fault("", f"{where}: source '{row['source']}' is not listed")
        if "bug" in row and row["bug"] not in bugs:
            yield Fault("", f"{where}: the simulator has no bug '{row['bug']}'")


def items(content: Content) -> Iterator[Fault]:
    """What each item must have."""
    for area, item in content.items:
        for what in _item(content, area, item):
            yield Fault(area, f"{item.id}: {what}")


def _item(content: Content, area: str, item: Item) -> Iterator[str]:
    state = item.meta.get("state")
    if item.id != f"{item.cluster}.{item.language}":
        yield "the id must be the cluster, a dot and the language"
    if item.knowledge_point not in content.points:
        yield f"'{item.knowledge_point}' is no knowledge point"
    elif item.knowledge_point.partition(".")[0] != area:
        yield f"stands in the file of '{area}', but its point is {item.knowledge_point}"
    if item.misconception is not None and item.misconception not in content.misconceptions:
        yield f"'{item.misconception}' is no misconception of the catalogue"
    if item.split not in SPLITS or item.difficulty not in (1, 2, 3) or item.hint_level not in (0, 1, 2, 3):
        yield "split, difficulty (1-3) or hint_level (0-3) out of range"
    if state not in STATES:
        yield f"meta.state must be one of {', '.join(STATES)}"
    elif (state == "right-unsure") != (item.misconception is None):
        yield "a student is right-unsure exactly when there is no misconception"
    if len(item.messages) > 9 or [turn.role for turn in item.messages] != [
        ("user", "assistant")[number % 2] for number in range(len(item.messages))
    ]:
        yield "turns must alternate, student first, nine messages at most"
    if state == "buggy-code" and "```" not in item.messages[-1].content + item.messages[0].content:
        yield "buggy-code without a code block"
    if not 2 <= len(item.key_points.next_steps) <= 4:
        yield "two to four next_steps are wanted"
    if len(item.claims) < (2 if state == "buggy-code" else 1):
        yield "too few claims (two for buggy code, one otherwise)"
    if len(item.references) < 2:
        yield "two references are wanted"
    yield from _language(item)
    yield from texts.reference_faults(item, SAME_STYLE)


def _language(item: Item) -> Iterator[str]:
    points = item.key_points
    fields = [points.diagnosis, points.location, *points.next_steps, *(turn.content for turn in item.messages)]
    for text in fields:
        if not texts.in_language(text, item.language):
            yield f"not in {item.language}: {text[:40]!r}"


def clusters(content: Content) -> Iterator[Fault]:
    """A cluster has one zh and one en item that agree on what is asked, and the split its file says."""
    for name, rows in content.clusters.items():
        area = rows[0][0]
        if sorted(item.language for _, item in rows) != ["en", "zh"]:
            yield Fault(area, f"{name}: needs exactly one zh and one en item")
        facts = {
            (file, item.split, item.knowledge_point, item.misconception, item.hint_level, item.difficulty)
            for file, item in rows
        }
        if len(facts) > 1:
            yield Fault(
                area, f"{name}: zh and en differ in area, split, point, misconception, hint level or difficulty"
            )
        for _, item in rows:
            kept = content.misconceptions.get(item.misconception or "", {}).get("unseen", False)
            if kept and item.split != "test":
                yield Fault(area, f"{item.id}: '{item.misconception}' is for the test split only")


def files(folder: Path) -> Callable[[Content], Iterator[Fault]]:
    """Items stand in the folder of their split."""

    def check(content: Content) -> Iterator[Fault]:
        for path in sorted(folder.glob("items/*/*.jsonl")):
            if path.stem not in content.knowledge["areas"] or path.parent.name not in SPLITS:
                yield Fault("", f"{path}: not named items/<split>/<area>.jsonl")
            for item in read_items(path) if path.stat().st_size else ():
                if item.split != path.parent.name:
                    yield Fault(path.stem, f"{item.id}: split '{item.split}' in {path}")

    return check


def preferences(content: Content) -> Iterator[Fault]:
    """Fields, defects, the item's own prompt, and enough pairs of different defects for each training item."""
    by_id = {item.id: (area, item) for area, item in content.items}
    of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for area, row in content.pairs:
        if set(row) != PAIR_FIELDS:
            yield Fault(area, f"a pair needs exactly the fields {', '.join(sorted(PAIR_FIELDS))}: {str(row)[:80]}")
            continue
        where, item = by_id.get(row["item"], ("", None))
        if item is None or item.split != "train" or where != area:
            yield Fault(area, f"pair of '{row['item']}', which is no training item of this area")
            continue
        of[item.id].append(row)
        for what in texts.pair_faults(item, row, DEFECTS):
            yield Fault(area, f"pair of {item.id} ({row['defect']}): {what}")
    for area, item in content.items:
        if item.split != "train":
            continue
        rows = of[item.id]
        if len(rows) < PAIRS or not any(row["near_miss"] for row in rows):
            yield Fault(area, f"{item.id}: {PAIRS} pairs are wanted, one of them a near miss; {len(rows)} found")
        if len({row["defect"] for row in rows}) < min(PAIRS, len(rows)):
            yield Fault(area, f"{item.id}: its pairs must have different defects")


def reading(content: Content) -> Iterator[Fault]:
    """Every hit of a screen has the second reader's verdict; what was rejected was mended."""
    names = {item.id for _, item in content.items}
    judged = set()
    for area, row in content.reading:
        where = f"reading: {row.get('item')}, {row.get('field')}"
        if row.get("item") not in names:
            yield Fault(area, f"{where}: no such item")
        elif "screen" in row:
            judged.add(f"{row['item']}, {row['field']}: {row['screen']}")
            if row.get("verdict") not in ("kept", "mended") or not row.get("why"):
                yield Fault(area, f"{where}: a verdict is kept or mended, with its reason")
        elif row.get("kind") not in KINDS or not row.get("why") or not isinstance(row.get("mended"), bool):
            yield Fault(area, f"{where}: a rejection needs kind ({', '.join(KINDS)}), why and mended")
    for area, item in content.items:
        for hit in texts.screens([(area, item)]):
            if hit not in judged:
                yield Fault(area, f"{hit}: no reader's verdict in reading/{area}.jsonl")


def claims(content: Content) -> Iterator[Fault]:
    """Every claim runs and holds."""
    places: dict[str, tuple[str, str]] = {}
    for area, item in content.items:
        for claim in item.claims:
            places.setdefault(claim, (area, item.id))
    for claim, what in texts.failing_claims(list(places)):
        area, name = places[claim]
        yield Fault(area, f"{name}: the claim {claim[:60]!r} fails: {what}")


def near_duplicates(content: Content) -> Iterator[tuple[str, float, texts.Text, texts.Text]]:
    """The closest texts of two clusters, by kind, language and place, and all that are closer than allowed."""
    for language in LANGUAGES:
        for kind, rows in texts.comparable(content.items, content.pairs, language).items():
            greatest: dict[str, tuple[float, texts.Text, texts.Text]] = {}
            for alike, one, two in texts.similar(rows, ALIKE[kind]):
                place = "across splits" if one.split != two.split else "within a split"
                if alike >= ALIKE[kind]:
                    yield kind, alike, one, two
                if place not in greatest or alike > greatest[place][0]:
                    greatest[place] = (alike, one, two)
            for place, (alike, one, two) in greatest.items():
                yield f"closest {kind}, {language}, {place}", alike, one, two


def shortfalls(content: Content) -> list[str]:
    """What is missing to the size and balance that the card declares."""
    short = []
    for split, wanted in CLUSTERS.items():
        rows = content.split(split)
        if len(rows) < wanted:
            short.append(f"{split}: {len(rows)} of {wanted} clusters")
        levels = Counter(item.hint_level for item in rows)
        short += [
            f"{split}: hint level {n} in {levels[n]} of {len(rows)}"
            for n in range(4)
            if levels[n] < LEVEL_SHARE * len(rows)
        ]
    trained = {item.misconception for split in ("train", "validation") for item in content.split(split)}
    test = content.split("test")
    unseen = sum(item.misconception is not None and item.misconception not in trained for item in test)
    if unseen < UNSEEN_SHARE * len(test):
        short.append(f"test: {unseen} of {len(test)} clusters on misconceptions absent from training")
    covered = {item.knowledge_point for _, item in content.items}
    if missing := sorted(set(content.points) - covered):
        short.append(f"points without an item: {', '.join(missing)}")
    return short + texts.imbalances(content.pairs, SURFACE, WORDS)


def figures(content: Content) -> dict[str, Any]:
    """Counts for the card."""
    table = Counter((item.split, area, item.language) for area, item in content.items)
    found: dict[str, Any] = {
        "knowledge points": len(content.points),
        "misconceptions": f"{len(content.misconceptions)} ({sum(bool(row.get('unseen')) for row in content.misconceptions.values())} kept for test)",
    }
    for split in SPLITS:
        rows = content.split(split)
        found[f"{split}: clusters"] = len(rows)
        for name, of in (
            ("hint levels", lambda i: i.hint_level),
            ("states", lambda i: i.meta.get("state")),
            ("student turns", lambda i: (len(i.messages) + 1) // 2),
        ):
            found[f"{split}: {name}"] = dict(sorted(Counter(of(item) for item in rows).items()))
        found[f"{split}: items by area (zh/en)"] = {
            area: f"{table[split, area, 'zh']}/{table[split, area, 'en']}" for area in content.knowledge["areas"]
        }
    found["claims"] = sum(len(item.claims) for _, item in content.items)
    rejected = [row for _, row in content.reading if "screen" not in row]
    found["second reading: rejected"] = dict(Counter(row["kind"] for row in rejected))
    found["second reading: items with a rejection"] = len({row["item"] for row in rejected})
    found["second reading: rejected and not mended"] = [row["item"] for row in rejected if not row["mended"]]
    found["screens: verdicts"] = dict(Counter(row["verdict"] for _, row in content.reading if "screen" in row))
    found["pairs"] = dict(Counter(row["language"] for _, row in content.pairs))
    found["defects"] = dict(Counter(row["defect"] for _, row in content.pairs))
    return found | texts.pair_figures(content.pairs)


def report(folder: Path, areas: Iterable[str] = ()) -> tuple[list[Fault], list[str], dict[str, Any]]:
    """Faults (of these areas and of the whole set), what is missing to the declared size, figures."""
    content = read(folder)
    checks = (knowledge_map, catalogue, items, clusters, files(folder), preferences, reading, claims)
    found = [fault for check in checks for fault in check(content)]
    seen = figures(content)
    for kind, alike, one, two in near_duplicates(content):
        if kind in ALIKE:
            found.append(Fault(one.area, f"{one.name} and {two.name} read alike ({kind}, {alike:.0f} of 100)"))
        else:
            seen[kind] = f"{alike:.0f} of 100 ({one.name}, {two.name})"
    wanted = set(areas)
    return [one for one in found if not wanted or one.area in wanted | {""}], shortfalls(content), seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*")
    parser.add_argument("--screens", action="store_true", help="list what a reader should look at")
    parser.add_argument("--folder", type=Path, default=paths.datasets() / "ds-guidance")
    options = parser.parse_args()
    try:
        found, short, seen = report(options.folder, options.areas)
        screens = list(texts.screens(read(options.folder).items, options.areas)) if options.screens else []
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    for name, value in seen.items():
        print(f"{name}: {value}")
    for kind, lines in (("screen", screens), ("missing", short), ("FAULT", [fault.what for fault in found])):
        for line in lines:
            print(f"{kind}: {line}")
    print(f"{len(found)} faults, {len(short)} things missing to the declared size")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
