"""Search for texts that score high and are bad, so that a person can read them and mend the checks.

    python scripts/fuzz_checks.py constant --language en    # one text for every item: becomes control/generic
    python scripts/fuzz_checks.py acts --top 50             # bad acts that still score, item by item

Works on training items only. The first search climbs from the empty text, adding, dropping and swapping phrases of the
training banks, step numbers and number lists; the second tries compositions of acts that contain a bad one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from harness import rubric
from harness.board import RATES
from harness.rubric import gold_score
from harness.scorers.checks import check
from harness.simulator.families import FAMILIES
from harness.simulator.items import Case, Plan, cases, to_item
from harness.simulator.language import ACTS, Teacher, Voice, compose, words
from harness.types import Item

RUBRIC = rubric.load("guidance")
BAD_ACTS = {"give_away", "mislead", "wrong_step", "praise", "ramble"}


@dataclass(frozen=True)
class Value:
    """Mean scores of one text over items; ordered by what the search maximises."""

    strict: float
    lenient: float
    gold: float

    def key(self) -> tuple[float, float, float]:
        return (2 * self.strict + self.lenient, self.gold, 0.0)


def evaluate(text: str, items: Sequence[Item]) -> Value:
    strict = lenient = gold = 0.0
    for item in items:
        values: dict[str, float | None] = {name: value for name, (value, _) in check(item, text).items()}
        strict += RATES["guidance_accuracy_strict"](values, RUBRIC) or 0
        lenient += RATES["guidance_accuracy"](values, RUBRIC) or 0
        gold += gold_score(RUBRIC, values) or 0
    n = len(items)
    return Value(strict / n, lenient / n, gold / n)


def phrases(language: str, rng: Random) -> list[str]:
    """Candidate sentences: every training phrase without placeholders filled by guesses, steps, and number lists."""
    found: list[str] = []
    for name in FAMILIES:
        family = words(name)
        for bug in family["bugs"].values():
            for kind in ("diagnose", "rule", "ask"):
                found += [one.format(step=rng.randint(1, 6), op="") for one in bug[kind]["train"][language]]
        found += family["extend"]["train"][language]
    common = words("common")
    for kind in ("praise", "ramble", "redo"):
        found += [one.format(step=rng.randint(1, 6)) for one in common[kind]["train"][language]]
    for step in range(1, 9):
        where = common["where"]["step"][language].format(step=step)
        found += [one.format(where=where) for one in common["locate"]["train"][language]]
    found += [
        ", ".join(map(str, sorted(rng.sample(range(limit), size)))) + ("。" if language == "zh" else ".")
        for limit in (10, 20, 100)
        for size in (3, 6, 10)
    ]
    found += [{"zh": f"{value} 呢？", "en": f"What about {value}?"}[language] for value in range(100)]
    found += {
        "zh": ["你的答案完全正确。", "请重做一遍。", "为什么？"],
        "en": ["Your answer is entirely correct.", "Please redo it.", "Why?"],
    }[language]
    return found


def climb(language: str, items: Sequence[Item], rng: Random, rounds: int, tries: int) -> tuple[str, Value]:
    """The best constant text found."""
    joiner = words("common")["joiner"][language]
    bank = phrases(language, rng)
    best: list[str] = []
    value = evaluate("", items)
    for number in range(rounds):
        changed = False
        for candidate in _neighbours(best, rng.sample(bank, min(tries, len(bank)))):
            score = evaluate(joiner.join(candidate), items)
            if score.key() > value.key():
                best, value, changed = candidate, score, True
        print(
            f"round {number + 1}: strict {value.strict:.3f} lenient {value.lenient:.3f} gold {value.gold:.3f} {joiner.join(best)!r}",
            file=sys.stderr,
        )
        if not changed and number > 1:
            break
    return joiner.join(best), value


def _neighbours(current: list[str], bank: Sequence[str]) -> Iterable[list[str]]:
    for i in range(len(current)):
        yield current[:i] + current[i + 1 :]
    for phrase in bank:
        yield [*current, phrase]
        if current:
            i = hash(phrase) % len(current)
            yield [*current[:i], phrase, *current[i + 1 :]]


COMPOSITIONS = [acts for size in (2, 3, 4) for acts in itertools.permutations(ACTS, size) if BAD_ACTS & set(acts)]


def bad_compositions(
    case: Case, plan: Plan, language: str, rng: Random, tries: int
) -> Iterable[tuple[Value, str, str]]:
    """Random compositions of two to four acts with a bad one among them, scored on their item."""
    item = to_item(case, plan, language)
    for acts in rng.sample(COMPOSITIONS, tries):
        text = compose(Teacher(case.facts, Voice(language, "train", Random(f"{case.id}{acts}"))), acts)
        yield evaluate(text, [item]), "+".join(acts), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", choices=["constant", "acts"])
    parser.add_argument("--language", choices=["zh", "en"], default="en")
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tries", type=int, default=150)
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    plan = Plan("train", args.items, seed=args.seed + 1000)
    rng = Random(args.seed)
    if args.search == "constant":
        items = [to_item(case, plan, args.language) for case in cases(plan)]
        text, value = climb(args.language, items, rng, args.rounds, args.tries)
        print(
            json.dumps(
                {
                    "language": args.language,
                    "text": text,
                    "strict": value.strict,
                    "lenient": value.lenient,
                    "gold": value.gold,
                },
                ensure_ascii=False,
            )
        )
        return
    found = []
    for case in cases(plan):
        for value, acts, text in bad_compositions(case, plan, args.language, rng, 60):
            found.append((value.gold, acts, case.facts.bug, text))
    found.sort(key=lambda row: -row[0])
    for gold, acts, bug, text in found[: args.top]:
        print(json.dumps({"gold": round(gold, 3), "acts": acts, "bug": bug, "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main()
