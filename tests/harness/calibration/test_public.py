"""Public labelled data read by path. The fixtures have the files' shape; the files themselves are read where they lie."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.calibration.damr import DESIRED, damr
from harness.calibration.public import example, read
from harness.errors import UsageError

DATA = Path(__file__).parents[4] / "shared" / "data"
Cli = Callable[..., Any]

HISTORY = "Tutor: Hi! The question is: What is 2 + 3? \n Student: 2 + 3 = 6. \n Tutor: How did you count?\n Student: On my fingers."
BEST = dict.fromkeys(DESIRED, "Yes") | {"Revealing_of_the_Answer": "No", "Tutor_Tone": "Encouraging"}


def mrbench(labels: dict[str, dict[str, str]], key: str = "anno_llm_responses", **more: Any) -> dict[str, Any]:
    replies = {system: {"response": f"{system} asks: why 6?", "annotation": some} for system, some in labels.items()}
    return {"conversation_id": "7-a", "conversation_history": HISTORY, key: replies, **more}


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_mrbench_v2(tmp_path: Path) -> None:
    row = mrbench({"GPT4": BEST, "Novice": BEST | {"Mistake_Location": "No"}}, Ground_Truth_Solution="2 + 3 = 5\n 5")
    first, second = read(written(tmp_path / "v2.json", [row]))
    assert (first.id, first.system, first.language, first.gold) == ("7-a/GPT4", "GPT4", "en", "2 + 3 = 5\n 5")
    assert [(turn.role, turn.content) for turn in first.dialogue] == [
        ("assistant", "Hi! The question is: What is 2 + 3?"),
        ("user", "2 + 3 = 6."),
        ("assistant", "How did you count?"),
        ("user", "On my fingers."),
    ]
    assert first.problem == second.problem == "what is 2 3"
    assert second.labels["Mistake_Location"] == "No"
    shown = example(second)
    assert shown.labels == {"D1": 2.0, "D2": 0.0, "D3": 2.0, "D5": 2.0, "D7": 2.0}
    assert (shown.student, shown.group) == ("On my fingers.", "what is 2 3")


def test_mrbench_v3_has_four_labels_and_no_solution(tmp_path: Path) -> None:
    labels = {"Mistake_Identification": "To some extent", "Actionability": "No"}
    (found,) = read(written(tmp_path / "v3.json", [mrbench({"Phi3": labels}, "tutor_responses")]))
    assert (found.gold, example(found).labels) == ("", {"D1": 1.0, "D5": 0.0})


def test_bridge(tmp_path: Path) -> None:
    def turn(who: str, text: str) -> dict[str, str]:
        return {"user": who, "text": text}

    row = {
        "c_id": "41_19",
        "c_h": [turn("tutor", "Area?"), turn("student", "4 m")],
        "c_r": [turn("tutor", "Wrong."), turn("student", "Oh"), turn("tutor", "Multiply.")],
        "c_r_": [turn("tutor", "Not quite. What is the width?")],
        "e": "guess",
        "z_what": "ask_question",
        "z_why": "concept",
    }
    novice, expert = read(written(tmp_path / "bridge.json", [row]))
    assert (novice.system, novice.reply) == ("Novice", "Wrong. Multiply.")
    assert (expert.system, expert.reply, expert.labels["z_what"]) == (
        "Expert",
        "Not quite. What is the width?",
        "ask_question",
    )
    assert novice.problem == expert.problem == "area 4 m"
    assert [turn.role for turn in novice.dialogue] == ["assistant", "user"]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_mathdial(tmp_path: Path, ending: str) -> None:
    row = {
        "qid": "12",
        "question": "What is 2 + 3?",
        "ground_truth": "5",
        "student_incorrect_solution": "6",
        "conversation": "Teacher: (probing)How did you add?|EOM|Mia: I counted.|EOM|Teacher: Hm.|EOM|Teacher: (telling) It is 5.",
    }
    path = tmp_path / f"mathdial.{ending}"
    with open(path, "w", encoding="utf-8", newline="") as file:
        if ending == "csv":
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerow(row)
        else:
            file.write(json.dumps(row) + "\n")
    first, last = read(path)
    assert (first.labels, first.reply, first.dialogue) == ({"move": "probing"}, "How did you add?", ())
    assert (last.labels, last.reply, last.gold) == ({"move": "telling"}, "It is 5.", "5")
    assert [(turn.role, turn.content) for turn in last.dialogue] == [
        ("assistant", "How did you add?"),
        ("user", "I counted."),
        ("assistant", "Hm."),
    ]
    assert first.problem == last.problem == "what is 2 3"


def test_edubench(tmp_path: Path) -> None:
    row = {"question": "讲讲栈", "question_id": "3", "gen_model": "qwen", "eval_model": "human", "response": "栈……"}
    (found,) = read(written(tmp_path / "edu.json", [row | {"language": "zh", "Clarity": "8", "Tone": ""}]))
    assert (found.system, found.language, found.labels) == ("qwen", "zh", {"Clarity": 8.0})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '[{"text": "hello"}]', ["a row has text", "MRBench"]),
        ("a.json", "[]", ["no rows"]),
        ("a.json", "{", ["cannot be read as .json"]),
        ("a.json", '{"c_h": []}', ["a list of objects"]),
        ("a.json", '[{"conversation_history": "Tutor: hi"}]', ["row 1", "mrbench", "tutor_responses"]),
    ],
)
def test_files_of_another_form(cli: Cli, tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = cli("judge", "damr", tmp_path / name)
    assert found.code == 2
    assert found.out == ""
    assert len(found.err.strip().splitlines()) == 1
    assert all(word in found.err for word in words)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read(tmp_path / "none.json")


def test_damr_is_the_share_of_the_desired_label(cli: Cli, tmp_path: Path) -> None:
    """Of four replies of one tutor: 75 % locate the mistake, 50 % do not tell the answer, 25 % encourage."""
    rows = [
        mrbench({"GPT4": BEST | {"Mistake_Location": "No", "Tutor_Tone": "Neutral"}}),
        mrbench({"GPT4": BEST | {"Revealing_of_the_Answer": "Yes (and the revealed answer is correct)"}}),
        mrbench({"GPT4": BEST | {"Tutor_Tone": "Neutral", "Revealing_of_the_Answer": "Yes (but ...)"}}),
        mrbench({"GPT4": BEST | {"Tutor_Tone": "Offensive"}}),
    ]
    path = written(tmp_path / "four.json", rows)
    (row,) = json.loads(cli("judge", "damr", path, "-f", "json").out)
    assert row == {"tutor": "GPT4"} | dict.fromkeys(DESIRED, 100.0) | {
        "Mistake_Location": 75.0,
        "Revealing_of_the_Answer": 50.0,
        "Tutor_Tone": 25.0,
    }
    assert damr(read(path))["GPT4"]["Tutor_Tone"].n == 4


@pytest.mark.skipif(not (DATA / "mrbench").is_dir(), reason="the public data do not lie beside the project")
def test_damr_of_the_public_file_is_what_counting_by_hand_gives() -> None:
    path = DATA / "mrbench" / "MRBench_V2.json"
    counted: dict[tuple[str, str], list[bool]] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        for system, one in row["anno_llm_responses"].items():
            for name, label in one["annotation"].items():
                counted.setdefault((system, name[0].upper() + name[1:]), []).append(
                    label == DESIRED[name[0].upper() + name[1:]]
                )
    table = damr(read(path))
    assert len(counted) == 72
    for (system, name), hits in counted.items():
        assert table[system][name].n == len(hits)
        assert table[system][name].value == pytest.approx(sum(hits) / len(hits))


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data do not lie beside the project")
@pytest.mark.parametrize(
    ("name", "n"),
    [("mrbench/mrbench_v3_devset.json", 1683), ("bridge/train.json", None), ("edubench/human_batch_1.jsonl", None)],
)
def test_public_files_read_whole(name: str, n: int | None) -> None:
    found = read(DATA / name)
    assert n in (None, len(found))
    assert len({row.id for row in found}) == len(found)
    assert all(row.reply.strip() and row.labels and row.problem for row in found)
