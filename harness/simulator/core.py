"""An exercise on a data structure: a problem, the runs that implementations make of it, and what explains a wrong run.

A *family* is one kind of exercise (a stack, one pass of bubble sort, ...). It has one correct implementation and
several named *bugs*: buggy implementations that students are known to carry in their heads. A student's wrong answer
is the answer of exactly one bug (model tracing, as in cognitive tutors: Anderson et al. 1995), so the diagnosis, the
first wrong step and the right answer of an exercise are computed, never guessed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random
from typing import ClassVar

Op = tuple[str | int, ...]
"""An operation as an exercise lists it: a name and its arguments, e.g. ("push", 7)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One exercise. `ops` are the operations it lists; `params` what else it states (a capacity, a start node, ...)."""

    family: str
    ops: tuple[Op, ...]
    params: tuple[tuple[str, int | tuple[int, ...]], ...] = ()

    def param(self, name: str) -> int | tuple[int, ...]:
        return dict(self.params)[name]


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step of a run: the operation, and what is visible after it (None is an empty slot)."""

    op: Op
    state: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """A run: its steps, and the answer that the exercise asks for (three or more numbers)."""

    steps: tuple[Step, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of an exercise and a student's answer to it. `bug` and `first_wrong` are None if the student is right."""

    problem: Problem
    right: Trace
    student: Trace
    bug: str | None
    first_wrong: int | None
    """Number of the first wrong step, counted from 1."""


class Family(ABC):
    """One kind of exercise. Subclasses hold no state; `run` is a pure function and ends on every problem and bug."""

    name: ClassVar[str]
    knowledge_point: ClassVar[str]
    bugs: ClassVar[tuple[str, ...]]
    """Names of the buggy implementations, each "<family>.<bug>"."""

    @abstractmethod
    def sample(self, rng: Random, difficulty: int) -> Problem:
        """A random problem of difficulty 1, 2 or 3, with distinct numbers from 0 to 99."""

    @abstractmethod
    def run(self, problem: Problem, bug: str | None = None) -> Trace:
        """The run of the correct implementation, or of one with `bug`."""

    def canonical(self, problem: Problem) -> str:
        """The structure of a problem without its literal numbers: equal for problems that differ only in an
        order-preserving renaming of the values. Override where numbers carry more than their order."""
        values = sorted({arg for op in problem.ops for arg in op[1:] if isinstance(arg, int)})
        rank = {value: str(i) for i, value in enumerate(values)}
        ops = ";".join(",".join([str(op[0]), *(rank[a] for a in op[1:] if isinstance(a, int))]) for op in problem.ops)
        return f"{self.name}|{problem.params}|{ops}"


def first_difference(right: Trace, student: Trace) -> int | None:
    """Number, from 1, of the first step at which two runs differ; None if they never do."""
    for number, (a, b) in enumerate(zip(right.steps, student.steps), start=1):
        if a != b:
            return number
    if len(right.steps) != len(student.steps):
        return min(len(right.steps), len(student.steps)) + 1
    return None


def explain(family: Family, problem: Problem, bug: str | None) -> Facts | None:
    """The facts of an exercise whose student carries `bug`; None unless that bug alone explains the wrong answer."""
    right = family.run(problem)
    if bug is None:
        return Facts(problem, right, right, None, None)
    student = family.run(problem, bug)
    if student.answer == right.answer or len(student.answer) < 3:
        return None
    if any(family.run(problem, other).answer == student.answer for other in family.bugs if other != bug):
        return None
    first = first_difference(right, student)
    return None if first is None else Facts(problem, right, student, bug, first)
