"""What a response says, held against the facts of its item: which misconception, which step, whose numbers.

Screens throughout: properties of free text found by patterns (`reading`) and compared with what the simulator computed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.scorers import reading
from harness.types import Item

SMALL = 20
"""Numbers below this may be counts, indices or labels."""
MANY = 8
"""A reply that mentions more different numbers than this is a list."""
NEAR = 4
"""A reply that uses the own words of more families than this belongs to none."""
CROWDED = 1
"""A reply that names more foreign structures than this fits any exercise."""


@dataclass(frozen=True)
class Reading:
    """One response read against the facts of its item. Properties are computed when first asked for."""

    item: Item
    raw: str

    @cached_property
    def text(self) -> str:
        return reading.normalise(self.raw)

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.item.meta

    @property
    def right_student(self) -> bool:
        return self.facts["bug"] is None

    @cached_property
    def named(self) -> frozenset[str]:
        """Misconceptions of the family that the text names."""
        return reading.diagnosed(self.text, self.facts["family"], self.facts["bug"])

    @cached_property
    def touched(self) -> frozenset[str]:
        """Misconceptions whose rule the text states or asks for."""
        return reading.bugs(self.text, self.facts["family"], "rule")

    @cached_property
    def numbers(self) -> list[int]:
        return reading.numbers(self.text)

    @cached_property
    def prompt_numbers(self) -> list[int]:
        return reading.numbers(reading.normalise(self.item.messages[-1].content))

    @cached_property
    def steps(self) -> reading.Steps:
        """Steps the text points at: by number, else by an operation that it quotes."""
        found = reading.steps(self.text, places=not self.facts["ops"])
        count = len(self.facts["states"])
        real = range(1, count + 2)
        found = reading.Steps(found.named & set(real), found.around & set(real))
        if re.search(r"\blast (?:step|operation|pass|comparison)\b|最后(?:一|的那)?(?:步|趟|次|个操作)", self.text):
            found = reading.Steps(found.named, found.around | ({count} - found.named))
        if found.named or found.around or not self.facts["ops"]:
            return found
        quoted = self.quoted
        return reading.Steps(quoted, frozenset()) if quoted == {self.facts["first_wrong"]} else found

    @cached_property
    def quoted(self) -> frozenset[int]:
        """Steps whose operation the text quotes, in either language."""
        found: set[int] = set()
        for ops in self.facts["ops"] or ():
            folded = [reading.normalise(op) for op in ops]
            found |= {
                step for step, op in enumerate(folded, 1) if len(op) > 4 and folded.count(op) == 1 and op in self.text
            }
        return frozenset(found)

    @cached_property
    def mentioned(self) -> frozenset[int]:
        """Numbers the text mentions, apart from the student's own answer quoted whole."""
        found, student = list(self.numbers), self.facts["student"]
        for start in range(len(found) - len(student) + 1):
            if found[start : start + len(student)] == student:
                del found[start : start + len(student)]
                break
        return frozenset(found)

    @cached_property
    def strange(self) -> frozenset[int]:
        """Mentioned numbers that stand neither in the exercise nor in its right run."""
        known = {value for state in self.facts["states"] for value in state}
        return self.mentioned - known - set(self.prompt_numbers)

    @cached_property
    def evidence(self) -> frozenset[int]:
        """Numbers of the first wrong step that the text mentions; 0, 1 and 2 stand everywhere and show nothing."""
        return self.mentioned & set(self.facts["locus"]) - {0, 1, 2}

    @cached_property
    def at_place(self) -> bool:
        """Whether the text speaks of what stands at the first wrong step: its operation or its numbers. One small number
        is no evidence (labels and counts are small), nor is a list of many."""
        hits = self.evidence
        found = len(hits) >= 2 or any(value >= SMALL for value in hits)
        return self.facts["first_wrong"] in self.quoted or (found and 2 * len(hits) >= len(self.mentioned) - 2)

    @cached_property
    def near_place(self) -> bool:
        """Whether the text mentions any number of the first wrong step, or quotes its operation."""
        quotes = any(op in self.text for op in self._operation if re.search(r"\d", op))
        return self.at_place or quotes or bool(self.evidence)

    @cached_property
    def _operation(self) -> tuple[str, ...]:
        """The operation of the first wrong step in both languages, if the exercise lists operations."""
        first = (self.facts["first_wrong"] or 1) - 1
        return tuple(reading.normalise(ops[first]) for ops in self.facts["ops"] or () if first < len(ops))

    @cached_property
    def shown(self) -> bool:
        """Whether something of the place itself is in the text: a number, the operation (even a bare "pop"), or, where the
        exercise lists no operations, the misconception."""
        bare = any(op in self.text for op in self._operation)
        return self.near_place or bare or (bool(self.named) and not self.facts["ops"])

    @cached_property
    def groups(self) -> frozenset[str]:
        return reading.groups(self.text)

    @cached_property
    def own(self) -> bool:
        """Whether the text uses words of the exercise's structure."""
        return any(self.facts["family"] in reading.terms()[group][0] for group in self.groups)

    @cached_property
    def specific(self) -> bool:
        """Whether the text is about this exercise: its structure or idea, with its numbers, steps or idea."""
        values = len(set(self.numbers) & set(self.prompt_numbers))
        idea = bool(self.named or self.touched)
        return values >= 2 or ((self.own or idea) and (idea or bool(values) or bool(self.pointed)))

    @cached_property
    def scattered(self) -> bool:
        """Whether the text speaks of so many structures, or names so many numbers, that it fits any exercise."""
        strange = len(self.strange) > 3 or (not self.right_student and any(value >= SMALL for value in self.strange))
        many = len(self.mentioned) > MANY
        known = self.mentioned & {value for state in self.facts["states"] for value in state}
        alien = self.foreign > 0 and not self.own and len(known) < 2 and self.named != {self.facts["bug"]}
        return strange or many or alien or self.foreign > CROWDED or self.strays > CROWDED

    @cached_property
    def foreign(self) -> int:
        """How many other structures the text calls by name."""
        return len(reading.structures(self.text) - self.families)

    @cached_property
    def strays(self) -> int:
        """How many sentences speak of other structures and of nothing in this exercise."""
        known = {value for state in self.facts["states"] for value in state} | set(self.prompt_numbers)
        family, count = self.facts["family"], 0
        for sentence in filter(str.strip, re.split(r"[.!?。;]+", self.text)):
            groups = reading.groups(sentence)
            own = (
                groups & self.families
                or reading.bugs(sentence, family, "names")
                or reading.bugs(sentence, family, "rule")
            )
            if groups and not own and not known & set(reading.numbers(sentence)):
                count += 1
        return count

    @cached_property
    def engages(self) -> int:
        """For a student who is right: 2 if the text takes up this exercise's own numbers, 1 if only its structure."""
        values = {value for state in self.facts["states"] for value in state} | set(self.facts["right"])
        known = self.mentioned & (values | {value for value in self.prompt_numbers if value >= SMALL})
        named = self.foreign == 0 and bool(reading.structures(self.text) & self.families)
        if (
            reading.holds_run(self.numbers, self.facts["right"])
            or self.quoted
            or any(value >= SMALL for value in known)
        ):
            return 2
        spoken = reading.families(self.text)
        if self.facts["family"] in spoken and len(spoken) <= NEAR and self.foreign == 0 and not self.strays:
            return 2
        if len(known - {0, 1}) >= 2 and self.own and self.foreign <= 1:
            return 2
        return 1 if named and not self.strays else 0

    @property
    def families(self) -> frozenset[str]:
        return frozenset(group for group, entry in reading.terms().items() if self.facts["family"] in entry[0])

    @property
    def pointed(self) -> frozenset[int]:
        return self.steps.named | self.steps.around

    @cached_property
    def place(self) -> int:
        """2 if exactly the first wrong step is pointed at; 1 if among two, or only by its numbers; 0 if none; -1 if another."""
        wrong = self.facts["first_wrong"]
        near = {wrong, wrong - 1}
        if not self.pointed:
            return 1 if self.near_place else 0
        if self.steps.named == {wrong} or (not self.steps.named and wrong in self.steps.around):
            return 2 if self.steps.around <= near else 1
        if wrong in self.pointed:
            return 1 if len(self.pointed - near) <= 1 else 0
        return 0 if self.steps.named <= near else -1

    @cached_property
    def concept(self) -> bool:
        """Whether the text is about the student's own misconception and hardly about another."""
        bug = self.facts["bug"]
        if self.named:
            return self.named == {bug}
        return bug in self.touched and len(self.touched) <= 2

    @cached_property
    def plain(self) -> bool:
        """Whether the student's own misconception is named in tight words, with words of this very family."""
        tight = self.facts["bug"] in reading.bugs(self.text, self.facts["family"], "names")
        return tight and not self.strays and self.facts["family"] in reading.families(self.text)

    @cached_property
    def says_right(self) -> bool:
        return reading.says_right(self.text)

    @cached_property
    def approves(self) -> bool:
        """Whether a wrong answer is called right without anything being taken back."""
        if not self.right_student and self._endorses:
            return True
        taken_back = self.accuses or self.concept or reading.qualified(self.text)
        return self.says_right and not (taken_back or self.facts["first_wrong"] in self.pointed or self.at_place)

    @cached_property
    def _endorses(self) -> bool:
        """Whether one sentence quotes the student's whole answer and calls it right."""
        sentences = re.split(r"[.!?。]+", self.text)
        return any(
            reading.says_right(one) and reading.holds_run(reading.numbers(one), self.facts["student"])
            for one in sentences
        )

    @cached_property
    def asserted(self) -> frozenset[str]:
        """Misconceptions that statements (not questions) of the text name in tight words."""
        return reading.bugs(reading.statements(self.text), self.facts["family"], "names")

    @cached_property
    def accuses(self) -> bool:
        return reading.says_wrong(self.text) or bool(self.named)

    @cached_property
    def asks(self) -> int:
        return reading.questions(self.text)

    @cached_property
    def acts(self) -> bool:
        return self.asks > 0 or reading.asks_for_action(self.text)

    @cached_property
    def echo(self) -> bool:
        """Whether the text mostly hands back the student's own words."""
        own = re.sub(r"[\W\d_]+", "", self.text)
        theirs = re.sub(r"[\W\d_]+", "", reading.normalise(self.item.messages[-1].content))
        pieces = [own[i : i + 12] for i in range(0, max(1, len(own) - 11), 4)]
        return sum(piece in theirs for piece in pieces) > len(pieces) / 2

    @cached_property
    def length(self) -> int:
        return len(self.text) if self.item.language == "zh" else len(self.text.split())
