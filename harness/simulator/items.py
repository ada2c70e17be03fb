"""Items of ds-trace: exercises with a student's answer, built by seed.

Splits are disjoint by the canonical structure of the exercise: a structure belongs to one split by its hash, so no
renaming of numbers carries a training exercise into the test. Bugs in UNSEEN occur in the split test-unseen only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from harness.errors import UsageError, unknown
from harness.simulator.core import Facts, Family, explain
from harness.simulator.families import FAMILIES
from harness.simulator.language import Bank, Voice, numbers, op_text, reply, student_turn, words
from harness.types import Item, KeyPoints, Message

SPLITS: dict[str, range] = {
    "train": range(70),
    "validation": range(70, 80),
    "test": range(80, 100),
    "test-unseen": range(80, 100),
}
"""Which hundredths of all structures (by hash) belong to a split."""

UNSEEN = frozenset(
    {
        "stack.push-replaces",
        "bst-insert.insert-between",
        "bst-traversal.level-order",
        "heap.left-child",
        "union-find.reversed",
        "insertion-sort.selects-minimum",
        "quick-partition.larger-left",
        "binary-search.counts-from-start",
    }
)
"""Misconceptions that no training split contains."""

RIGHT_EVERY = 6
"""One cluster in so many has a student who is right."""

ATTEMPTS = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Which items to build. The same plan gives the same bytes."""

    split: str
    clusters: int
    seed: int = 0
    families: tuple[str, ...] = ()
    difficulties: tuple[int, ...] = (1, 2, 3)
    hint_levels: tuple[int, ...] = (0, 1, 2)
    languages: tuple[str, ...] = ("zh", "en")
    register: str = "full"
    """full, or worked: a bare exercise with the student's contents after every step, and one phrase an act (for the demo's
    toy model)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster before it is put into words."""

    id: str
    facts: Facts
    difficulty: int
    hint_level: int
    canonical: str


def build(plan: Plan) -> Iterator[Item]:
    """The items of `plan`, cluster by cluster, each in every language. Raises UsageError for a plan that cannot be met."""
    for case in cases(plan):
        for language in plan.languages:
            yield to_item(case, plan, language)


def cases(plan: Plan) -> Iterator[Case]:
    """The clusters of `plan`, balanced by misconception; distinct structures outside the training split."""
    _check(plan)
    families = [FAMILIES[name] for name in plan.families] or list(FAMILIES.values())
    wrong = [
        (family, bug) for family in families for bug in family.bugs if (bug in UNSEEN) == (plan.split == "test-unseen")
    ]
    if not wrong:
        raise UsageError(f"the families {', '.join(plan.families)} have no misconception in the split {plan.split}.")
    Random(f"order {plan.seed} {plan.split}").shuffle(wrong)
    seen: set[tuple[str, str | None]] = set()
    right = 0
    for number in range(plan.clusters):
        rng = Random(f"{plan.seed} {plan.split} {number}")
        if number % RIGHT_EVERY == RIGHT_EVERY - 1:
            family, bug = families[right % len(families)], None
            round_ = right // len(families)
            right += 1
        else:
            family, bug = wrong[(number - right) % len(wrong)]
            round_ = (number - right) // len(wrong)
        difficulty = plan.difficulties[(round_ + number) % len(plan.difficulties)]
        facts, canonical = _find(family, bug, difficulty, plan.split, rng, seen)
        level = plan.hint_levels[(round_ // len(plan.difficulties) + number + round_) % len(plan.hint_levels)]
        yield Case(f"{plan.split}-{plan.seed}-{number:05d}", facts, difficulty, level, canonical)


def _check(plan: Plan) -> None:
    if plan.split not in SPLITS:
        raise unknown("split", plan.split, list(SPLITS), "ds-trace")
    for name in plan.families:
        if name not in FAMILIES:
            raise unknown("family", name, list(FAMILIES), "ds-trace")
    if plan.register not in ("full", "worked"):
        raise unknown("register", plan.register, ["full", "worked"], "ds-trace")
    for name in plan.families or FAMILIES:
        if plan.register == "worked" and "worked" not in words(name):
            raise UsageError(
                f"the family {name} has no worked register. Name families that have one, or use the full register."
            )
    if plan.clusters < 1:
        raise UsageError(f"a plan needs at least one cluster, not {plan.clusters}.")


def _find(
    family: Family, bug: str | None, difficulty: int, split: str, rng: Random, seen: set[tuple[str, str | None]]
) -> tuple[Facts, str]:
    """A problem of the split that `bug` alone explains (or any, for a student who is right)."""
    for _ in range(ATTEMPTS):
        problem = family.sample(rng, difficulty)
        canonical = family.canonical(problem)
        if split_of(canonical) not in (split, split.removesuffix("-unseen")) or (canonical, bug) in seen:
            continue
        facts = explain(family, problem, bug)
        if facts is not None:
            if split != "train":
                seen.add((canonical, bug))
            return facts, canonical
    raise UsageError(
        f"no further {family.name} exercise of difficulty {difficulty} for {bug} in the split {split}: ask for fewer clusters."
    )


def split_of(canonical: str) -> str:
    """The split (train, validation or test) that a structure belongs to."""
    part = int.from_bytes(hashlib.blake2b(canonical.encode(), digest_size=4).digest(), "big") % 100
    return next(name for name, parts in SPLITS.items() if part in parts)


def bank_of(split: str) -> Bank:
    """Phrases of a split: test phrases for the test splits, training phrases for the others."""
    return "test" if split.startswith("test") else "train"


def to_item(case: Case, plan: Plan, language: Any) -> Item:
    """One cluster in one language."""
    facts = case.facts
    family = FAMILIES[facts.problem.family]
    voice = Voice(language, bank_of(plan.split), Random(f"{case.id} {language}"), plan.register == "worked")
    turn = student_turn(facts, case.hint_level, voice, plan.register)
    references = tuple(reply("good", facts, case.hint_level, voice) for _ in range(2))
    return Item(
        id=f"{case.id}.{language}",
        cluster=case.id,
        language=language,
        knowledge_point=family.knowledge_point,
        misconception=facts.bug,
        difficulty=case.difficulty,
        split=plan.split,
        hint_level=case.hint_level,
        messages=(Message("user", turn),),
        key_points=_key_points(facts, language),
        answer=numbers(facts.right.answer),
        references=references,
        meta=_meta(facts),
    )


def _key_points(facts: Facts, language: str) -> KeyPoints:
    if facts.bug is None:
        return KeyPoints(
            {"zh": "学生的答案是正确的。", "en": "The student's answer is right."}[language],
            {"zh": "没有错误的步骤。", "en": "No step is wrong."}[language],
            tuple(words(facts.problem.family)["extend"]["test"][language]),
        )
    bug = words(facts.problem.family)["bugs"][facts.bug]
    step = {"zh": f"第 {facts.first_wrong} 步", "en": f"step {facts.first_wrong}"}[language]
    return KeyPoints(bug["description"][language], step, tuple(bug["rule"]["test"][language]))


def _meta(facts: Facts) -> dict[str, Any]:
    """The facts as data: what the checks compute from."""
    problem = facts.problem
    listed = words(problem.family).get("list_ops", True) and words(problem.family).get("edges") != "ops"
    return {
        "family": problem.family,
        "bug": facts.bug,
        "first_wrong": facts.first_wrong,
        "right": list(facts.right.answer),
        "student": list(facts.student.answer),
        "ops": [[op_text(problem, op, language) for op in problem.ops] for language in ("zh", "en")]
        if listed
        else None,
        "states": [list(step.state) for step in facts.right.steps],
        "locus": _locus(facts),
    }


def _locus(facts: Facts) -> list[int]:
    """The numbers that stand at the first wrong step: its operands, and where the two runs part, the number before
    and the two that differ."""
    if facts.first_wrong is None:
        return []
    index = facts.first_wrong - 1
    found: list[int] = []
    for trace in (facts.right, facts.student):
        if index < len(trace.steps):
            found += [value for value in trace.steps[index].op[1:] if isinstance(value, int)][:2]
    right, student = (trace.steps[min(index, len(trace.steps) - 1)].state for trace in (facts.right, facts.student))
    part = next((i for i in range(max(len(right), len(student))) if right[i : i + 1] != student[i : i + 1]), None)
    if part is not None:
        around = [state[i] for state in (right, student) for i in (part - 1, part) if 0 <= i < len(state)]
        found += [value for value in around if value is not None]
    return sorted(set(found))
