"""Planted personal data are found in their lines and replaced; the numbers of data structures are not taken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import write_items

from harness import task as loader
from harness.data import private

PLANTED = {
    "我叫李小明，电话13812345678，栈里是 3 5 8": "我叫[NAME]，电话[PHONE]，栈里是 3 5 8",
    "my name is Bob Smith, call 415-555-2671 or +44 20 7946 0958": "my name is [NAME], call [PHONE] or [PHONE]",
    "邮箱 a.b@mail.edu.cn 学号：2021110432": "邮箱 [EMAIL] 学号：[ID]",
    "身份证 11010519491231002X": "身份证 [ID]",
    "my social security number: 536-90-4399.": "my social security number: [ID].",
    "加我微信号 abc_12345，或者QQ：123456789": "加我微信号 [ACCOUNT]，或者QQ：[ACCOUNT]",
    "王老师说要先判空，张伟同学也这么说": "[NAME]老师说要先判空，[NAME]同学也这么说",
    "Professor Smith said so.": "Professor [NAME] said so.",
    "打 010-62785001 找我": "打 [PHONE] 找我",
}
CLEAN = (
    "数组是 10 20 30 40 50 60 70，h(138) = 138 % 10",
    "向老师请教；许多同学都错了；周一老师讲了堆；高年级同学会懂；叶子同学们别忘了",
    "heap 5 3 8 1 9 2 7 4 6 10 1 38 12 34 56 78; then 4155552671 % 97 and w@x.T",
    "Dr. Dijkstra's algorithm; my name is not in the list",
    "18 digits that are no resident id: 110105194912310021",
    "微信小程序里的 queue",
)


@pytest.mark.parametrize("text", PLANTED)
def test_what_is_personal_is_replaced_by_its_kind(text: str) -> None:
    (row, found), *_ = private.redacted([("here", {"messages": [{"role": "user", "content": text}]})], private.finder())
    assert row["messages"][0]["content"] == PLANTED[text]
    assert sum(one.count for one in found) == PLANTED[text].count("[")


def test_clean_texts_stay() -> None:
    find = private.finder()
    assert [text for text in CLEAN if find(text)] == []


@pytest.mark.parametrize("name", ["ds-trace-demo", "ds-guidance"])
def test_nothing_in_the_projects_own_texts_is_taken_for_personal(name: str) -> None:
    find = private.finder()
    texts = [turn.content for item in loader.load(name).items for turn in item.messages]
    texts += [text for item in loader.load(name).items for text in item.references]
    assert len(texts) > 300
    assert [text for text in texts if find(text)] == []


def test_a_roster_finds_names_wherever_they_stand() -> None:
    find = private.finder(["Alice Walker", "诸葛亮", "", "Ann"])
    assert [kind for *_, kind in find("Ask Alice Walker, then 诸葛亮。")] == ["name", "name"]
    assert find("Annotation is not Ann-less: Anna") == [(18, 21, "name")]


def test_the_command_tells_lines_and_kinds_but_never_the_data(tmp_path: Path, cli: Any) -> None:
    rows = [
        {"prompt": "What leaves first?", "response": "Which end?", "level": 2},
        {"prompt": "我叫李小明，电话13812345678", "response": "好的李小明，哪一端先出？"},
    ]
    path = write_items(tmp_path / "log.jsonl", rows)
    (tmp_path / "roster.txt").write_text("李小明\n", encoding="utf-8")
    done = cli("data", "redact", path, "--names", tmp_path / "roster.txt", "--out", tmp_path / "clean.jsonl")
    assert done.code == 1
    assert "line 2: name (2)" in done.out
    assert "line 2: phone (1)" in done.out
    assert "李小明" not in done.out + done.err
    assert "13812345678" not in done.out + done.err
    clean = [json.loads(line) for line in (tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()]
    assert clean == [rows[0], {"prompt": "我叫[NAME]，电话[PHONE]", "response": "好的[NAME]，哪一端先出？"}]
    again = cli("data", "redact", tmp_path / "clean.jsonl", "--out", tmp_path / "again.jsonl")
    assert again.code == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()
