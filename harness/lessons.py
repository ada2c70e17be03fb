"""Lessons for a judge: replies to training exercises, each with the verdicts that the facts of its exercise give it.

A lesson is a judge's question in its short form and the answer it should give, as a conversation that the SFT stage
takes. Replies are teacher-made (a good one and one with a planned fault to each exercise) or a system's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from harness.preferences import KINDS, faulty, refuse_test, require_task, situations
from harness.record import Run
from harness.rubric import NOT_APPLICABLE
from harness.scorers.checks import CRITERIA, check
from harness.scorers.judge import prompt
from harness.simulator.items import Plan, to_item
from harness.types import Item, Task


def teacher_lessons(plan: Plan, task: Task) -> Iterator[dict[str, Any]]:
    """Two lessons for each exercise of `plan` in each language: a good reply, and one of the faults in turn.

    Raises UsageError for a test split.
    """
    refuse_test(plan.split, "the plan")
    for number, case, situation in situations(plan, "lesson"):
        item = to_item(case, plan, situation.voice.language)
        yield lesson(task, item, situation.good(), "good")
        if made := faulty(situation, list(KINDS), number):
            kind, text = made
            yield lesson(task, item, text, kind)


def sampled_lessons(run: Run, task: Task) -> Iterator[dict[str, Any]]:
    """A lesson for every different reply of a run. Raises UsageError for test items, or a run on another task."""
    require_task(run, task)
    items = {item.id: item for item in task.items}
    for name, text in sorted({(one.item, one.text) for one in run.responses() if one.text.strip()}):
        refuse_test(items[name].split, f"run {run.id}")
        yield lesson(task, items[name], text, "sampled")


def copies(rows: Iterable[Mapping[str, Any]], whole: bool) -> Iterator[dict[str, Any]]:
    """The same lessons with nothing but their token to be copied, from its own line or from the `whole` question.

    A small model learns it so, one after the other; beside the labels it does not.
    """
    for row in rows:
        system, user, answer = row["messages"]
        asked = user if whole else {"role": "user", "content": user["content"].rsplit("\n", 1)[-1]}
        token = {"role": "assistant", "content": json.dumps({"token": json.loads(answer["content"])["token"]})}
        yield {"messages": [system, asked, token]}


def lesson(task: Task, item: Item, reply: str, kind: str) -> dict[str, Any]:
    """One reply with the checks' verdicts as a judge in its short form would give them."""
    asked = prompt.criteria_of(task.rubric, CRITERIA)
    rng = Random(f"token {item.id} {reply}")
    token = "-".join(str(rng.randrange(10, 100)) for _ in range(3))
    values = {name: value for name, (value, _) in check(item, reply).items()}
    labels = {
        one.id: next(str(label["id"]) for label in one.labels if float(label["value"]) == values[one.id])
        if one.id in values
        else NOT_APPLICABLE
        for one in asked
    }
    question = prompt.pointwise(item, reply, asked, "short").messages(token)
    answer = {"role": "assistant", "content": json.dumps({"token": token, **labels})}
    return {"messages": [*question, answer], "kind": kind, "item": item.id}
