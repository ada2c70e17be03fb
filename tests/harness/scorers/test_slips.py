"""What an optimiser found to pay, and no longer does: each text scored high under version 2 of the checks."""

from __future__ import annotations

import pytest

from harness import task
from harness.scorers import slips, verdicts
from harness.scorers.checks import check
from harness.scorers.numerals import normalise
from harness.types import Item

QUESTION = {
    "en": "How many elements are left after step {step}, {op}?",
    "zh": "第 {step} 步{op}之后，栈里还剩几个元素？",
}


@pytest.fixture(scope="module")
def items() -> dict[tuple[str, str], Item]:
    """An exercise of each family and language whose student is wrong."""
    found: dict[tuple[str, str], Item] = {}
    for item in task.load("ds-trace-demo").items:
        if item.misconception:
            found.setdefault((item.meta["family"], item.language), item)
    return found


def value(item: Item, text: str, criterion: str) -> tuple[float, str]:
    return check(item, text)[criterion]


def first(item: Item) -> tuple[int, str, int]:
    """The first wrong step, its operation, and a step further away than the one before it."""
    step = item.meta["first_wrong"]
    ops = item.meta["ops"][0 if item.language == "zh" else 1]
    other = next(n for n in range(1, len(ops) + 1) if n not in (step - 1, step))
    return step, ops[step - 1], other


@pytest.mark.parametrize(
    ("language", "said"), [("en", "It first goes wrong at step {} . "), ("zh", "从第 {} 步开始就不对了。")]
)
def test_a_false_first_wrong_step_is_a_false_claim_whatever_else_is_mentioned(
    language: str, said: str, items: dict[tuple[str, str], Item]
) -> None:
    item = items["stack", language]
    step, op, other = first(item)
    good = QUESTION[language].format(step=step, op=op)
    assert value(item, said.format(step) + good, "G1")[0] == 1
    assert value(item, said.format(other) + good, "G1")[0] == 0


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Look at step {} ({})."), ("zh", "看看第 {} 步（{}）。"), ("zh", "看看第 {} 步执行“{}”时。")],
)
def test_a_step_called_by_another_operation_is_a_false_claim(
    language: str, said: str, items: dict[tuple[str, str], Item]
) -> None:
    item = items["queue", language]
    step, op, _ = first(item)
    ops = item.meta["ops"][0 if language == "zh" else 1]
    wrong = next(one for one in ops if one.split()[0] != op.split()[0])
    assert slips.untrue(normalise(said.format(step, op)), item.meta) == ""
    assert f"calls step {step}" in slips.untrue(normalise(said.format(step, wrong)), item.meta)


@pytest.mark.parametrize(
    ("family", "text", "false"),
    [
        ("stack", "Each of your dequeues takes the newest value.", True),
        ("stack", "Each of your pops takes the oldest value, which is how a queue works.", False),
        ("stack", "Each of your pops takes the newest value, which is how a queue works.", True),
        ("stack", "你好像每次都把最早进栈的数取走了，那是队列的做法。", False),
        ("queue", "你每次出队都取走了最后入队的元素，那是栈的做法。", False),
        ("queue", "你每次出队都取走了最先入队的元素，那是栈的做法。", True),
        ("queue", "你的 pop 只读了栈顶。", True),
        ("queue", "A pop would do that; your dequeue should not.", False),
    ],
)
def test_an_operation_of_the_neighbour_and_a_mix_up_of_both(
    family: str, text: str, false: bool, items: dict[tuple[str, str], Item]
) -> None:
    assert bool(slips.untrue(normalise(text), items[family, "en"].meta)) is false


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("从第 3”时？", 0),
        ("第 3 步之后，栈里还剩几个元素？", 1),
        ("栈顶是它吗？还是别的？", 2),
        ("It. Before step 5 pop?", 0),
        ("Which element is on top? And is it 3.5?", 2),
        ("The stack is empty, right?", 1),
        ("Compare the array before and after step 3: does every cell fit?", 1),
    ],
)
def test_only_what_asks_something_is_a_question(text: str, count: int) -> None:
    assert len(verdicts.questions(normalise(text))) == count


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_question_about_another_step_is_no_guidance_to_this_one(
    language: str, items: dict[tuple[str, str], Item]
) -> None:
    item = items["stack", language]
    step, op, other = first(item)
    ops = item.meta["ops"][0 if language == "zh" else 1]
    opening = {"en": f"It first goes wrong at step {step} ({op}). ", "zh": f"从第 {step} 步（{op}）开始就不对了。"}[
        language
    ]
    there = opening + QUESTION[language].format(step=step, op=op)
    elsewhere = opening + QUESTION[language].format(step=other, op=ops[other - 1])
    assert value(item, there, "D3")[0] == 2
    assert value(item, there, "D5")[0] == 2
    assert value(item, elsewhere, "D3")[0] < 2
    assert value(item, elsewhere, "D5")[0] < 2


@pytest.mark.parametrize(
    ("language", "text", "passes"),
    [
        ("en", "Look at step 3. 每次 which element leaves?", 0),
        ("en", "Look at step 3. Which element leaves?", 1),
        ("zh", "看第 3 步。Just before step five which element leaves？", 0),
        ("zh", "看第 3 步的 push 和 pop，哪个元素先走？", 1),
        ("zh", "第 4 个结点”时，新元素该站在哪一头？", 0),
        ("zh", "第 4 步“pop”时，谁在栈顶？", 1),
        ("en", "Just before step 4, which end should step 4, which end should step 4, pop?", 0),
        ("en", "Step by step: which one is on top before step 4, and which one after step 4?", 1),
    ],
)
def test_one_language_at_a_time_and_whole_sentences(
    language: str, text: str, passes: int, items: dict[tuple[str, str], Item]
) -> None:
    assert value(items["stack", language], text, "G3")[0] == passes


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Yes is correct. Before step {}, who is on top?"), ("zh", "对，没有问题。第 {} 步之前谁在栈顶？")],
)
def test_a_wrong_answer_called_right_is_not_saved_by_pointing_at_its_step(
    language: str, text: str, items: dict[tuple[str, str], Item]
) -> None:
    item = items["stack", language]
    assert value(item, text.format(first(item)[0]), "G1")[0] == 0


def test_a_step_called_by_an_operation_of_another_kind_is_a_false_claim(items: dict[tuple[str, str], Item]) -> None:
    item = items["linked-list", "zh"]
    ops = item.meta["ops"][0]
    deletes = [(step, op) for step, op in enumerate(ops, 1) if "删除" in op]
    for step, op in deletes[:1]:
        assert slips.untrue(normalise(f"第 {step} 步“{op}”之后，谁在表头？"), item.meta) == ""
        assert slips.untrue(normalise(f"第 {step} 步“删除第 77 个结点”之后，谁在表头？"), item.meta)
    inserts = [step for step, op in enumerate(ops, 1) if "插入" in op]
    said = f"从第 {inserts[0]} 步“删除第 9 个结点”之后，前驱的 next 应当指向谁？"
    assert "删除第 9 个结点" in slips.untrue(normalise(said), item.meta)
