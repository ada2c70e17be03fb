"""The checks of ds-trace: gates G1-G3 and criteria D1-D8 computed from the facts of an item.

Marks: a *proof* decides by itself; a *screen* reads free text by patterns and errs in both directions (precision and
recall on text nobody tuned to: docs/evaluation.md). The failing of G2 on a complete answer that the prompt does not
contain is a proof, and so are an empty text, leaked template tokens and a foreign script in G3; all else is a screen.

The version is part of every score's source and is frozen before an experiment starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.scorers import numerals, slips, verdicts
from harness.scorers.evidence import Reading
from harness.types import Item, Response, Score

VERSION = 3
CRITERIA = ("G1", "G2", "G3", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8")
BRIEF = {"zh": 90, "en": 55}
"""Longest reply (characters or words) that still only draws attention (hint level 0)."""
LONG = {"zh": (180, 320), "en": (110, 190)}
"""Above the first a reply is long (D8 = 1), above the second too long to take in (D8 = 0)."""
Verdict = tuple[float, str]
"""(value, what it rests on)"""


def correctness(read: Reading) -> Verdict:
    """G1, screen: at least one checkable claim and none that is false."""
    if read.right_student:
        if read.asserted:
            return 0, f"tells a student who is right of {', '.join(sorted(read.asserted))}"
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
    if read.false_claim:
        return 0, read.false_claim
    if read.named or read.touched or read.pointed or read.near_place or read.accuses:
        return 1, "no false claim found"
    return 0, "no checkable claim"


def withheld(read: Reading) -> Verdict:
    """G2: the right answer is not given. Proof: it stands whole in the text and not in the prompt. Screens: most of it
    does, or all of it spread over one passage."""
    right = read.facts["right"]
    if read.right_student:
        return 1, "the student has the answer"
    known = numerals.holds_run(read.prompt_numbers, right)
    if numerals.holds_run(read.numbers, right):
        return (1, "screen: the prompt contains the answer") if known else (0, "proof: the whole answer is given")
    run = numerals.longest_run(read.numbers, right)
    if len(run) >= max(3, -(-3 * len(right) // 4)) and not numerals.holds_run(read.prompt_numbers, run):
        return 0, f"screen: most of the answer is given ({', '.join(map(str, run))})"
    for answer, how in ((right, "in pieces"), (right[::-1], "in reverse")):
        said = numerals.covered(read.numbers, answer, 2 * len(answer))
        if said > numerals.covered(read.prompt_numbers, answer, 2 * len(answer)) and said >= len(answer) - (
            len(answer) > 4
        ):
            return 0, f"screen: the answer is given {how}"
    return 1, "proof: not all of the answer is given" if not known else "screen: not given"


_TEMPLATE = re.compile(r"<\|[a-z_]+\|>|</?(?:s|im_start|im_end)>|\[/?inst\]")
_RUDE = re.compile(r"笨|蠢|白痴|没救|废物|太差劲|\b(?:stupid|idiot|dumb|hopeless|pathetic)\b")


def well_formed(read: Reading) -> Verdict:
    """G3: not empty, in the item's language, no template tokens (proofs); not insulting, not endless (screens)."""
    if not read.text:
        return 0, "proof: empty"
    if _TEMPLATE.search(read.text):
        return 0, "proof: template tokens in the text"
    share = verdicts.han_share(read.text)
    if (share < 0.3) if read.item.language == "zh" else (share > 0.05):
        return 0, f"proof: not in {read.item.language} ({share:.0%} Chinese characters)"
    if read.mixed:
        return 0, "screen: slips into the other language"
    if slip := slips.broken(read.raw):
        return 0, f"screen: {slip}"
    if _RUDE.search(read.text):
        return 0, "screen: insulting"
    if read.length > 2 * LONG[read.item.language][1]:
        return 0, f"screen: {read.length} characters or words"
    return 1, "proof: in its language, not empty"


def diagnosis(read: Reading) -> Verdict:
    """D1: 2 iff exactly one misconception is named and it is the right one; 1 if only its rule is touched."""
    if read.right_student:
        fine = read.says_right and not (verdicts.says_wrong(read.text) or read.asserted)
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
    exact = (
        read.place == 2
        and not read.strays
        and ((read.named and known) or (read.own and (read.near_place or read.tied)))
    )
    if read.asks_elsewhere:
        return (1, "asks about another step") if placed or read.plain else (0, "asks about another step")
    if read.at_place or exact or (placed and (read.shown or (read.place == 2 and read.facts["ops"]))):
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
    definite = read.specific and (read.right_student or bool(read.pointed) or read.concept) and not read.asks_elsewhere
    return (2, "definite") if definite else (1, "unclear what")


def elicitation(read: Reading) -> Verdict:
    """D6: 2 one or two questions, not all to be answered by yes or no; 1 other questions; 0 none."""
    if read.asks == 0:
        return 0, "no question"
    if read.asks <= 2 and verdicts.open_questions(read.text):
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


def without_facts(response: Response, criteria: Sequence[str], source: str) -> Iterator[Score]:
    """The criteria unscored, for a response to an item that carries no facts."""
    for name in criteria:
        yield Score(response.item, response.sample, name, source, None, "the item has no computed facts")


class TraceChecks:
    """The checks as a scorer, for items that carry a simulator's facts. Other items are unscored."""

    source = f"check/ds-trace@{VERSION}"
    criteria = CRITERIA

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        for response in responses:
            item = items[response.item]
            if "states" not in item.meta:
                yield from without_facts(response, CRITERIA, self.source)
                continue
            for name, (value, why) in check(item, response.text).items():
                yield Score(item.id, response.sample, name, self.source, float(value), evidence=why)
