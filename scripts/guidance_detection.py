"""Which planted defects of ds-guidance's preference pairs a program sees, and which it misses.

    python scripts/guidance_detection.py                 # two Markdown tables
    python scripts/guidance_detection.py --thresholds    # how the screens' thresholds were chosen

First the controls on the test items. Then for every defect: the share of pairs in which a screen of
`harness/scorers/authored.py` fails the rejected reply and not the chosen one (seen), the other way round (false alarm), and
how often two measures prefer the chosen side: chrF with the item's references, and a bag of words trained on other clusters;
0.5 is chance. Intervals are clustered by problem.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import guidance_texts as texts
import numpy as np
from check_guidance import DEFECTS, read

from harness import paths
from harness.models.control import CONTROLS
from harness.scorers import authored, reference
from harness.stats.intervals import Interval, clustered_rate
from harness.types import Item

SEEN = 0.5
"""A defect that is seen in a smaller share of its pairs is named as missed."""


def pairs_read() -> list[dict[str, Any]]:
    """Every pair with what screens and measures say of its two sides."""
    content = read(paths.datasets() / "ds-guidance")
    items = {item.id: item for _, item in content.items}
    own = authored.own_words(item for item in items.values() if item.split == "train")
    rows = []
    for language in ("zh", "en"):
        pairs = [pair for pair in content.pairs if pair[1]["language"] == language]
        by_words = texts._correct(pairs, texts._by_words)
        for (_, pair), found in zip(pairs, by_words, strict=True):
            item = items[pair["item"]]
            sides = {side: pair[side][0]["content"] for side in ("chosen", "rejected")}
            near = {side: reference.chrf(text, item.references, language) for side, text in sides.items()}
            rows.append(
                {
                    "cluster": item.cluster,
                    "defect": pair["defect"],
                    "near_miss": pair["near_miss"],
                    **{side: failed(item, text, own[item.id]) for side, text in sides.items()},
                    "chrf": 0.5 + 0.5 * float(np.sign(near["chosen"] - near["rejected"])),
                    "words": float(found),
                }
            )
    return rows


def failed(item: Item, text: str, own: set[str]) -> set[str]:
    """The screens that a reply fails."""
    return {name for name, (passed, _) in authored.screen(item, text, own).items() if not passed}


def rate(rows: list[dict[str, Any]], values: list[float]) -> Interval:
    return clustered_rate(np.array(values, dtype=float), [row["cluster"] for row in rows])


def told(one: Interval) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def thresholds() -> None:
    """How COMMON and OWN were chosen: on training items, by how much more often references pass than the generic reply."""
    items = [item for _, item in read(paths.datasets() / "ds-guidance").items if item.split == "train"]
    before = authored.COMMON, authored.OWN
    for authored.COMMON in (0.03, 0.05, 0.08, 0.12):
        own = authored.own_words(items)
        for authored.OWN in (1, 2, 3):
            good = np.mean([authored.screen(i, r, own[i.id])["engages"][0] for i in items for r in i.references])
            bad = np.mean([authored.screen(i, CONTROLS["generic"](i), own[i.id])["engages"][0] for i in items])
            print(f"words of at most {authored.COMMON:.0%} of problems, {authored.OWN} of them: {good - bad:+.3f}")
    authored.COMMON, authored.OWN = before


def controls() -> Mapping[str, Mapping[str, Interval]]:
    """What the screens say of the controls on the test items, and of a second good reply."""
    items = [item for _, item in read(paths.datasets() / "ds-guidance").items if item.split == "test"]
    own = authored.own_words(items)
    replies = CONTROLS | {
        "reference": lambda item: item.references[0],
        "second reference": lambda item: item.references[1],
    }
    found: dict[str, dict[str, Interval]] = {}
    for name, answer in replies.items():
        values: dict[str, list[float]] = defaultdict(list)
        clusters: dict[str, list[str]] = defaultdict(list)
        for item in items:
            results = {key: passed for key, (passed, _) in authored.screen(item, answer(item), own[item.id]).items()}
            for key, passed in (results | {authored.ALL: all(results.values())}).items():
                values[key].append(float(passed))
                clusters[key].append(item.cluster)
        found[name] = {key: clustered_rate(np.array(values[key]), clusters[key]) for key in values}
    return found


def main() -> None:
    if sys.argv[1:] == ["--thresholds"]:
        thresholds()
        return
    print("| reply | " + " | ".join((authored.ALL, *authored.SCREENS)) + " |")
    print("| --- |" + " --- |" * (1 + len(authored.SCREENS)))
    found = controls()
    print("| n | " + " | ".join(str(found["reference"][key].n) for key in (authored.ALL, *authored.SCREENS)) + " |")
    for name, by in found.items():
        print(f"| {name} | " + " | ".join(told(by[key]) for key in (authored.ALL, *authored.SCREENS)) + " |")
    rows = pairs_read()
    print("\n| defect | n | seen | by | false alarms | chrF prefers the chosen | words prefer the chosen |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = []
    for defect in (*DEFECTS, "all"):
        mine = [row for row in rows if defect in (row["defect"], "all")]
        only = [row["rejected"] - row["chosen"] for row in mine]
        seen = rate(mine, [float(bool(one)) for one in only])
        alarms = rate(mine, [float(bool(row["chosen"] - row["rejected"])) for row in mine])
        by = ", ".join(f"{name} {n}" for name, n in Counter(name for one in only for name in one).most_common())
        measures = [told(rate(mine, [row[name] for row in mine])) for name in ("chrf", "words")]
        print(f"| {defect} | {len(mine)} | {told(seen)} | {by} | {told(alarms)} | " + " | ".join(measures) + " |")
        if seen.value < SEEN and defect != "all":
            missed.append(f"{defect} ({1 - seen.value:.0%})")
    print(f"\nMissed in more than half of the pairs: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
