"""From facts to words: exercises, students' turns and teachers' replies in Chinese and English.

Every sentence comes from a phrase bank (`words/*.yaml`). Training text is made from the "train" banks; test items and
references from the "test" banks, so that a system cannot pass by having seen the wording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from harness.paths import read_yaml
from harness.simulator.core import Facts, Op, Problem

Bank = Literal["train", "test"]
_FOLDER = Path(__file__).with_name("words")


@cache
def words(family: str) -> Mapping[str, Any]:
    """The phrase file of a family, or "common"."""
    data: Mapping[str, Any] = read_yaml(_FOLDER / f"{family}.yaml")
    return data


def numbers(values: tuple[int, ...]) -> str:
    """A sequence as exercises and students write it."""
    return ", ".join(str(value) for value in values)


def op_text(problem: Problem, op: Op, language: str) -> str:
    """An operation as the exercise prints it."""
    found = words(problem.family)["ops"].get(op[0])
    return str(found[language]).format(*op[1:]) if found else " ".join(str(part) for part in op)


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: a language, a phrase bank, and the dice that pick among its phrases (`plain`: always the first)."""

    language: str
    bank: Bank
    rng: Random
    plain: bool = False

    def pick(self, table: Mapping[str, Any], **values: Any) -> str:
        """One phrase of a {bank: {language: [phrases]}} table, filled in."""
        phrases = table[self.bank][self.language]
        phrase: str = phrases[0] if self.plain else self.rng.choice(phrases)
        return phrase.format(**values) if values else phrase

    def say(self, act: str, **values: Any) -> str:
        return self.pick(words("common")[act], **values)


def _printed(problem: Problem) -> dict[str, Any]:
    """Parameters as phrases print them."""
    return {name: numbers(value) if isinstance(value, tuple) else value for name, value in problem.params}


def exercise(problem: Problem, voice: Voice) -> str:
    """The exercise text: set-up, operations or data, conventions, question."""
    family, common, language = words(problem.family), words("common"), voice.language
    params = _printed(problem)
    lines = [family["setup"][language].format(**params)]
    if family.get("list_ops", True):
        listed = [op_text(problem, op, language) for op in problem.ops]
        if family.get("edges") == "ops":
            lines.append(voice.say("data_head") + common["joiner"][language] + "; ".join(listed))
        else:
            lines.append(voice.say("ops_head") + " " + "  ".join(f"({i}) {op}" for i, op in enumerate(listed, 1)))
    elif family.get("edges") == "ops":
        lines.append("; ".join(op_text(problem, op, language) for op in problem.ops))
    if rules := family["conventions"][language]:
        lines.append(common["conventions_head"][language] + common["joiner"][language].join(rules).format(**params))
    lines.append(voice.pick(family["ask"], **params))
    return "\n".join(lines)


def worked(facts: Facts, language: str) -> str:
    """The exercise as a student works it (families with a `worked` entry only): every operation with the contents that
    the student has after it. For models too small to read the full text and to simulate what is not shown."""
    problem = facts.problem
    params = _printed(problem)
    lines = [str(words(problem.family)["worked"][language]).format(**params)]
    for number, (op, step) in enumerate(zip(problem.ops, facts.student.steps), start=1):
        held = " ".join("-" if value is None else str(value) for value in step.state)
        where = words("common")["where"]["step"][language].format(step=number)
        lines.append(f"{where} {op_text(problem, op, language)}: {held}")
    return "\n".join(lines)


def student_turn(facts: Facts, hint_level: int, voice: Voice, register: str = "full") -> str:
    """What the student sends: the exercise and an answer; the hint level that the tutor may go to stands first.

    The register "worked" has the bare exercise with the student's state after every step, then the bare answer, in the
    same words for every split.
    """
    if register == "worked":
        return f"{worked(facts, voice.language)}\n= {numbers(facts.student.answer)}"
    answer = voice.say("student", answer=numbers(facts.student.answer))
    asked = f"{exercise(facts.problem, voice)}\n{answer}"
    return with_hint_level(words("common")["hint_level"][voice.language], hint_level, asked)


def with_hint_level(line: str, level: int, turn: str) -> str:
    """A student's turn below the line that says the hint level."""
    return line.replace("{level}", str(level)) + f"\n{turn}"


class Teacher:
    """Speaks about one exercise in acts; a reply is a composition of acts."""

    def __init__(self, facts: Facts, voice: Voice) -> None:
        self.facts, self.voice = facts, voice
        self._family = words(facts.problem.family)
        self._bug = self._family["bugs"][facts.bug] if facts.bug else None
        step = facts.first_wrong or 1
        self._values = {"step": step, "op": self._op(step), "where": self._where(step)}

    def _op(self, step: int) -> str:
        problem = self.facts.problem
        listed = self._family.get("list_ops", True) and self._family.get("edges") != "ops"
        return (
            op_text(problem, problem.ops[step - 1], self.voice.language) if listed and step <= len(problem.ops) else ""
        )

    def _where(self, step: int) -> str:
        op = self._op(step)
        kind = "op" if op else "step"
        return str(words("common")["where"][kind][self.voice.language]).format(step=step, op=op)

    def diagnose(self, bug: str | None = None) -> str:
        """Names a misconception: the student's own unless another is given."""
        entry = self._family["bugs"][bug] if bug else self._bug
        return self.voice.pick(entry["diagnose"]) if entry else ""

    def locate(self, step: int | None = None) -> str:
        """Points at a step: the first wrong one unless another is given."""
        return self.voice.say("locate", where=self._where(step) if step else self._values["where"])

    def rule(self) -> str:
        return self.voice.pick(self._bug["rule"]) if self._bug else ""

    def ask(self) -> str:
        """A guiding question at the first wrong step; for a student who is right, one that goes further."""
        if self._bug is None:
            return self.voice.pick(self._family["extend"])
        return self.voice.pick(self._bug["ask"], **self._values)

    def redo(self) -> str:
        return self.voice.say("redo", **self._values)

    def affirm(self) -> str:
        name = self._family["name"][self.voice.language]
        return self.voice.say("affirm", answer=numbers(self.facts.student.answer), name=name)

    def give_away(self) -> str:
        return self.voice.say("give_away", right=numbers(self.facts.right.answer))

    def praise(self) -> str:
        return self.voice.say("praise")

    def ramble(self) -> str:
        return self.voice.say("ramble")

    def mislead(self) -> str:
        """A wrong diagnosis of the family."""
        others = [bug for bug in self._family["bugs"] if bug != self.facts.bug]
        return self.diagnose(self.voice.rng.choice(others))

    def wrong_step(self) -> str:
        count = len(self.facts.right.steps)
        return self.locate(
            self.voice.rng.choice([step for step in range(1, count + 1) if step != self.facts.first_wrong])
        )


ACTS = ("diagnose", "locate", "rule", "ask", "redo", "affirm", "give_away", "praise", "ramble", "mislead", "wrong_step")

WRONG: dict[str, tuple[tuple[str, ...], ...]] = {
    "good": (
        ("locate", "diagnose", "ask"),
        ("locate", "diagnose", "rule", "ask"),
        ("locate", "diagnose", "rule", "redo", "ask"),
    ),
    "answer-giver": (("give_away",), ("diagnose", "locate", "give_away"), ("locate", "give_away")),
    "vague": (("praise",), ("ask",), ("praise", "ask")),
    "wrong-diagnosis": (("mislead", "locate", "ask"), ("mislead", "locate", "redo")),
    "wrong-step": (("diagnose", "wrong_step", "ask"), ("diagnose", "wrong_step")),
    "rambler": (("ramble", "praise"), ("ramble", "ramble")),
    "flatterer": (("affirm",), ("affirm", "praise")),
}
"""What each teacher says to a student who is wrong; the good one by hint level, the others by the dice."""

RIGHT: dict[str, tuple[tuple[str, ...], ...]] = {
    "good": (("affirm", "ask"), ("affirm", "ask"), ("affirm", "ask")),
    "answer-giver": (("affirm",),),
    "vague": (("praise",),),
    "wrong-diagnosis": (("mislead", "wrong_step"),),
    "wrong-step": (("wrong_step",),),
    "rambler": (("ramble", "praise"),),
    "flatterer": (("affirm",), ("affirm", "praise")),
}
"""The same for a student who is right."""


def reply(teacher: str, facts: Facts, hint_level: int, voice: Voice) -> str:
    """What the named teacher says. Raises KeyError for a teacher that is in no table."""
    table = (RIGHT if facts.bug is None else WRONG)[teacher]
    acts = table[hint_level] if teacher == "good" else voice.rng.choice(table)
    speaker = Teacher(facts, voice)
    return compose(speaker, acts)


def compose(speaker: Teacher, acts: tuple[str, ...]) -> str:
    """A reply made of acts, in order."""
    joiner = words("common")["joiner"][speaker.voice.language]
    return str(joiner.join(getattr(speaker, act)() for act in acts))
