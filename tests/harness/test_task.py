"""Tasks, rubrics and the project's data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import item_row, make_task, write_items

from harness import paths, rubric, task
from harness.errors import UsageError


def test_bundled_tasks_load_and_hold_their_promises() -> None:
    assert {"ds-guidance", "ds-trace", "ds-trace-demo"} <= set(task.names())
    authored = task.load("ds-guidance")
    assert len(authored.items) >= 20
    assert {item.language for item in authored.items} == {"zh", "en"}
    assert len({item.id for item in authored.items}) == len(authored.items)
    assert all(item.messages[-1].role == "user" for item in authored.items)


def test_digest_covers_all_that_can_change_a_score(tmp_path: Path) -> None:
    rows = [item_row(number) for number in range(3)]
    base = task.load(str(make_task(tmp_path / "a", rows))).digest
    assert task.load(str(make_task(tmp_path / "b", rows))).digest == base, "where the task lies does not matter"
    changes = [
        {"version": "2"},
        {"scorers": ["chrf"]},
        {"decoding": {"max_new_tokens": 13}},
        {"system": {"zh": "别的", "en": "other"}},
        {"rows": [*rows[:2], item_row(2, answer="other")]},
        {"rows": rows[:2]},
        {"rows": rows[::-1]},
    ]
    found = {
        task.load(str(make_task(tmp_path / f"c{i}", **{"rows": rows, **change}))).digest
        for i, change in enumerate(changes)
    }
    assert len(found | {base}) == len(changes) + 1


def test_digest_covers_the_rubric(tmp_path: Path) -> None:
    text = (paths.rubrics() / "guidance.yaml").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(text, encoding="utf-8")
    before = task.load(str(make_task(tmp_path / "task", rubric=str(own)))).digest
    own.write_text(text.replace("version:", "version: 99 #", 1), encoding="utf-8")
    assert task.load(str(tmp_path / "task" / "task.yaml")).digest != before


def test_prompt_is_the_system_prompt_of_the_language_and_the_chat(tmp_path: Path) -> None:
    one = task.load(str(make_task(tmp_path / "task")))
    for item in one.items:
        prompt = task.prompt(one, item)
        assert [message.role for message in prompt] == ["system", "user"]
        assert prompt[0].content == one.system[item.language]
        shown = json.dumps([message.content for message in prompt], ensure_ascii=False)
        assert item.key_points.diagnosis not in shown
        assert all(reference not in shown for reference in item.references)


def test_rubric_text_never_reaches_the_prompt() -> None:
    one = task.load("ds-guidance")
    definitions = [text for criterion in one.rubric.criteria.values() for text in criterion.definition.values()]
    for item in one.items:
        prompt = "\n".join(message.content for message in task.prompt(one, item))
        assert not [text for text in definitions if text in prompt]


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one(limit: int) -> None:
    with pytest.raises(UsageError, match="--limit"):
        task.limited((), limit)


def test_items_with_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    path = write_items(tmp_path / "items.jsonl", [item_row(0), item_row(1)])
    path.write_text("\ufeff" + path.read_text(encoding="utf-8").replace("\n", "\r\n\r\n"), encoding="utf-8")
    assert [item.id for item in task.read_items(path)] == ["item-0", "item-1"]


def test_data_root_of_a_checkout_and_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (paths.data_root() / "rubrics" / "guidance.yaml").is_file()
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "harness")
    assert paths.data_root() == tmp_path
    (tmp_path / "harness" / "_data").mkdir(parents=True)
    assert paths.data_root() == tmp_path / "harness" / "_data"


# --- the gold score ---------------------------------------------------------------------------------------------

GATES = {"G1": 1, "G2": 1, "G3": 1}


@pytest.fixture(scope="module")
def guidance() -> rubric.Rubric:
    return rubric.load("guidance")


def test_rubric_is_whole(guidance: rubric.Rubric) -> None:
    assert {"G1", "G2", "G3", *(f"D{i}" for i in range(1, 9))} <= set(guidance.criteria)
    for criterion in guidance.criteria.values():
        assert set(criterion.name) == set(criterion.definition) == {"zh", "en"}
        assert criterion.labels
    assert guidance.gold["gates"] == ["G1", "G2", "G3"]
    assert guidance.gold["graded"] == ["D1", "D2", "D3", "D4", "D5", "D6"]


@pytest.mark.parametrize(
    ("values", "gold"),
    [
        ({**GATES, "D1": 2, "D2": 2, "D3": 2, "D4": 2, "D5": 2, "D6": 2}, 1.0),
        ({**GATES, "D1": 0, "D2": 0, "D3": 0, "D4": 0, "D5": 0, "D6": 0}, 0.0),
        ({**GATES, "D1": 2, "D2": 1, "D3": 0, "D4": 2, "D5": 1, "D6": 0}, 0.5),
        ({**GATES, "D3": 2, "D4": 1}, 0.75),  # the others do not apply
        ({**GATES, "G2": 0, "D3": None}, 0.0),  # a failed gate decides
        ({**GATES, "G2": 0, "G1": None}, 0.0),
        ({**GATES, "G2": None, "D3": 2}, None),
        ({**GATES, "D3": 2, "D4": None}, None),
        (GATES, None),
        ({"D3": 2}, None),
        ({}, None),
    ],
)
def test_gold_score(guidance: rubric.Rubric, values: dict[str, float | None], gold: float | None) -> None:
    assert rubric.gold_score(guidance, values) == gold


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "criteria: 3", "criteria: [3]", "name: x\ncriteria: [{id: D1, kind: odd}]"]
)
def test_faulty_rubric(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"odd\.yaml"):
        rubric.load(str(tmp_path / "odd.yaml"))
