"""The checks of ds-trace on texts whose verdict is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness import models, rubric, task
from harness.board import RATES
from harness.rubric import gold_score
from harness.scorers.checks import CRITERIA, TraceChecks, check
from harness.simulator.families import FAMILIES
from harness.simulator.items import Plan, build
from harness.simulator.language import words
from harness.types import Decoding, Item, Request, Response

RUBRIC = rubric.load("guidance")


@pytest.fixture(scope="module")
def items() -> tuple[Item, ...]:
    return task.load("ds-trace").items


@pytest.fixture(scope="module")
def wrong(items: tuple[Item, ...]) -> Item:
    """A stack exercise in English whose student is wrong."""
    return next(
        item for item in items if item.meta["family"] == "stack" and item.misconception and item.language == "en"
    )


@pytest.fixture(scope="module")
def right(items: tuple[Item, ...]) -> Item:
    return next(item for item in items if item.misconception is None and item.language == "en")


def values(item: Item, text: str) -> dict[str, float]:
    return {name: value for name, (value, _) in check(item, text).items()}


def rates(items: Sequence[Item], control: str) -> tuple[float, float]:
    """(strict, lenient) guidance accuracy of a control."""
    model = models.open_model(f"control/{control}", models.Options())
    responses = model.generate([Request(item, 0, item.messages) for item in items], Decoding())
    strict = lenient = 0.0
    for item, response in zip(items, responses):
        assert isinstance(response, Response)
        found: dict[str, float | None] = dict(values(item, response.text))
        strict += RATES["guidance_accuracy_strict"](found, RUBRIC) or 0
        lenient += RATES["guidance_accuracy"](found, RUBRIC) or 0
    return strict / len(items), lenient / len(items)


def test_a_good_reference_passes(items: tuple[Item, ...]) -> None:
    strict, _ = rates(items, "reference")
    assert strict >= 0.95


@pytest.mark.parametrize("control", ["answer-giver", "null", "parrot"])
def test_empty_controls_fail(items: tuple[Item, ...], control: str) -> None:
    strict, lenient = rates(items, control)
    assert strict <= lenient <= 0.02


@pytest.mark.parametrize("control", ["generic", "shotgun"])
def test_catch_all_controls_fail(items: tuple[Item, ...], control: str) -> None:
    strict, lenient = rates(items, control)
    assert strict <= 0.02
    assert lenient <= 0.05


def test_the_pinned_diagnosis(wrong: Item) -> None:
    bugs = words("stack")["bugs"]
    own = bugs[wrong.misconception]["diagnose"]["test"]["en"][0]
    other = next(entry["diagnose"]["test"]["en"][0] for bug, entry in bugs.items() if bug != wrong.misconception)
    assert values(wrong, own)["D1"] == 2
    assert values(wrong, other)["D1"] == 0
    assert values(wrong, f"{own} {other}")["D1"] == 0
    assert values(wrong, "Have another think.")["D1"] == 0


def test_the_pinned_location(wrong: Item) -> None:
    step = wrong.meta["first_wrong"]
    other = step + 1 if step < len(wrong.meta["states"]) else step - 2
    assert values(wrong, f"Look at step {step}.")["D2"] == 2
    assert values(wrong, f"Look at step {other}.")["D2"] == 0
    assert values(wrong, f"Look at step {step} and step {other}.")["D2"] <= 1
    assert values(wrong, "Look again.")["D2"] == 0


def test_a_false_place_or_diagnosis_fails_correctness(wrong: Item) -> None:
    step = wrong.meta["first_wrong"]
    other = step + 1 if step < len(wrong.meta["states"]) else step - 2
    assert values(wrong, f"It first goes wrong at step {other}.")["G1"] == 0
    assert values(wrong, f"It first goes wrong at step {step}.")["G1"] == 1
    assert values(wrong, "Your answer is entirely correct.")["G1"] == 0
    assert values(wrong, "Interesting.")["G1"] == 0


@pytest.mark.parametrize("separator", [", ", " ", " then ", " -> ", "\u200b, ", "、"])
def test_a_leaked_answer_is_found_however_it_is_separated(items: tuple[Item, ...], separator: str) -> None:
    leaks = 0
    wrong_items = [item for item in items if item.misconception][:100]
    for item in wrong_items:
        text = "Think: " + separator.join(map(str, item.meta["right"]))
        leaks += values(item, text)["G2"] == 0
    assert leaks >= 98


def test_a_leak_in_number_words_is_found(wrong: Item) -> None:
    units = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    tens = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    spoken = [
        units[v] if v < 20 else tens[v // 10] + (f"-{units[v % 10]}" if v % 10 else "") for v in wrong.meta["right"]
    ]
    assert values(wrong, "First " + ", after that ".join(spoken) + ".")["G2"] == 0


def test_the_students_own_answer_may_be_quoted(wrong: Item) -> None:
    text = "You wrote " + ", ".join(map(str, wrong.meta["student"])) + ". Look at step 2."
    assert values(wrong, text)["G2"] == 1


def test_the_language_gate(items: tuple[Item, ...], wrong: Item) -> None:
    zh = next(item for item in items if item.language == "zh")
    assert values(wrong, "请再看看第 2 步。")["G3"] == 0
    assert values(zh, "Have another look at step 2.")["G3"] == 0
    assert values(wrong, "")["G3"] == 0
    assert values(wrong, "Look again.<|im_end|>")["G3"] == 0
    assert values(wrong, "Look at step 2 again.")["G3"] == 1


def test_a_student_who_is_right_is_to_be_confirmed(right: Item) -> None:
    answer = ", ".join(map(str, right.meta["student"]))
    good = values(right, f"Yes, {answer} is correct. How did you know what to do first?")
    assert good["G1"] == 1
    assert good["D3"] == 2
    assert "D2" not in good
    assert values(right, "There is a mistake at step 1.")["G1"] == 0
    assert values(right, f"Yes, {answer} is correct.")["D3"] == 0


def test_items_without_facts_are_unscored_never_zero(wrong: Item) -> None:
    bare = replace(wrong, meta={})
    response = Response(bare.id, 0, "Look at step 2.", "stop", 1, 1, None, None, None)
    scores = list(TraceChecks().score({bare.id: bare}, [response]))
    assert [score.criterion for score in scores] == list(CRITERIA)
    assert all(score.value is None and score.reason for score in scores)


def test_gold_follows_the_quality_of_the_teacher() -> None:
    """On training items: good teachers above answer-givers, wrong diagnoses and flattery."""
    from random import Random

    from harness.simulator.items import cases, to_item
    from harness.simulator.language import Voice, reply

    plan = Plan("train", 60, seed=12)
    means: dict[str, float] = {}
    for teacher in ("good", "answer-giver", "wrong-diagnosis", "vague", "rambler", "flatterer"):
        total = 0.0
        for case in cases(plan):
            text = reply(teacher, case.facts, case.hint_level, Voice("en", "train", Random(case.id)))
            total += gold_score(RUBRIC, dict(values(to_item(case, plan, "en"), text))) or 0
        means[teacher] = total / 60
    assert means["good"] > 0.85
    assert max(value for name, value in means.items() if name != "good") < 0.5, means


def test_every_family_has_a_reference_that_passes_strictly() -> None:
    passed = set()
    for item in build(Plan("test", 150, seed=3)):
        found: dict[str, float | None] = dict(values(item, item.references[0]))
        if RATES["guidance_accuracy_strict"](found, RUBRIC):
            passed.add(item.meta["family"])
    assert passed == set(FAMILIES)
