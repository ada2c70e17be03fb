"""A simulated student: buggy until guidance repairs the implementation, and asked again on a sibling exercise.

What guidance does to the student is assumed, not measured on people: rule and step together repair the bug, less than both
repairs it with a lower chance, and an answer that is handed over is copied and repairs nothing (students who get the last
hint copy it: Aleven & Koedinger 2000; Baker et al. 2004). Whatever is computed from it is *simulated*.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from harness.errors import UsageError
from harness.simulator.core import Facts, Problem, explain
from harness.simulator.families import FAMILIES
from harness.simulator.items import split_of

ALONE = 0.1
"""Chance that a student who is only told to look again finds the mistake"""
ATTEMPTS = 5_000


@dataclass(frozen=True, slots=True)
class Lesson:
    """What guidance tells: how far it identifies the rule (0, 0.5, 1) and the step (the same; below 0: another step),
    whether it makes the student work, and whether it hands the answer over."""

    rule: float = 0.0
    step: float = 0.0
    acts: bool = False
    answer: bool = False

    @property
    def repair(self) -> float:
        """The chance that the implementation is repaired: the rule is needed, the step doubles what it does."""
        if self.answer:
            return 0.0
        return max(self.rule * (1 + self.step) / 2, ALONE if self.acts else 0.0)


@dataclass(frozen=True, slots=True)
class Student:
    """Someone with the implementation of `family` that has `bug`. `luck` (0 to 1) is the same whoever tutors them."""

    family: str
    bug: str | None
    luck: float

    def taught(self, lesson: Lesson) -> Student:
        """The student after a lesson: without the bug, or as before."""
        return Student(self.family, None, self.luck) if self.luck < lesson.repair else self

    def solves(self, problem: Problem) -> bool:
        """Whether the student's answer to an exercise is right."""
        family = FAMILIES[self.family]
        return family.run(problem, self.bug).answer == family.run(problem).answer


def luck(name: str) -> float:
    """The luck of the student of that name."""
    return Random(f"student {name}").random()


def sibling(name: str, family: str, bug: str, difficulty: int, split: str, answer: tuple[int, ...]) -> Facts:
    """Another exercise of a family on which `bug` errs, in the same split, with another right answer; drawn by `name`.

    Raises UsageError if none was found.
    """
    found, rng = FAMILIES[family], Random(f"sibling {name}")
    for _ in range(ATTEMPTS):
        problem = found.sample(rng, difficulty)
        if split_of(found.canonical(problem)) != split.removesuffix("-unseen"):
            continue
        facts = explain(found, problem, bug)
        if facts is not None and facts.right.answer != answer:
            return facts
    raise UsageError(f"no sibling exercise for {bug} of difficulty {difficulty} in the split {split} was found.")
