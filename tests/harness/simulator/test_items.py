"""ds-trace items: determinism, disjoint splits, unique diagnosis, balance, facts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

import pytest

from harness import task
from harness.errors import UsageError
from harness.simulator.families import FAMILIES
from harness.simulator.items import RIGHT_EVERY, UNSEEN, Plan, build, cases, split_of
from harness.types import Item


@pytest.fixture(scope="module")
def test_items() -> tuple[Item, ...]:
    return task.load("ds-trace").items


def dump(plan: Plan) -> bytes:
    return "\n".join(json.dumps(asdict(item), ensure_ascii=False) for item in build(plan)).encode()


def test_the_same_plan_gives_the_same_bytes_and_another_seed_others() -> None:
    plan = Plan("train", 60, seed=4)
    assert dump(plan) == dump(plan)
    assert dump(plan) != dump(Plan("train", 60, seed=5))


def test_a_longer_plan_begins_with_the_shorter_one() -> None:
    assert dump(Plan("train", 40, seed=4)).startswith(dump(Plan("train", 20, seed=4)))


def test_there_are_enough_families_and_bugs() -> None:
    assert len(FAMILIES) >= 14
    assert sum(len(family.bugs) for family in FAMILIES.values()) >= 45


def test_no_structure_stands_in_two_splits() -> None:
    structures = {
        split: {case.canonical for case in cases(Plan(split, 400))} for split in ("train", "validation", "test")
    }
    assert not structures["train"] & structures["validation"]
    assert not structures["train"] & structures["test"]
    assert not structures["validation"] & structures["test"]
    for split, found in structures.items():
        assert {split_of(canonical) for canonical in found} == {split}


def test_unseen_misconceptions_stand_in_their_own_split_only() -> None:
    for split in ("train", "validation", "test"):
        assert not {case.facts.bug for case in cases(Plan(split, 400))} & UNSEEN
    found = {case.facts.bug for case in cases(Plan("test-unseen", 120))} - {None}
    assert found == UNSEEN
    assert {bug for family in FAMILIES.values() for bug in family.bugs} >= UNSEEN


def test_every_diagnosis_of_the_test_split_is_unique() -> None:
    for case in cases(Plan("test", 400, seed=2026)):
        facts, family = case.facts, FAMILIES[case.facts.problem.family]
        explaining = [bug for bug in family.bugs if family.run(facts.problem, bug).answer == facts.student.answer]
        if facts.bug is None:
            assert facts.student.answer == family.run(facts.problem).answer
        else:
            assert explaining == [facts.bug]
            assert facts.student.answer != facts.right.answer


def test_the_default_test_is_as_designed(test_items: tuple[Item, ...]) -> None:
    assert len({item.cluster for item in test_items}) == 400
    assert Counter(item.language for item in test_items) == {"zh": 400, "en": 400}
    assert {item.hint_level for item in test_items} == {0, 1, 2}
    right = sum(item.misconception is None for item in test_items) / len(test_items)
    assert right == pytest.approx(1 / RIGHT_EVERY, abs=0.01)
    assert 0.15 <= right <= 0.2
    counts = Counter(item.misconception for item in test_items if item.misconception)
    assert max(counts.values()) - min(counts.values()) <= 2


def test_answers_are_long_enough_to_prove_a_leak(test_items: tuple[Item, ...]) -> None:
    assert all(len(item.meta["right"]) >= 3 for item in test_items)


def test_prompts_rarely_contain_the_right_answer(test_items: tuple[Item, ...]) -> None:
    wrong = [item for item in test_items if item.misconception]
    known = [item.id for item in wrong if item.answer in item.messages[-1].content]
    assert len(known) < 0.02 * len(wrong), known


def test_both_languages_of_a_cluster_state_the_same_problem(test_items: tuple[Item, ...]) -> None:
    by_cluster: dict[str, list[Item]] = {}
    for item in test_items:
        by_cluster.setdefault(item.cluster, []).append(item)
    for zh, en in by_cluster.values():
        assert zh.meta == en.meta
        assert zh.hint_level == en.hint_level


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        (Plan("tset", 5), "test"),
        (Plan("train", 5, families=("stak",)), "stack"),
        (Plan("train", 0), "at least one"),
        (Plan("test-unseen", 5, families=("queue",)), "test-unseen"),
    ],
)
def test_a_plan_that_cannot_be_met_says_why(plan: Plan, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        list(build(plan))


@pytest.mark.parametrize("split", ["test", "test-unseen", "validation", "train"])
def test_prompts_have_no_unfilled_placeholder(split: str) -> None:
    for item in build(Plan(split, 150)):
        for text in (item.messages[-1].content, *item.references, *item.key_points.next_steps):
            assert "{" not in text
            assert "}" not in text
