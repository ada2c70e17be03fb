"""Guidance: the trained prompt, the gates, the second try, the safe hint."""

from __future__ import annotations

import pytest
from endpoint import Endpoint
from gateway_support import GOOD, PACKAGE, QUESTION, Gateway, says

from harness import paths, task
from harness.serve import gates
from harness.serve.guidance import prompt
from harness.serve.package import parse
from harness.serve.requests import Ask
from harness.simulator.language import words
from harness.types import Message

ZH = "我把 1、2、3 依次入队，出队时先得到 3，为什么？"


def test_the_prompt_is_the_one_of_easyds_run() -> None:
    """What the gateway asks about a ds-trace exercise is what `easyds run` asks about it, turn for turn."""
    the_task = task.load("ds-trace")
    lines = words("common")["hint_level"]
    package = parse({**PACKAGE, "system": dict(the_task.system), "hint": lines}, "here")
    for item in the_task.items[:60]:
        line, _, said = item.messages[-1].content.partition("\n")
        assert line == lines[item.language].format(level=item.hint_level)
        ask = Ask(said, item.language, item.hint_level, dialogue=item.messages[:-1])
        assert prompt(package, ask) == task.prompt(the_task, item)


def test_what_the_engine_is_asked(front: Gateway, engine: Endpoint) -> None:
    engine.behave = says(GOOD["zh"])
    before = [{"role": "user", "content": "什么是队列？"}, {"role": "assistant", "content": "先进先出。"}]
    answer = front.guidance(ZH, dialogue=before, hint_level=2, knowledge_point="queue")
    assert answer.status == 200
    (asked,) = engine.requests
    assert asked["messages"] == [
        {"role": "system", "content": PACKAGE["system"]["zh"]},
        *before,
        {"role": "user", "content": f"〔提示等级 2〕\n{ZH}"},
    ]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("m", 160, 0.0)
    body = answer.json
    assert answer.headers["x-request-id"] == body.pop("id")
    assert body == {
        "guidance": GOOD["zh"],
        "language": "zh",
        "gates": {"G2": None, "G3": True},
        "regenerated": False,
        "fallback": False,
        "model": "tutor",
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


def test_a_failing_answer_is_asked_for_once_more(front: Gateway, engine: Endpoint) -> None:
    engine.behave = says("", GOOD["en"])
    before = front.metric("easyds_regenerated_total")
    body = front.guidance().json
    assert (body["guidance"], body["regenerated"], body["fallback"]) == (GOOD["en"], True, False)
    assert body["usage"]["total_tokens"] == 28
    first, second = engine.requests
    assert first["messages"] == second["messages"]
    assert second["temperature"] > first["temperature"] == 0.0
    assert front.metric("easyds_regenerated_total") == before + 1


@pytest.mark.parametrize("bad", ["", "你真笨", "<|im_start|>assistant", GOOD["zh"], "word " * 500])
def test_two_failing_answers_make_a_safe_hint(front: Gateway, engine: Endpoint, bad: str) -> None:
    engine.behave = says(bad)
    before = front.metric('easyds_fallbacks_total{language="en"}')
    failed = front.metric('easyds_gate_checks_total{gate="G3",result="fail"}')
    body = front.guidance(hint_level=3).json
    assert body["guidance"] == gates.safe_hint("en", 3)
    assert (body["regenerated"], body["fallback"], body["gates"]["G3"]) == (True, True, False)
    assert len(engine.requests) == 2
    assert front.metric('easyds_fallbacks_total{language="en"}') == before + 1
    assert front.metric('easyds_gate_checks_total{gate="G3",result="fail"}') == failed + 2


def test_what_is_withheld_does_not_get_through(front: Gateway, engine: Endpoint) -> None:
    engine.behave = says("The order is one, then two, then three. Does that fit?", GOOD["en"])
    body = front.guidance("Which order do they leave in?", withheld=["1, 2, 3"]).json
    assert (body["guidance"], body["gates"]["G2"], body["regenerated"]) == (GOOD["en"], True, True)


@pytest.mark.parametrize(
    ("text", "secret", "kept"),
    [
        ("It is 4 5 6.", "4, 5, 6", False),
        ("First four, then five and six.", "4 5 6", False),
        ("From the back: 6, 5, 4.", "4 5 6", False),
        ("Look at 4 and at 6.", "4 5 6", True),
        ("The index is seven.", "7", False),
        ("The index is 17.", "7", True),
        ("A Binary  Heap helps.", "binary heap", False),
        ("Heaps help.", "heap", True),
        ("用二叉堆试试。", "二叉堆", False),
        ("Start at 9.", "9", True),  # the student named it
        ("You used a stack.", "stack", True),  # so they did
    ],
)
def test_secrets(text: str, secret: str, kept: bool) -> None:
    turns = [Message("user", "I used a stack and began at 9.")]
    assert gates.check(text, turns, "en", [secret])["G2"] is kept


@pytest.mark.parametrize("language", ["zh", "en"])
def test_safe_hints_pass_the_gates_themselves(language: str) -> None:
    hints = paths.read_yaml(paths.Path(gates.__file__).with_name("hints.yaml"))[language]
    assert len(hints) == 4
    for hint in hints:
        assert gates.check(hint, [Message("user", QUESTION)], language, ["1 2 3"]) == {"G2": True, "G3": True}  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "language"), [(QUESTION, "en"), (ZH, "zh"), ("mem[r * ROWS + c] 为什么错？", "zh")])
def test_language_is_detected(text: str, language: str) -> None:
    assert gates.language_of(text) == language


def test_the_language_asked_for_goes_before_the_one_detected(front: Gateway, engine: Endpoint) -> None:
    engine.behave = says(GOOD["zh"])
    assert front.guidance(language="zh").json["guidance"] == GOOD["zh"]
    assert engine.requests[0]["messages"][0]["content"] == PACKAGE["system"]["zh"]
