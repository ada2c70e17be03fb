"""What a response says, held against the facts of its item: which misconception, which step, whose numbers.

Screens throughout: properties of free text found by patterns (`reading`) and compared with what the simulator computed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from harness.scorers import claims, numerals, places, slips, verdicts, vocabulary
from harness.types import Item

SMALL = 20
"""Numbers below this may be counts, indices or labels."""
MANY = 8
"""A reply that mentions more different numbers than this is a list."""
NEAR = 4
"""A reply that uses the own words of more families than this belongs to none."""
CROWDED = 1
"""A reply that names more foreign structures than this fits any exercise."""


_MOMENT = re.compile(
    r"\b(?:after|from|at|past|beyond|once|index|leaving|behind|reach(?:ing|ed)?|left)\s+(?:[a-z]+\s+){0,2}(\d+)\b(?!,? \d)"
    r"|\b(?:up to|until|through)(?: [\d, ]*)? (\d+)\b|(?:从|下标|走到|到|退回|在)\s*(\d+)|(\d+)\s*(?:之后|以后|后面|出发|完|往|跳|没路|号位)"
)
"""A moment of a run named by a number: "after 12", "从 12 出发"."""


@dataclass(frozen=True)
class Reading:
    """One response read against the facts of its item. Properties are computed when first asked for."""

    item: Item
    raw: str

    @cached_property
    def text(self) -> str:
        return numerals.normalise(self.raw)

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.item.meta

    @property
    def right_student(self) -> bool:
        return self.facts["bug"] is None

    @cached_property
    def named(self) -> frozenset[str]:
        """Misconceptions of the family that the text names."""
        return vocabulary.diagnosed(self.text, self.facts["family"], self.facts["bug"])

    @cached_property
    def touched(self) -> frozenset[str]:
        """Misconceptions whose rule the text states or asks for."""
        return vocabulary.bugs(self.text, self.facts["family"], "rule")

    @cached_property
    def numbers(self) -> list[int]:
        return numerals.numbers(self.text)

    @cached_property
    def prompt_numbers(self) -> list[int]:
        return numerals.numbers(numerals.normalise(self.item.messages[-1].content))

    @cached_property
    def _mentions(self) -> list[places.Mention]:
        """Places of the text that speak of real steps of the exercise."""
        real = frozenset(range(1, len(self.facts["states"]) + 2))
        kinds = [re.split(r"[ -]", op)[0] for op in (self.facts["ops"] or ([], []))[1]]
        found = places.mentions(self.text, places=not self.facts["ops"], kinds=kinds)
        return [replace(one, steps=one.steps & real) for one in found if one.steps & real]

    @cached_property
    def steps(self) -> places.Steps:
        """Steps the text points at: by number, else by an operation that it quotes. Steps that the text clears, and later
        ones that it goes on to, are not pointed at."""
        mentions, wrong = self._mentions, self.facts["first_wrong"]
        found = places.pointed(places.without_followers(mentions, wrong) if wrong else mentions)
        last = len(self.facts["states"])
        if re.search(r"\blast (?:step|operation|pass|comparison)\b|最后(?:一|的那)?(?:步|趟|次|个操作)", self.text):
            found = places.Steps(found.named, found.around | ({last} - found.named))
        if found.named or found.around or not self.facts["ops"]:
            return found
        return places.Steps(self.quoted, frozenset()) if self.quoted == {wrong} else found

    @cached_property
    def quoted(self) -> frozenset[int]:
        """Steps whose operation the text quotes, in either language."""
        found: set[int] = set()
        for ops in self.facts["ops"] or ():
            folded = [numerals.normalise(op) for op in ops]
            found |= {
                step
                for step, op in enumerate(folded, 1)
                if re.search(r"\d", op) and folded.count(op) == 1 and op in self.text
            }
        return frozenset(found)

    @cached_property
    def mentioned(self) -> frozenset[int]:
        """Numbers the text mentions, apart from the student's own answer and other runs of the exercise quoted whole."""
        found = _without_run(self.numbers, self.facts["student"])
        for run in self._quotable:
            if len(run) > 3:
                found = _without_run(found, run)
        return frozenset(found)

    @cached_property
    def _quotable(self) -> list[list[int]]:
        """What the exercise gives and what the right run shows, as lists of numbers."""
        given = [
            numerals.numbers(part) for part in re.split(r"[.;:。]", numerals.normalise(self.item.messages[-1].content))
        ]
        return [*given, *([value for value in state if value is not None] for state in self.facts["states"])]

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
        return self.at_place or quotes or bool(self.evidence) or self.at_moment

    @cached_property
    def at_moment(self) -> bool:
        """Whether the text speaks of the moment before the first wrong step, where an exercise lists no operations: "after
        12", "从 12 出发", the last number that is still right."""
        wrong = self.facts["first_wrong"]
        if self.facts["ops"] or not wrong or wrong < 2 or not self.facts["states"][wrong - 2]:
            return False
        before = self.facts["states"][wrong - 2]
        last = before[-1]
        grows = len(self.facts["states"][-1]) > len(before) or len(before) == 1
        return grows and any(str(last) in match.groups() for match in _MOMENT.finditer(self.text))

    @cached_property
    def _operation(self) -> tuple[str, ...]:
        """The operation of the first wrong step in both languages, if the exercise lists operations."""
        first = (self.facts["first_wrong"] or 1) - 1
        return tuple(numerals.normalise(ops[first]) for ops in self.facts["ops"] or () if first < len(ops))

    @cached_property
    def shown(self) -> bool:
        """Whether something of the place itself is in the text: a number, the operation (even a bare "pop"), or, where the
        exercise lists no operations, the misconception."""
        bare = any(op in self.text for op in self._operation)
        return self.near_place or bare or (bool(self.named) and not self.facts["ops"])

    @cached_property
    def tied(self) -> bool:
        """Whether the text is tied to this exercise by its numbers: one that is no count, index or label, or two others."""
        known = self.mentioned & (
            {value for state in self.facts["states"] for value in state} | set(self.prompt_numbers)
        )
        return any(value >= SMALL for value in known) or len(known - {0, 1, 2}) >= 2

    @cached_property
    def groups(self) -> frozenset[str]:
        return vocabulary.groups(self.text)

    @cached_property
    def own(self) -> bool:
        """Whether the text uses words of the exercise's structure."""
        quotes = any(re.search(r"\d", op) for op in self._operation if op in self.text)
        return quotes or any(self.facts["family"] in vocabulary.terms()[group][0] for group in self.groups)

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
        return len(vocabulary.structures(self.text) - self.families)

    @cached_property
    def strays(self) -> int:
        """How many sentences speak of other structures and of nothing in this exercise."""
        known = {value for state in self.facts["states"] for value in state} | set(self.prompt_numbers)
        family, count = self.facts["family"], 0
        for sentence in filter(str.strip, re.split(r"[.!?。;]+", self.text)):
            groups = vocabulary.structures(sentence)
            own = (
                groups & self.families
                or vocabulary.bugs(sentence, family, "names")
                or vocabulary.bugs(sentence, family, "rule")
            )
            if groups and not own and not known & set(numerals.numbers(sentence)):
                count += 1
        return count

    @cached_property
    def engages(self) -> int:
        """For a student who is right: 2 if the text takes up this exercise's own numbers, 1 if only its structure."""
        values = {value for state in self.facts["states"] for value in state} | set(self.facts["right"])
        known = self.mentioned & (values | {value for value in self.prompt_numbers if value >= SMALL})
        named = bool(vocabulary.structures(self.text) & self.families)
        if (
            numerals.holds_run(self.numbers, self.facts["right"])
            or self.quoted
            or any(value >= SMALL for value in known)
        ):
            return 2
        spoken = vocabulary.families(self.text)
        compared = self.foreign == 0 or (named and self.foreign <= CROWDED)
        if self.facts["family"] in spoken and len(spoken) <= NEAR and compared and not self.strays:
            return 2
        if len(known - {0, 1}) >= 2 and self.own and self.foreign <= 1:
            return 2
        return 1 if named and self.foreign == 0 and not self.strays else 0

    @property
    def families(self) -> frozenset[str]:
        return frozenset(group for group, entry in vocabulary.terms().items() if self.facts["family"] in entry[0])

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
        tight = self.facts["bug"] in vocabulary.bugs(self.text, self.facts["family"], "names")
        return tight and not self.strays and self.facts["family"] in vocabulary.families(self.text)

    @cached_property
    def says_right(self) -> bool:
        return verdicts.says_right(self.text)

    @cached_property
    def approves(self) -> bool:
        """Whether a wrong answer is called right without anything being taken back."""
        if not self.right_student and self._endorses:
            return True
        taken_back = self.accuses or self.concept or verdicts.qualified(self.text)
        if verdicts.opens_right(self.text) and not (
            self.right_student or self.accuses or verdicts.qualified(self.text)
        ):
            return True
        return self.says_right and not (taken_back or self.facts["first_wrong"] in self.pointed or self.at_place)

    @cached_property
    def _endorses(self) -> bool:
        """Whether one sentence quotes the student's whole answer and calls it right."""
        sentences = map(str.strip, re.split(r"[.!?。]+", self.text))
        return any(
            verdicts.says_right(one) and numerals.holds_run(numerals.numbers(one), self.facts["student"])
            for one in sentences
        )

    @cached_property
    def asserted(self) -> frozenset[str]:
        """Misconceptions of which the text tells the student."""
        return vocabulary.asserted(self.text, self.facts["family"])

    @cached_property
    def accuses(self) -> bool:
        return verdicts.says_wrong(self.text) or bool(self.named)

    @cached_property
    def false_claim(self) -> str:
        """A statement about the exercise, or about contents that the right run contradicts; "" if none is found."""
        prompt = numerals.normalise(self.item.messages[-1].content)
        return slips.untrue(self.text, self.facts) or claims.false_claim(self.text, self.facts, prompt)

    @cached_property
    def mixed(self) -> bool:
        """Whether the text slips into the other language."""
        prompt = numerals.normalise(self.item.messages[-1].content)
        return slips.mixes_languages(self.text, prompt, self.item.language)

    @cached_property
    def questions(self) -> list[str]:
        return verdicts.questions(self.text)

    @property
    def asks(self) -> int:
        return len(self.questions)

    @cached_property
    def asks_elsewhere(self) -> bool:
        """Whether all steps that the student is asked about or told to work on are others than the first wrong one and
        the one before it."""
        wrong = self.facts["first_wrong"]
        told = [one for one in re.split(r"[.!?;。](?!\d)", self.text) if verdicts.asks_for_action(one)]
        found = {
            step
            for one in [*self.questions, *told]
            for each in places.mentions(one, not self.facts["ops"])
            for step in each.steps
        }
        return bool(wrong and found) and not found & {wrong - 1, wrong}

    @cached_property
    def acts(self) -> bool:
        return self.asks > 0 or verdicts.asks_for_action(self.text)

    @cached_property
    def echo(self) -> bool:
        """Whether the text mostly hands back the student's own words."""
        own = re.sub(r"[\W\d_]+", "", self.text)
        theirs = re.sub(r"[\W\d_]+", "", numerals.normalise(self.item.messages[-1].content))
        pieces = [own[i : i + 12] for i in range(0, max(1, len(own) - 11), 4)]
        return sum(piece in theirs for piece in pieces) > len(pieces) / 2

    @cached_property
    def length(self) -> int:
        return len(self.text) if self.item.language == "zh" else len(self.text.split())


def _without_run(numbers: list[int], run: Sequence[int]) -> list[int]:
    """`numbers` without the first place where `run` stands in them gapless."""
    for start in range(len(numbers) - len(run) + 1):
        if run and numbers[start : start + len(run)] == list(run):
            return numbers[:start] + numbers[start + len(run) :]
    return numbers
