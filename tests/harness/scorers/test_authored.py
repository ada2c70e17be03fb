"""The screens of authored items: what each fails, what it lets pass, and the controls in their order on the real task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import easyds

from harness.scorers import authored
from harness.types import Item, KeyPoints, Message

ITEM = Item(
    id="t.en",
    cluster="t",
    language="en",
    knowledge_point="search.binary-search",
    misconception="half-open-closed",
    difficulty=1,
    split="test",
    hint_level=1,
    messages=(
        Message("user", "my binary search loops forever on [3, 8, 12] when I look for 12"),
        Message("assistant", "Write down lo, hi and mid for each round."),
        Message("user", "lo=1 hi=2 mid=1 again and again, hi - lo never shrinks"),
    ),
    key_points=KeyPoints("keeps mid in the window", "lo = mid", ("trace the window of size two",)),
    answer="lo = mid + 1",
    references=("Which of the two cells does your window lose after a round?",),
    meta={"withheld": ["mid + 1", "skip mid"]},
)
GOOD = "Your window holds two cells, lo=1 and hi=2. Which cell leaves it when mid=1 is too small?"
OWN = authored.own_words([ITEM])["t.en"]


def failed(text: str, item: Item = ITEM) -> set[str]:
    return {name for name, (passed, _) in authored.screen(item, text, OWN).items() if not passed}


def test_a_good_reply_passes() -> None:
    assert failed(GOOD) == set()


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        ("Your window is lo=1, hi=2. Would `MID+1` change what the round does?", "withholds"),
        ("Your window is lo=1, hi=2: shouldn't the round skip   mid?", "withholds"),
        ("", "well_formed"),
        ("你的窗口是 lo=1、hi=2，哪一格会离开？", "well_formed"),
        ("What have you tried so far? Try a small example on paper.", "engages"),
        ("lo=1 hi=2 mid=1 again and again, hi - lo never shrinks", "engages"),
        ("The window of size two is where it happens, at mid=1.", "engages"),
        ("Look at your window: write down lo, hi and mid for each round.", "fresh"),
    ],
)
def test_a_defect_is_seen(text: str, screen: str) -> None:
    assert screen in failed(text)


def test_a_withheld_word_within_another_is_no_leak() -> None:
    short = replace(ITEM, meta={"withheld": ["RL", "inorder", "heap"]})
    assert "withholds" not in failed(
        "Earlier, clearly in order: the append at lo=1, hi=2. What leaves the window?", short
    )
    assert "withholds" in failed("At lo=1, hi=2 this is an RL case, is it not?", short)


def test_what_the_dialogue_says_is_no_leak() -> None:
    said = replace(ITEM, messages=(*ITEM.messages[:-1], Message("user", "should it be mid + 1? lo=1, hi=2")))
    assert "withholds" not in failed("You say mid + 1. What would lo=1, hi=2 become in the next round?", said)


def test_at_level_three_and_for_a_right_student_nothing_is_withheld() -> None:
    text = "Set lo = mid + 1: what does the window lo=1, hi=2 become?"
    for item in (replace(ITEM, hint_level=3), replace(ITEM, misconception=None)):
        assert "withholds" not in authored.screen(item, text, OWN)


def test_words_of_many_problems_are_nobodys_own() -> None:
    items = [
        replace(ITEM, id=f"{n}.en", cluster=f"{n}", answer="", messages=(Message("user", f"stack {n}00"),))
        for n in range(1, 50)
    ]
    own = authored.own_words(items)
    assert own["7.en"] == {"700"}


def test_chinese_words_are_pairs_of_characters() -> None:
    assert authored.words("左子树 mid=3") == {"左子", "子树", "mid", "3"}


def test_the_controls_on_ds_guidance(tmp_path: Path) -> None:
    """A good reply passes the screens; whoever gives the answer, fits any exercise, parrots or is silent does not."""
    names = ("reference", "answer-giver", "generic", "parrot", "null")
    models = [part for name in names for part in ("-m", f"control/{name}")]
    done = easyds("run", "-t", "ds-guidance", *models, "-f", "json", cwd=tmp_path)
    found = {row["system"]: row["metrics"] for row in json.loads(done.stdout)["rows"]}

    def of(name: str, metric: str) -> tuple[float, float]:
        one = found[f"control/{name}"][metric]
        assert one["n"] > 300
        return one["low"], one["high"]

    for name in names[1:]:
        assert of("reference", "screens")[0] > of(name, "screens")[1] + 0.5, name
        assert of("reference", "chrf")[0] > of(name, "chrf")[1], name
    assert of("reference", "withholds")[0] > 0.97
    assert of("answer-giver", "withholds")[1] < 0.03
    assert of("null", "well_formed")[1] < 0.03
    assert of("generic", "engages")[1] < 0.15
    assert "guidance_accuracy" not in found["control/reference"], "screens must rank nothing"
