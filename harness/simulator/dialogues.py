"""Training conversations: items of the training split answered by teachers, good and bad, in a declared mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from harness.errors import UsageError, unknown
from harness.simulator.items import Plan, bank_of, cases
from harness.simulator.language import Voice, reply, student_turn

MIXTURES: dict[str, Mapping[str, float]] = {
    "good": {"good": 1.0},
    "mixture": {
        "good": 0.6,
        "answer-giver": 0.12,
        "wrong-diagnosis": 0.1,
        "wrong-step": 0.06,
        "vague": 0.06,
        "flatterer": 0.03,
        "rambler": 0.03,
    },
}
"""Shares of the teachers. `mixture` is what the demo's base is trained on: its bad share is the headroom of SFT and RL."""


def build(plan: Plan, mixture: str, system: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Conversations {"messages": [...], "teacher": name}, each cluster in every language.

    Raises UsageError for a test split (test items never train) and for an unknown mixture.
    """
    if plan.split.startswith("test"):
        raise UsageError(f"the split '{plan.split}' never trains: use train or validation.")
    if mixture not in MIXTURES:
        raise unknown("teacher mixture", mixture, list(MIXTURES), "--teacher")
    shares = MIXTURES[mixture]
    for case in cases(plan):
        rng = Random(f"teacher {case.id}")
        for language in plan.languages:
            voice = Voice(
                language, bank_of(plan.split), Random(f"{case.id} {language} {mixture}"), plan.register == "worked"
            )
            teacher = rng.choices(list(shares), list(shares.values()))[0]
            turn = student_turn(case.facts, case.hint_level, voice, plan.register)
            answer = reply(teacher, case.facts, case.hint_level, voice)
            roles = (("system", system[language]), ("user", turn), ("assistant", answer))
            yield {"messages": [{"role": role, "content": text} for role, text in roles], "teacher": teacher}
