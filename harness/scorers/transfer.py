"""Teaching effect, simulated: does the student of an item solve a sibling item after this guidance?

Screens and assumptions throughout: what the guidance tells is read by patterns (`evidence`), what it does to the student
is assumed (`harness/simulator/student.py`). It says nothing of real students and ranks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from harness.scorers.checks import withheld, without_facts
from harness.scorers.evidence import Reading
from harness.simulator.student import Lesson, Student, luck, sibling
from harness.types import Item, Response, Score

VERSION = 1
CRITERIA = ("transfer_success", "item_success", "answer_given")
STEP = {2: 1.0, 1: 0.5, 0: 0.0, -1: -0.5}
"""How far each `Reading.place` identifies the step. Another step than the wrong one sends the student astray"""


def lesson(read: Reading) -> Lesson:
    """What a text tells the student of its item. Who calls the wrong answer right, hands the student's own words back, or
    says what fits any exercise teaches nothing."""
    if read.approves or read.echo or read.scattered:
        return Lesson(answer=withheld(read)[0] == 0)
    rule = 1.0 if read.named == {read.facts["bug"]} else 0.5 if read.concept else 0.0
    return Lesson(rule, STEP[read.place], read.acts, withheld(read)[0] == 0)


def outcome(item: Item, sample: int, text: str) -> dict[str, float]:
    """Whether the student then solves a sibling, and the item itself; and whether the answer was handed over.

    The luck of a student depends on problem and sample, not on the tutor: two tutors teach the same students.
    """
    told = lesson(Reading(item, text))
    student = Student(item.meta["family"], item.misconception, luck(f"{item.cluster} {sample}")).taught(told)
    repaired = student.bug is None
    return {
        "transfer_success": float(student.solves(_sibling(item.cluster, *_place(item)).problem)),
        "item_success": float(repaired or told.answer),
        "answer_given": float(told.answer),
    }


def _place(item: Item) -> tuple[str, str, int, str, tuple[int, ...]]:
    return item.meta["family"], str(item.misconception), item.difficulty, item.split, tuple(item.meta["right"])


_sibling = cache(sibling)


class Transfer:
    """The simulated student as a scorer. Items without computed facts are unscored; a student who is right has nothing to
    be repaired and gives no score."""

    source = f"simulated/student@{VERSION}"
    criteria = CRITERIA

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        for response in responses:
            item = items[response.item]
            if "states" not in item.meta:
                yield from without_facts(response, CRITERIA, self.source)
            elif item.misconception is not None:
                for name, value in outcome(item, response.sample, response.text).items():
                    yield Score(item.id, response.sample, name, self.source, value, evidence="simulated")
