"""Preference pairs for ds-trace, labelled by a simulated rater whose errors are known.

A pair is two answers to one training exercise: teacher-made (a good answer against one with a planned fault) or sampled
(two answers of one system, from a run folder). The rater compares their gold scores g by the Bradley-Terry model,
P(a over b) = sigmoid((g_a - g_b) / temperature + length_bias (l_a - l_b) / 100) for l characters, and then confuses the
two with probability `flips`. Since P is known, so is the highest accuracy that any model of the labels can reach.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from random import Random
from typing import Any

from harness import task as tasks
from harness.errors import UsageError, unknown
from harness.record import Run
from harness.rubric import gold_score
from harness.scorers.checks import check
from harness.simulator.core import Facts
from harness.simulator.items import Case, Plan, bank_of, cases, to_item
from harness.simulator.language import WRONG, Teacher, Voice, compose, reply
from harness.types import Item, Task


@dataclass(frozen=True, slots=True)
class Rater:
    """How labels come to be. `temperature` in units of the gold score; 0 always prefers the better one."""

    temperature: float = 0.2
    flips: float = 0.02
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 <= self.flips < 0.5:
            raise UsageError("--temperature must be at least 0, and --flips at least 0 and below 0.5.")

    def chance(self, first: tuple[str, float], second: tuple[str, float]) -> float:
        """Probability that the first of two (text, gold score) is labelled as the better one."""
        (a, better), (b, worse) = first, second
        bias = self.length_bias * (len(a) - len(b)) / 100
        if self.temperature > 0:
            logit = (better - worse) / self.temperature + bias
        else:
            logit = math.copysign(math.inf, better - worse) if better != worse else bias
        plain = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
        return plain * (1 - self.flips) + (1 - plain) * self.flips


Maker = Callable[["Situation"], str | None]


@dataclass(frozen=True, slots=True)
class Situation:
    """One exercise in one language, with another exercise to stray to."""

    facts: Facts
    hint_level: int
    voice: Voice
    other: Facts

    def good(self, facts: Facts | None = None, language: str | None = None) -> str:
        voice = Voice(language or self.voice.language, self.voice.bank, self.voice.rng, self.voice.plain)
        return reply("good", facts or self.facts, self.hint_level, voice)

    def teacher(self, name: str) -> str:
        return reply(name, self.facts, self.hint_level, self.voice)

    def wrong_diagnosis(self) -> str | None:
        """The good answer with another misconception named; None for a student who is right: there it names none."""
        if self.facts.bug is None:
            return None
        acts = tuple("mislead" if act == "diagnose" else act for act in WRONG["good"][self.hint_level])
        return compose(Teacher(self.facts, self.voice), acts)

    def wrong_step(self) -> str | None:
        """The good answer about another step than the first wrong one."""
        steps = [step for step in range(1, len(self.facts.right.steps) + 1) if step != self.facts.first_wrong]
        if self.facts.bug is None or not steps:
            return None
        return self.good(facts=replace(self.facts, first_wrong=self.voice.rng.choice(steps)))


KINDS: dict[str, Maker] = {
    "leak": lambda one: one.teacher("answer-giver") if one.facts.bug else None,
    "language": lambda one: one.good(language={"zh": "en", "en": "zh"}[one.voice.language]),
    "off-topic": lambda one: one.good(facts=one.other),
    "wrong-diagnosis": lambda one: one.wrong_diagnosis(),
    "wrong-step": lambda one: one.wrong_step(),
    "false-alarm": lambda one: one.teacher("wrong-diagnosis") if one.facts.bug is None else None,
    "vague": lambda one: one.teacher("vague"),
    "false-praise": lambda one: one.teacher("flatterer") if one.facts.bug else None,
    "ramble": lambda one: one.teacher("rambler"),
}
"""The faults of a teacher-made rejected answer. The two `wrong-` kinds are hard: the good answer with one fact wrong."""
SAMPLED = "sampled"


def teacher_pairs(plan: Plan, task: Task, rater: Rater, kinds: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """One pair for each exercise of `plan` in each language, the faults in turn. Raises UsageError for a test split."""
    refuse_test(plan.split, "the plan")
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind", kind, list(KINDS), "--kind")
    wanted = list(kinds or KINDS)
    for number, case, situation in situations(plan, "pair"):
        made = faulty(situation, wanted, number)
        if made:
            kind, bad = made
            good = situation.good()
            if bad != good:
                item = to_item(case, plan, situation.voice.language)
                yield _label(item, (good, bad), kind, task, rater)


def situations(plan: Plan, purpose: str) -> Iterator[tuple[int, Case, Situation]]:
    """Every exercise of `plan` in each language, with its number. `purpose` seeds the wording."""
    found = list(cases(plan))
    for number, case in enumerate(found):
        stray = next(
            (one for one in _after(found, number) if one.facts.problem.family != case.facts.problem.family), None
        )
        for language in plan.languages:
            voice = Voice(
                language, bank_of(plan.split), Random(f"{purpose} {case.id} {language}"), plan.register == "worked"
            )
            yield number, case, Situation(case.facts, case.hint_level, voice, (stray or case).facts)


def _after(found: Sequence[Case], number: int) -> Iterable[Case]:
    return (found[(number + step) % len(found)] for step in range(1, min(len(found), 50)))


def faulty(situation: Situation, kinds: Sequence[str], number: int) -> tuple[str, str] | None:
    """(kind, text) of the next kind that exists for this exercise."""
    for step in range(len(kinds)):
        kind = kinds[(number + step) % len(kinds)]
        text = KINDS[kind](situation)
        if text is not None:
            return kind, text
    return None


def sampled_pairs(run: Run, task: Task, rater: Rater, per_item: int = 1) -> Iterator[dict[str, Any]]:
    """Up to `per_item` pairs of answers of unequal gold score for each item of a run. Raises UsageError for test items."""
    require_task(run, task)
    items = {item.id: item for item in task.items}
    texts: dict[str, set[str]] = defaultdict(set)
    for response in run.responses():
        refuse_test(items[response.item].split, f"run {run.id}")
        if response.text.strip() and response.finish_reason == "stop":
            texts[response.item].add(response.text)
    for name, answers in sorted(texts.items()):
        item = items[name]
        scored = [(text, gold(task, item, text)) for text in sorted(answers)]
        unequal = [pair for pair in combinations(scored, 2) if pair[0][1] != pair[1][1]]
        for (a, _), (b, _) in Random(f"sampled {name}").sample(unequal, min(per_item, len(unequal))):
            yield _label(item, (a, b), SAMPLED, task, rater)


def scored_pairs(runs: Sequence[Run], task: Task, by: str, margin: float = 0.0) -> Iterator[dict[str, Any]]:
    """The best and the worst answer to each item over several systems' runs, if they differ by more than `margin`.

    `by` is `gold_score` (from the scores that the runs hold, whoever gave them) or a criterion. Unscored answers and cut
    ones take no part. Raises UsageError for test items, runs on another task, and runs that hold no such score.
    """
    items = {item.id: item for item in task.items}
    found: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    for run in runs:
        require_task(run, task)
        values = _values(run, task, by)
        for response in run.responses():
            refuse_test(items[response.item].split, f"run {run.id}")
            value = values.get((response.item, response.sample))
            if value is not None and response.text.strip() and response.finish_reason == "stop":
                found[response.item].append((value, response.text, str(run.manifest["system"])))
    for name, answers in sorted(found.items()):
        best, worst = max(answers, key=lambda one: (one[0], one[1])), min(answers, key=lambda one: (one[0], one[1]))
        if best[0] - worst[0] > margin and best[1] != worst[1]:
            prompt = [asdict(turn) for turn in tasks.prompt(task, items[name])]
            told = {"margin": best[0] - worst[0], "by": by, "systems": [best[2], worst[2]]}
            yield {
                "prompt": prompt,
                "chosen": best[1],
                "rejected": worst[1],
                "kind": "scored",
                **told,
                "item": asdict(items[name]),
            }


def _values(run: Run, task: Task, by: str) -> dict[tuple[str, int], float | None]:
    """The gold score, or one criterion, of each answer of a run, from the sources of its last scoring."""
    sources = set(run.manifest.get("scorers", ()))
    scores = [one for one in run.scores() if one.source in sources and one.item != "*"]
    if by != "gold_score":
        values = {(one.item, one.sample): one.value for one in scores if one.criterion == by}
        if not values:
            known = sorted({one.criterion for one in scores})
            raise unknown(f"score of run {run.id}", by, ["gold_score", *known], "--by")
        return values
    found: dict[tuple[str, int], dict[str, float | None]] = defaultdict(dict)
    for one in scores:
        found[one.item, one.sample][one.criterion] = one.value
    return {key: gold_score(task.rubric, values) for key, values in found.items()}


def require_task(run: Run, task: Task) -> None:
    """Raises UsageError for a run on another task, or on an earlier version of it."""
    if run.manifest["task"]["digest"] != task.digest:
        raise UsageError(f"run {run.id} was made on another task than {task.name} as it is now. Give its task file.")


def relabelled(rows: Iterable[Mapping[str, Any]], rater: Rater) -> Iterator[dict[str, Any]]:
    """The same pairs with another rater's labels. Pairs of equal gold scores are left out: they have nothing to tell."""
    for row in rows:
        first, second = ((row[side], score) for side, score in zip(("chosen", "rejected"), row["gold"]))
        if first[1] != second[1]:
            yield {**row, **_chosen(first, second, rater, f"label again {row['prompt']} {sorted((first, second))}")}


def gold(task: Task, item: Item, text: str) -> float:
    """The gold score of one text by the checks."""
    return gold_score(task.rubric, {name: value for name, (value, _) in check(item, text).items()}) or 0.0


def refuse_test(split: str, what: str) -> None:
    """Raises UsageError for a test split."""
    if split.startswith("test"):
        raise UsageError(f"{what} holds items of the split '{split}'. Test items never train: use train or validation.")


def _label(item: Item, texts: tuple[str, str], kind: str, task: Task, rater: Rater) -> dict[str, Any]:
    """A row of preference data. `chance` is the rater's probability of just this label."""
    first, second = ((text, gold(task, item, text)) for text in texts)
    label = _chosen(first, second, rater, f"label {item.id} {kind} {texts[0]} {texts[1]}")
    prompt = [asdict(turn) for turn in tasks.prompt(task, item)]
    return {"prompt": prompt, **label, "kind": kind, "item": asdict(item)}


def _chosen(first: tuple[str, float], second: tuple[str, float], rater: Rater, draw: str) -> dict[str, Any]:
    """Which of two (text, gold score) the rater prefers, by the noise that `draw` names."""
    chance = rater.chance(first, second)
    if Random(draw).random() >= chance:
        first, second, chance = second, first, 1 - chance
    return {
        "chosen": first[0],
        "rejected": second[0],
        "gold": [first[1], second[1]],
        "chance": round(chance, 6),
    }


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For all pairs and each kind: n, the share of labels that agree with the gold score, and the ceiling.

    The ceiling is the mean of max(P, 1 - P): the accuracy on such labels of a model that knows P. A tie in gold
    score counts as half an agreement.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups["all"].append(row)
        groups[row["kind"]].append(row)
    return [
        {
            "kind": kind,
            "n": len(group),
            "agrees": sum((row["gold"][0] > row["gold"][1]) + (row["gold"][0] == row["gold"][1]) / 2 for row in group)
            / len(group),
            "ceiling": sum(max(row["chance"], 1 - row["chance"]) for row in group) / len(group),
        }
        for kind, group in sorted(groups.items(), key=lambda pair: (pair[0] != "all", pair[0]))
    ]
