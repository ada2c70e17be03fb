"""Precision and recall of the checks on freely written guidance that nobody tuned them to.

    python scripts/validate_checks.py                 # the test set, as a Markdown table
    python scripts/validate_checks.py --set tune      # a set that patterns were tuned on (also: more, extra, last, former)

Each text was written from an item by somebody who had seen neither checks nor phrase banks: a good reply, and a bad one
with a named defect. A check is right to flag a text if the text's defect is one that the check is for; a good text it
flags is a false alarm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import rubric
from harness.board import RATES
from harness.scorers.checks import VERSION, check
from harness.stats.intervals import wilson
from harness.task import read_items
from harness.types import Item

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "free_guidance"
RUBRIC = rubric.load("guidance")
Values = dict[str, float | None]


@dataclass(frozen=True)
class Text:
    """One reply with what the checks say of it."""

    item: Item
    kind: str
    values: Values

    @property
    def good(self) -> bool:
        return self.kind == "good"


def read(name: str) -> list[Text]:
    """All texts of a set, checked."""
    items = {item.id: item for item in read_items(FOLDER / name / "items.jsonl")}
    rows = [json.loads(line) for line in (FOLDER / name / "guidance.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Text(
            items[row["item"]],
            row["kind"],
            {key: value for key, (value, _) in check(items[row["item"]], row["text"]).items()},
        )
        for row in rows
    ]


def strict(text: Text) -> bool:
    return RATES["guidance_accuracy_strict"](text.values, RUBRIC) == 1


def lenient(text: Text) -> bool:
    return RATES["guidance_accuracy"](text.values, RUBRIC) == 1


def below(criterion: str, level: int) -> Callable[[Text], bool]:
    return lambda text: criterion in text.values and (text.values[criterion] or 0) < level


ALL_BAD = (
    "leak-plain",
    "leak-hidden",
    "wrong-diagnosis",
    "wrong-step",
    "false-state",
    "says-right",
    "says-wrong",
    "vague",
    "shotgun",
    "off-topic",
)
CHECKED: tuple[tuple[str, str, Callable[[Text], bool], tuple[str, ...]], ...] = (
    (
        "G1",
        "a false claim",
        below("G1", 1),
        ("wrong-diagnosis", "wrong-step", "false-state", "says-right", "says-wrong", "shotgun"),
    ),
    ("G2", "the answer given away", below("G2", 1), ("leak-plain", "leak-hidden")),
    (
        "D1 < 2",
        "not the right diagnosis",
        below("D1", 2),
        ("wrong-diagnosis", "says-right", "says-wrong", "vague", "shotgun", "off-topic"),
    ),
    ("D2 < 2", "not the right place", below("D2", 2), ("wrong-step", "says-right", "vague", "shotgun", "off-topic")),
    ("D7 < 2", "not about this exercise", below("D7", 2), ("vague", "off-topic")),
    ("not strict", "any defect", lambda text: not strict(text), ALL_BAD),
)
"""(check, what it is for, whether it flags a text, the defects it is for)."""


def rate(hits: Sequence[bool]) -> str:
    if not hits:
        return "-"
    interval = wilson(sum(hits), len(hits))
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}] (n = {len(hits)})"


def report(texts: Sequence[Text]) -> str:
    """Markdown: pass rates of the good, recall and precision of each check, strict passes by defect."""
    lines = [
        f"Check version {VERSION}, {len(texts)} texts.",
        "",
        "| good texts | strict | lenient |",
        "| --- | --- | --- |",
    ]
    for language in ("zh", "en", None):
        good = [text for text in texts if text.good and language in (None, text.item.language)]
        lines.append(
            f"| {language or 'both'} | {rate([strict(one) for one in good])} | {rate([lenient(one) for one in good])} |"
        )
    lines += [
        "",
        "| check | flags | recall on its defects | precision | good texts flagged |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, meaning, flags, defects in CHECKED:
        bad = [text for text in texts if text.kind in defects and (name[:2] in text.values or name == "not strict")]
        good = [text for text in texts if text.good and (name[:2] in text.values or name == "not strict")]
        caught, false = [flags(one) for one in bad], [flags(one) for one in good]
        flagged = sum(caught) + sum(false)
        precision = rate([True] * sum(caught) + [False] * sum(false)) if flagged else "-"
        lines.append(f"| {name} | {meaning} | {rate(caught)} | {precision} | {rate(false)} |")
    lines += ["", "| defect | n | pass strict | pass lenient |", "| --- | --- | --- | --- |"]
    for kind in ALL_BAD:
        bad = [text for text in texts if text.kind == kind]
        lines.append(
            f"| {kind} | {len(bad)} | {rate([strict(one) for one in bad])} | {rate([lenient(one) for one in bad])} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["test", "tune", "more", "extra", "last", "former"], default="test")
    print(report(read(parser.parse_args().set)))


if __name__ == "__main__":
    main()
