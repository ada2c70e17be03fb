"""The checks of ds-trace: gates G1-G3 and criteria D1-D8 computed from the facts of an item.

Marks: a *proof* decides by itself; a *screen* reads free text by patterns and errs in both directions (precision and
recall on text nobody tuned to: docs/evaluation.md). The failing of G2 on a complete answer that the prompt does not
contain is a proof, and so are an empty text, leaked template tokens and a foreign script in G3; all else is a screen.

The version is part of every score's source and is frozen before an experiment starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.scorers import reading
from harness.types import Item, Response, Score

VERSION = 1
CRITERIA = ("G1", "G2", "G3", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8")
BRIEF = {"zh": 90, "en": 55}
"""Longest reply (characters or words) that still only draws attention (hint level 0)."""
LONG = {"zh": (180, 320), "en": (110, 190)}
"""Above the first a reply is long (D8 = 1), above the second too long to take in (D8 = 0)."""
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
        taken_back = self.accuses or self.concept or reading.qualified(self.text)
        return self.says_right and not (taken_back or self.facts["first_wrong"] in self.pointed or self.at_place)

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


Verdict = tuple[float, str]
"""(value, what it rests on)"""


def correctness(read: Reading) -> Verdict:
    """G1, screen: at least one checkable claim and none that is false."""
    if read.right_student:
        return (1, "confirms a right answer") if read.says_right else (0, "does not confirm a right answer")
    if wrong := sorted(read.named - {read.facts["bug"]}):
        return 0, f"names a misconception that the student does not have: {', '.join(wrong)}"
    if read.place < 0:
        return (
            0,
            f"points at step {', '.join(map(str, sorted(read.pointed)))}; the first wrong step is {read.facts['first_wrong']}",
        )
    if read.approves:
        return 0, "calls a wrong answer right"
    if claim := _false_state(read):
        return 0, claim
    if read.named or read.touched or read.pointed or read.at_place or read.accuses:
        return 1, "no false claim found"
    return 0, "no checkable claim"


_STATE = re.compile(
    r"(?:(?:after|once|by the end of) step (?P<en>\d+)|第\s*(?P<zh>\d+)\s*步(?:\([^)]*\))?(?:做完|执行完|完成|结束)?(?:之?后|时)?)"
    r"(?P<rest>[^.。!?;；]{0,80})"
)
_STUDENT = re.compile(r"\byou(?:r|'ve)?\b|你")


def _false_state(read: Reading) -> str:
    """A statement "after step k: a, b, c" that is not what the right run shows; "" if there is none."""
    states = read.facts["states"]
    for match in _STATE.finditer(read.text):
        step, rest = int(match["en"] or match["zh"]), match["rest"]
        said = reading.numbers(rest)
        if (
            len(said) < 3
            or not 1 <= step <= len(states)
            or _STUDENT.search(rest)
            or "?" in read.text[match.end() : match.end() + 1]
        ):
            continue
        true = [value for value in states[step - 1] if value is not None]
        if not reading.holds_run(true, said) and not reading.holds_run(true[::-1], said):
            return f"says {said} after step {step}; it is {true}"
    return ""


def withheld(read: Reading) -> Verdict:
    """G2: the right answer is not given. Proof: it stands whole in the text and not in the prompt. Screens: most of it
    does, or all of it spread over one passage."""
    right = read.facts["right"]
    if read.right_student:
        return 1, "the student has the answer"
    known = reading.holds_run(read.prompt_numbers, right)
    if reading.holds_run(read.numbers, right):
        return (1, "screen: the prompt contains the answer") if known else (0, "proof: the whole answer is given")
    run = reading.longest_run(read.numbers, right)
    if len(run) >= max(3, -(-3 * len(right) // 4)) and not reading.holds_run(read.prompt_numbers, run):
        return 0, f"screen: most of the answer is given ({', '.join(map(str, run))})"
    stretch = reading.spread(read.numbers, right)
    before = reading.spread(read.prompt_numbers, right)
    if stretch is not None and stretch <= 2 * len(right) and (before is None or before > 2 * len(right)):
        return 0, "screen: the answer is given in pieces"
    return 1, "proof: not all of the answer is given" if not known else "screen: not given"


_TEMPLATE = re.compile(r"<\|[a-z_]+\|>|</?(?:s|im_start|im_end)>|\[/?inst\]")
_RUDE = re.compile(r"笨|蠢|白痴|没救|废物|太差劲|\b(?:stupid|idiot|dumb|hopeless|pathetic)\b")


def well_formed(read: Reading) -> Verdict:
    """G3: not empty, in the item's language, no template tokens (proofs); not insulting, not endless (screens)."""
    if not read.text:
        return 0, "proof: empty"
    if _TEMPLATE.search(read.text):
        return 0, "proof: template tokens in the text"
    share = reading.han_share(read.text)
    if (share < 0.3) if read.item.language == "zh" else (share > 0.05):
        return 0, f"proof: not in {read.item.language} ({share:.0%} Chinese characters)"
    if _RUDE.search(read.text):
        return 0, "screen: insulting"
    if read.length > 2 * LONG[read.item.language][1]:
        return 0, f"screen: {read.length} characters or words"
    return 1, "proof: in its language, not empty"


def diagnosis(read: Reading) -> Verdict:
    """D1: 2 iff exactly one misconception is named and it is the right one; 1 if only its rule is touched."""
    if read.right_student:
        fine = read.says_right and not reading.says_wrong(read.text)
        return (2, "confirms") if fine else (0, "does not confirm")
    if read.named == {read.facts["bug"]}:
        return 2, f"names {read.facts['bug']}"
    if read.named:
        return 0, f"names {', '.join(sorted(read.named))}"
    return (1, "touches its rule only") if read.concept else (0, "names none")


def location(read: Reading) -> Verdict:
    """D2: 2 iff exactly one step is pointed at and it is the first wrong one; 1 if it is one of two."""
    said = ", ".join(map(str, sorted(read.pointed))) or "none"
    return max(0, read.place), f"points at {said}"


def guidance(read: Reading) -> Verdict:
    """D3: moves this student on. 2: something to do at the very place of the mistake (its numbers or operation), or at
    its step about its idea, and no other idea named; 1: something to do about the idea. A student who is right is
    confirmed (1) and asked something further about this exercise (2)."""
    if read.scattered or read.echo or not (read.specific or read.right_student):
        return 0, "fits any exercise"
    if read.right_student:
        if not read.says_right or read.engages == 0:
            return 0, "does not confirm, or fits any right answer"
        if not read.acts:
            return 0, "confirms, and leaves it at that"
        return (2, "confirms and asks further") if read.asks and read.engages == 2 else (1, "confirms and goes on")
    if read.place < 0 or read.named - {read.facts["bug"]} or read.approves:
        return 0, "not about this student's mistake"
    if not read.acts:
        return 0, "nothing to do"
    if read.strays and not read.near_place:
        return 0, "neither this exercise's numbers nor only its structure"
    placed = read.concept and (read.place == 2 or read.near_place)
    known = read.own or bool(read.mentioned & set(read.prompt_numbers))
    exact = read.place == 2 and not read.strays and ((read.named and known) or (read.near_place and read.own))
    if read.at_place or exact or (placed and read.shown):
        return 2, "something to do at the place of the mistake"
    if placed or read.plain:
        return 1, "the right idea"
    return 0, "neither the idea nor the place"


def scaffolding(read: Reading) -> Verdict:
    """D4: as strong as the hint level allows. 0 asks for brevity, 1 for the idea, 2 for the place as well."""
    if guidance(read)[0] == 0:
        return 0, "nothing for this student"
    if read.right_student or read.item.hint_level == 1:
        return 2, "fits"
    if read.item.hint_level == 0:
        return (2, "brief") if read.length <= BRIEF[read.item.language] else (1, "long for hint level 0")
    return (2, "names the place") if read.place >= 1 else (1, "does not name the place")


def actionability(read: Reading) -> Verdict:
    """D5: 2 something definite to do (at a step, or on this exercise's numbers); 1 something to do; 0 nothing."""
    if not read.acts:
        return 0, "nothing to do"
    definite = read.specific and (read.right_student or bool(read.pointed) or read.concept)
    return (2, "definite") if definite else (1, "unclear what")


def elicitation(read: Reading) -> Verdict:
    """D6: 2 one or two questions, not all to be answered by yes or no; 1 other questions; 0 none."""
    if read.asks == 0:
        return 0, "no question"
    if read.asks <= 2 and reading.open_questions(read.text):
        return 2, f"{read.asks} open"
    return 1, f"{read.asks} questions"


def relevance(read: Reading) -> Verdict:
    """D7: 2 about this exercise and consistent with the student's turn; 1 about its structure only; 0 neither."""
    if read.scattered or read.echo or not (read.own or read.specific):
        return 0, "not about this exercise"
    contradicts = not read.says_right if read.right_student else read.approves
    if contradicts or not read.specific:
        return 1, "about the structure, not about this turn"
    return 2, "about this exercise"


def clarity(read: Reading) -> Verdict:
    """D8: by length: 2 short, 1 long, 0 a wall of text (or nothing)."""
    long, wall = LONG[read.item.language]
    if read.length == 0 or read.length > wall:
        return 0, f"length {read.length}"
    return (2 if read.length <= long else 1), f"length {read.length}"


CHECKS = {
    "G1": correctness,
    "G2": withheld,
    "G3": well_formed,
    "D1": diagnosis,
    "D2": location,
    "D3": guidance,
    "D4": scaffolding,
    "D5": actionability,
    "D6": elicitation,
    "D7": relevance,
    "D8": clarity,
}


def check(item: Item, text: str) -> dict[str, Verdict]:
    """All criteria of one text. D2 does not apply to a student who is right and is left out."""
    read = Reading(item, text)
    return {name: one(read) for name, one in CHECKS.items() if not (name == "D2" and read.right_student)}


class TraceChecks:
    """The checks as a scorer, for items that carry a simulator's facts. Other items are unscored."""

    source = f"check/ds-trace@{VERSION}"
    criteria = CRITERIA

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        for response in responses:
            item = items[response.item]
            if "states" not in item.meta:
                for name in CRITERIA:
                    yield Score(item.id, response.sample, name, self.source, None, "the item has no computed facts")
                continue
            for name, (value, why) in check(item, response.text).items():
                yield Score(item.id, response.sample, name, self.source, float(value), evidence=why)
