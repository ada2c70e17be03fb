"""Which planted defects of ds-guidance's preference pairs a program sees, and which it misses.

    python scripts/guidance_detection.py            # a Markdown table

First the controls on the test items. Then for every defect: the share of pairs in which a screen of
`harness/scorers/authored.py` fails the rejected reply and not the chosen one (seen), the other way round (false alarm), and
how often two measures prefer the chosen side: chrF with the item's references, and a bag of words trained on other clusters;
0.5 is chance. Intervals are clustered by problem.
"""

from __future__ import annotations

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
    own = authored.own_words(items.values())
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
                    "chrf": float(near["chosen"] > near["rejected"]),
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
    print("| reply | " + " | ".join((authored.ALL, *authored.SCREENS)) + " |")
    print("| --- |" + " --- |" * (1 + len(authored.SCREENS)))
    for name, by in controls().items():
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
