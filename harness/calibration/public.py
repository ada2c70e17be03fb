"""Public tutoring data with human labels, read by path: MRBench, Bridge, MathDial, EduBench. None of it lies here.

Licences: MRBench and MathDial are CC BY-SA 4.0 (labels derived from them carry the same), Bridge and EduBench MIT.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import UsageError
from harness.scorers.learned import Example
from harness.types import Language, Message

Form = Literal["mrbench", "bridge", "mathdial", "edubench"]
CRITERIA = {
    "Mistake_Identification": "D1",
    "Mistake_Location": "D2",
    "Providing_Guidance": "D3",
    "Actionability": "D5",
    "Coherence": "D7",
}
"""MRBench's dimensions that are criteria of the rubric `guidance`"""
VALUES = {"Yes": 2.0, "To some extent": 1.0, "No": 0.0}
_TURN = re.compile(r"\s*(?:^|\n|\xa0)\s*(Tutor|Teacher|Student)\s*:", re.IGNORECASE)
_QUESTION = re.compile(r"the question is:?(.*?)(?=\n\s*\xa0?\s*Student|\xa0\s*\n|\n|$)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class HumanLabelled:
    """One tutor reply with what people said of it. `problem` groups what may not be split; `gold` is the right answer.

    `labels`: by the data's own names; words (MRBench), numbers (EduBench), tags (Bridge, MathDial).
    """

    id: str
    problem: str
    system: str
    language: Language
    dialogue: tuple[Message, ...]
    reply: str
    labels: Mapping[str, str | float]
    gold: str = ""


def read(path: Path) -> list[HumanLabelled]:
    """Every labelled reply of a file of one of the four sets. UsageError for a file of none, with the row at fault."""
    rows = _rows(path)
    if not rows:
        raise UsageError(f"{path} has no rows.")
    form = next((name for name, (mark, _) in _FORMS.items() if mark in rows[0]), None)
    if form is None:
        known = (
            "MRBench (conversation_history), Bridge (c_h), MathDial (student_incorrect_solution), EduBench (gen_model)"
        )
        raise UsageError(f"{path}: a row has {', '.join(map(str, rows[0]))}. Known are {known}.")
    found: list[HumanLabelled] = []
    for number, row in enumerate(rows, start=1):
        try:
            found += _FORMS[form][1](row, number)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path}, row {number}: not a row of {form} ({type(error).__name__}: {error}).") from error
    return found


def example(row: HumanLabelled) -> Example:
    """A labelled reply as the scorer `learned` sees it; labels of MRBench's dimensions that are criteria of the rubric."""
    labels = {CRITERIA[name]: VALUES[str(label)] for name, label in row.labels.items() if name in CRITERIA}
    student = next((turn.content for turn in reversed(row.dialogue) if turn.role == "user"), "")
    history = "\n".join(turn.content for turn in row.dialogue)
    return Example(history, student, row.reply, row.gold, labels, row.problem)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True)))
        data = (
            [json.loads(line) for line in text.split("\n") if line.strip()]
            if path.suffix == ".jsonl"
            else json.loads(text)
        )
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist.") from error
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as {path.suffix or 'JSON'} ({error}).") from error
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise UsageError(f"{path}: a list of objects is wanted.")
    return data


def _mrbench(row: Mapping[str, Any], number: int) -> Iterator[HumanLabelled]:
    """V1, V2 (anno_llm_responses, eight labels, a gold solution) and V3 (tutor_responses, four labels)."""
    history = str(row["conversation_history"])
    replies = row["anno_llm_responses"] if "anno_llm_responses" in row else row["tutor_responses"]
    for system, one in replies.items():
        labels = {name[0].upper() + name[1:]: str(label) for name, label in one.get("annotation", {}).items()}
        yield HumanLabelled(
            id=f"{row['conversation_id']}/{system}",
            problem=problem(history),
            system=system,
            language="en",
            dialogue=turns(history),
            reply=str(one["response"]),
            labels=labels,
            gold=str(row.get("Ground_Truth_Solution", "")),
        )


def problem(history: str) -> str:
    """What a dialogue is about, so that its contexts are never split: the question if one is told, else all of it."""
    found = _QUESTION.search(history)
    text = found[1] if found and found[1].strip() else history
    return re.sub(r"\W+", " ", text).strip().casefold()[:300]


def turns(history: str) -> tuple[Message, ...]:
    """A history of lines "Tutor: ..." and "Student: ..." as turns."""
    parts = _TURN.split(history.strip())
    head, named = parts[0].strip(), list(zip(parts[1::2], parts[2::2], strict=True))
    found = [Message("user" if who.casefold() == "student" else "assistant", text.strip()) for who, text in named]
    return tuple([Message("assistant", head), *found] if head else found)


def _bridge(row: Mapping[str, Any], number: int) -> Iterator[HumanLabelled]:
    """A novice's reply and an expert's to one context; labels are the expert's decisions."""
    dialogue = tuple(Message("user" if one["user"] == "student" else "assistant", one["text"]) for one in row["c_h"])
    context = re.sub(r"\W+", " ", " ".join(one.content for one in dialogue)).casefold()
    labels = {name: str(row[name]) for name in ("e", "z_what", "z_why") if name in row}
    for system, key in (("Novice", "c_r"), ("Expert", "c_r_")):
        reply = " ".join(one["text"] for one in row[key] if one["user"] == "tutor")
        yield HumanLabelled(f"{row['c_id']}/{number}/{system}", context, system, "en", dialogue, reply, labels)


def _mathdial(row: Mapping[str, Any], number: int) -> Iterator[HumanLabelled]:
    """Every tagged teacher turn, "(focus) ...", of a dialogue that is told in one string with |EOM| between turns."""
    dialogue: list[Message] = []
    for turn in str(row["conversation"]).split("|EOM|"):
        who, _, said = turn.strip().partition(":")
        if who.strip().casefold() != "teacher":
            dialogue.append(Message("user", said.strip()))
            continue
        tag = re.match(r"\s*\((\w+)\)\s*", said)
        text = said[tag.end() :].strip() if tag else said.strip()
        if tag:
            yield HumanLabelled(
                id=f"{row['qid']}/{number}/{len(dialogue)}",
                problem=problem(f"The question is: {row['question']}"),
                system="Teacher",
                language="en",
                dialogue=tuple(dialogue),
                reply=text,
                labels={"move": tag[1]},
                gold=str(row["ground_truth"]),
            )
        dialogue.append(Message("assistant", text))


def _edubench(row: Mapping[str, Any], number: int) -> Iterator[HumanLabelled]:
    """Twelve scores of 1 to 10, those that the scenario has."""
    labels = {name: float(row[name]) for name in row if name not in _EDUBENCH_KEYS and row[name] not in ("", None)}
    language: Language = "zh" if str(row.get("language", "en")).casefold().startswith(("zh", "ch", "中")) else "en"
    dialogue = (Message("user", str(row["question"])),)
    context = f"{language} {row['question']}"
    yield HumanLabelled(
        f"{row.get('question_id', '')}/{number}/{row['gen_model']}",
        context,
        row["gen_model"],
        language,
        dialogue,
        str(row["response"]),
        labels,
    )


_EDUBENCH_KEYS = {"", "question", "question_id", "gen_model", "eval_model", "response", "task", "metrics", "language"}
_FORMS: Mapping[Form, tuple[str, Callable[[Mapping[str, Any], int], Iterator[HumanLabelled]]]] = {
    "mrbench": ("conversation_history", _mrbench),
    "bridge": ("c_h", _bridge),
    "mathdial": ("student_incorrect_solution", _mathdial),
    "edubench": ("gen_model", _edubench),
}
