"""Statements about contents, held against the right run."""

from __future__ import annotations

import re

import pytest

from harness import task
from harness.scorers.claims import false_claim
from harness.scorers.numerals import normalise, numbers

STACK = {
    "family": "stack",
    "ops": [["push 3", "push 5", "pop"], ["push 3", "push 5", "pop"]],
    "states": [[3], [3, 5], [3]],
    "right": [5, 3],
}
CIRCULAR = {
    "family": "circular-queue",
    "ops": [["入队 7", "入队 8"], ["enqueue 7", "enqueue 8"]],
    "states": [[0, 1, 7, None, None], [0, 2, 7, 8, None]],
    "right": [0, 2, 7, 8],
}


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("After step 2 the stack holds 3, 5.", False),
        ("After step 2 the stack holds 5, 3.", False),
        ("After step 2 the stack holds 3, 4.", True),
        ("After step 3 the stack holds 3, 5.", True),
        ("Before step 3 the stack holds 3, 5.", False),
        ("After step 2 the top of the stack is 5.", False),
        ("After step 2 the top of the stack is 3.", True),
        ("After step 2 is the top of the stack 3?", False),
        ("After step 2 your top is 3.", False),
        ("If the top is 4, what does pop return?", False),
        ("The top is 4.", True),
        ("第 2 步之后栈顶是 5。", False),
        ("第 2 步之后栈顶是 3。", True),
        ("第 2 步之后栈里有 2 个元素。", False),
        ("第 2 步之后栈里有 3 个元素。", True),
        ("5 is smaller than 3.", True),
    ],
)
def test_a_stack(text: str, false: bool) -> None:
    assert bool(false_claim(normalise(text), STACK, "")) is false


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("Once step 2 is done, rear is at 2.", False),
        ("Once step 2 is done, rear is at 3.", True),
        ("第 2 步做完，下标 1 上是 8。", False),
        ("第 2 步做完，下标 1 上是 7。", True),
        ("Slot 2 is empty.", False),
        ("After step 2, slot 1 is empty.", True),
    ],
)
def test_a_circular_queue(text: str, false: bool) -> None:
    assert bool(false_claim(normalise(text), CIRCULAR, "")) is false


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_the_exercise_gives_is_known(language: str) -> None:
    """The array of a binary search and the list that linked-list exercises start from are read from the exercise."""
    checked = 0
    for item in task.load("ds-trace").items:
        if item.language != language or item.meta["family"] not in ("binary-search", "linked-list"):
            continue
        prompt = normalise(item.messages[-1].content)
        given = numbers(
            normalise(item.messages[-1].content.split("\n")[1].split("。" if language == "zh" else ". ")[0])
        )
        if item.meta["family"] == "linked-list":
            right, wrong = f"{given[0]} points to {given[1]}.", f"{given[1]} points to {given[0]}."
        else:
            array = given[:-1] if language == "zh" else given[1:]
            base = 1 if re.search("low ?= ?1", prompt) else 0
            right, wrong = (f"Index {base + i} holds {array[2]}." for i in (2, 3))
        assert not false_claim(normalise(right), item.meta, prompt)
        assert false_claim(normalise(wrong), item.meta, prompt)
        checked += 1
    assert checked > 20
