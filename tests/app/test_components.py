"""What the pages share: hidden characters, differences of texts, numbers, spreadsheet cells."""

from __future__ import annotations

import re

import pytest

from app.components import desk, numbers, text
from harness.board import Metric


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("树的遍历\n\tbfs", "树的遍历\n\tbfs"),
        ("a\u202eb", "a⟨202E⟩b"),
        ("a\u200bb\x00", "a⟨200B⟩b⟨0000⟩"),
        ("\x1b[31mred", "⟨001B⟩[31mred"),
        ("<b>&amp;", "<b>&amp;"),
    ],
)
def test_hidden_characters_are_shown(given_text: str, shown: str) -> None:
    assert text.visible(given_text) == shown


def test_an_option_of_a_widget_is_not_read_as_markdown() -> None:
    """S1, S2"""
    shown = desk.plain("![x](http://evil.example) $y$ :red[z] <i> `c` **b**")
    assert not re.search(r"(?<!\\)[\[\](){}$:<>`*_!|~#]", shown)
    assert shown.replace("\\", "") == "![x](http://evil.example) $y$ :red[z] <i> `c` **b**"


def test_a_line_has_no_line_breaks() -> None:
    assert text.line("a\n b\t\tc\r\n") == "a b c"


def test_hidden_characters_are_shown_on_a_line_too() -> None:
    """S15"""
    assert text.line("a\u202e\n b") == "a⟨202E⟩ b"


def test_differences_by_sentence() -> None:
    first = "看第二步。你删错了结点！再试一次。"
    second = "看第二步。你把第一个当成了第零个。再试一次。"
    assert text.differences(first, second).splitlines() == [
        "  看第二步。",
        "- 你删错了结点！",
        "+ 你把第一个当成了第零个。",
        "  再试一次。",
    ]
    assert text.differences(first, first) == ""
    assert text.differences("One. Two.", "One.") == "  One.\n- Two."
    assert text.differences("", "New.") == "+ New."


def test_numbers_carry_their_interval() -> None:
    metric = Metric(0.175, 0.1166, 0.2541, 240)
    assert numbers.written("guidance_accuracy", metric, None) == "17.5 % [11.7, 25.4]"
    assert numbers.written("guidance_accuracy", metric, None, bare=True) == "17.5 [11.7, 25.4]"
    assert numbers.written("gold_score", metric, None) == "0.17 [0.12, 0.25]"
    assert numbers.written("peak_memory_bytes", Metric(4.7e8, None, None, 1), None) == "0.47 GB"
    assert numbers.written("latency_p95_s", Metric(1.0, 0.5, 2.0, 9), None) == "1.00 s [0.50, 2.00]"


def test_missing_is_said_and_unscored_is_counted() -> None:
    assert numbers.written("guidance_accuracy", None, None) == "not measured"
    assert numbers.written("gold_score", Metric(1.0, 0.9, 1.0, 15, 5), None) == "1.00 [0.90, 1.00] (5 unscored)"
