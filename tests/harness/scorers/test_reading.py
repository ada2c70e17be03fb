"""Reading free text: numerals, steps, verdicts."""

from __future__ import annotations

import pytest

from harness.scorers import numerals, places, verdicts


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
    assert numerals.numbers(numerals.normalise(text)) == found


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
    found = places.steps(numerals.normalise(text))
    assert (found.named, found.around) == (named, around)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Step 2 is fine, but step 3 goes wrong.", {3}),
        ("第 2 步没问题，第 3 步错了。", {3}),
        ("The first six operations are handled well. Look at operation 7.", {7}),
        ("Steps 2 and 5 are wrong.", {2, 5}),
    ],
)
def test_steps_that_are_cleared_are_not_pointed_at(text: str, named: set[int]) -> None:
    assert places.pointed(places.mentions(numerals.normalise(text))).named == named


def test_what_comes_of_the_wrong_step_is_not_pointed_at() -> None:
    def left(text: str) -> frozenset[int]:
        found = places.mentions(numerals.normalise(text))
        return places.pointed(places.without_followers(found, 3)).named

    assert left("It slips at step 3. What does that mean for step 5?") == {3}
    assert left("It slips at step 3. It goes wrong again at step 5.") == {3, 5}
    assert left("Look at step 3 and step 5.") == {3, 5}
    assert left("It slips at step 2. What about step 5?") == {2, 5}


def test_the_nth_operation_of_a_kind_is_a_step() -> None:
    kinds = ["push", "push", "pop", "push", "pop"]
    assert places.pointed(places.mentions("your second pop took the wrong one", kinds=kinds)).named == {5}
    assert places.pointed(places.mentions("第 1 次弹出就不对", kinds=kinds)).named == {3}


def test_endless_numbers_do_no_harm() -> None:
    assert numerals.numbers(numerals.normalise("9" * 5000)) == [999999999]


def test_places_count_as_steps_only_when_asked() -> None:
    text = numerals.normalise("the fifth vertex")
    assert places.steps(text).named == frozenset()
    assert places.steps(text, places=True).named == {5}


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
    folded = numerals.normalise(text)
    assert verdicts.says_right(folded) is right
    assert verdicts.says_wrong(folded) is wrong


def test_runs() -> None:
    assert numerals.holds_run([1, 2, 3, 4], [2, 3])
    assert not numerals.holds_run([1, 2, 3, 4], [2, 4])
    assert numerals.longest_run([9, 2, 3, 7], [1, 2, 3]) == (2, 3)
    assert numerals.covered([1, 9, 2, 9, 3], [1, 2, 3], 5) == 3
    assert numerals.covered([1, 9, 2, 9, 3], [1, 2, 3], 4) == 2
    assert numerals.covered([3, 2, 1], [1, 2, 3], 3) == 1


def test_questions() -> None:
    assert verdicts.questions("why? and how??") == ["why", " and how"]
    assert verdicts.open_questions("is it 3?") == 0
    assert verdicts.open_questions("which one is on top?") == 1
