"""The simulated student: what repairs the bug, what only helps this item, and how tutors rank by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import task
from harness.models.control import CONTROLS
from harness.scorers.evidence import Reading
from harness.scorers.transfer import CRITERIA, Transfer, lesson, outcome
from harness.simulator.families import FAMILIES
from harness.simulator.student import ALONE, Lesson, Student, luck, sibling
from harness.stats.compare import paired_difference
from harness.types import Item, Response, Task


@pytest.fixture(scope="module")
def lesson_task() -> Task:
    return task.load("ds-trace")


def scores(the_task: Task, control: str) -> dict[str, dict[str, float | None]]:
    said = [Response(one.id, 0, CONTROLS[control](one), "stop", *[None] * 5) for one in the_task.items]
    found: dict[str, dict[str, float | None]] = {name: {} for name in CRITERIA}
    for score in Transfer().score({one.id: one for one in the_task.items}, said):
        found[score.criterion][score.item] = score.value
    return found


def test_reference_teaches_more_than_generic_and_generic_more_than_the_answer(lesson_task: Task) -> None:
    found = {name: scores(lesson_task, name)["transfer_success"] for name in ("reference", "generic", "answer-giver")}
    names = sorted(found["reference"])
    clusters = {one.id: one.cluster for one in lesson_task.items}
    columns = {name: [float(values[item] or 0) for item in names] for name, values in found.items()}
    for better, worse in (("reference", "generic"), ("generic", "answer-giver")):
        gap = paired_difference(columns[better], columns[worse], [clusters[item] for item in names])
        assert gap.low > 0, f"{better} over {worse}: {gap}"


def test_a_given_answer_helps_this_item_and_not_its_sibling(lesson_task: Task) -> None:
    found = scores(lesson_task, "answer-giver")
    rates = {name: sum(filter(None, values.values())) / len(values) for name, values in found.items()}
    assert rates["transfer_success"] == 0
    assert rates["item_success"] > 0.9
    assert rates["answer_given"] == rates["item_success"]


def test_students_who_are_right_have_no_score_and_items_without_facts_are_unscored(lesson_task: Task) -> None:
    right = [one for one in lesson_task.items if one.misconception is None]
    assert not set(scores(lesson_task, "reference")["transfer_success"]) & {one.id for one in right}
    bare = replace(lesson_task.items[0], meta={})
    (first, *_) = Transfer().score({bare.id: bare}, [Response(bare.id, 0, "x", "stop", *[None] * 5)])
    assert first.value is None
    assert first.reason


def test_repair_goes_as_far_as_rule_and_step_are_identified() -> None:
    assert Lesson(rule=1, step=1).repair == 1
    assert Lesson(rule=1).repair == 0.5
    assert Lesson(rule=1, step=-0.5).repair == 0.25
    assert Lesson(step=1).repair == 0
    assert Lesson(acts=True).repair == ALONE
    assert Lesson(rule=1, step=1, acts=True, answer=True).repair == 0


def test_the_lesson_is_what_the_text_says(lesson_task: Task) -> None:
    item = next(one for one in lesson_task.items if one.misconception and one.hint_level == 2 and one.language == "en")
    whole = lesson(Reading(item, item.references[0]))
    assert (whole.rule, whole.step, whole.answer) == (1.0, 1.0, False)
    given = lesson(Reading(item, f"{item.references[0]} The correct answer is {item.answer}."))
    assert given.answer
    assert given.repair == 0
    assert lesson(Reading(item, item.messages[-1].content)).repair == 0


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_siblings_show_the_same_bug_on_another_instance(family: str, lesson_task: Task) -> None:
    items = {one.misconception: one for one in lesson_task.items if one.meta["family"] == family and one.misconception}
    for bug, item in items.items():
        facts = sibling(item.cluster, family, str(bug), item.difficulty, item.split, tuple(item.meta["right"]))
        assert facts == sibling(item.cluster, family, str(bug), item.difficulty, item.split, tuple(item.meta["right"]))
        assert facts.right.answer != tuple(item.meta["right"])
        assert not Student(family, str(bug), 0.5).solves(facts.problem)
        assert Student(family, None, 0.5).solves(facts.problem)


def test_tutors_meet_the_same_students(lesson_task: Task) -> None:
    item: Item = next(one for one in lesson_task.items if one.misconception)
    assert outcome(item, 0, "") == outcome(item, 0, "")
    assert luck("a 0") == luck("a 0") != luck("a 1")
