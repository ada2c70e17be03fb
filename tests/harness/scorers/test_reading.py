"""Reading free text: numerals, steps, verdicts."""

from __future__ import annotations

import pytest

from harness.scorers import reading


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3, 5 and 12", [3, 5, 12]),
        ("三、五、十二", [3, 5, 12]),
        ("three, five, then twelve", [3, 5, 12]),
        ("二十，四十二，九十九", [20, 42, 99]),
        ("forty-two and ninety nine", [42, 99]),
        ("３，５", [3, 5]),
        ("3\u200b5", [35]),
        ("先看一下第 3 步，再想一想", []),
        ("step 4 is the one to look at", []),
        ("7->9->11", [7, 9, 11]),
    ],
)
def test_numbers_however_they_are_written(text: str, found: list[int]) -> None:
    assert reading.numbers(reading.normalise(text)) == found


@pytest.mark.parametrize(
    ("text", "named", "around"),
    [
        ("Look at step 3.", {3}, set()),
        ("The third operation is odd.", {3}, set()),
        ("After step 2 all is well.", set(), {2}),
        ("第 4 步有问题", {4}, set()),
        ("第四步有问题", {4}, set()),
        ("第（4）步有问题", {4}, set()),
        ("做完第 2 步之后", set(), {2}),
        ("steps 2 and 5", {2, 5}, set()),
        ("nothing here", set(), set()),
    ],
)
def test_steps(text: str, named: set[int], around: set[int]) -> None:
    found = reading.steps(reading.normalise(text))
    assert (found.named, found.around) == (named, around)


def test_places_count_as_steps_only_when_asked() -> None:
    text = reading.normalise("the fifth vertex")
    assert reading.steps(text).named == frozenset()
    assert reading.steps(text, places=True).named == {5}


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("Yes, that is correct.", True, False),
        ("That is not correct.", False, False),
        ("There is a mistake at step 2.", False, True),
        ("There is no mistake here.", True, False),
        ("没错，答案正确。", True, False),
        ("不对，第 2 步错了。", False, True),
        ("前三步都对，后面错了。", False, True),
    ],
)
def test_verdicts(text: str, right: bool, wrong: bool) -> None:
    folded = reading.normalise(text)
    assert reading.says_right(folded) is right
    assert reading.says_wrong(folded) is wrong


def test_runs() -> None:
    assert reading.holds_run([1, 2, 3, 4], [2, 3])
    assert not reading.holds_run([1, 2, 3, 4], [2, 4])
    assert reading.longest_run([9, 2, 3, 7], [1, 2, 3]) == (2, 3)
    assert reading.spread([1, 9, 2, 9, 3], [1, 2, 3]) == 5
    assert reading.spread([3, 2, 1], [1, 2, 3]) is None


def test_questions() -> None:
    assert reading.questions("why? and how??") == 2
    assert reading.open_questions("is it 3?") == 0
    assert reading.open_questions("which one is on top?") == 1
