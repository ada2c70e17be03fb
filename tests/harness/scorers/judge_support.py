"""Scripted judges: what a test's server answers to a question of the judge."""

from __future__ import annotations

import json
import re
from typing import Any

from endpoint import Endpoint, Handler

from harness import rubric as rubrics
from harness.rubric import label_ids

RUBRIC = rubrics.load("guidance")
BEST = {one.id: label_ids(one)[0] for one in RUBRIC.criteria.values() if one.kind in ("gate", "graded")}
WORST = {one.id: str(one.labels[-1]["id"]) for one in RUBRIC.criteria.values() if one.kind in ("gate", "graded")}
_TOKEN = re.compile(r"^(?:Token: |令牌：)(\d\d-\d\d-\d\d)$", re.MULTILINE)


def token(request: dict[str, Any]) -> str:
    """The token of a question. Lines of material begin with a bar, so only ours begin so."""
    return _TOKEN.findall(request["messages"][1]["content"])[-1]


def names(request: dict[str, Any]) -> list[str]:
    last = request["messages"][1]["content"].rsplit("\n", 1)[-1]
    return re.findall(r"(?<![A-Za-z])(?:[GD]\d|fluency)(?!\w)", last)


def reply(request: dict[str, Any]) -> str:
    """The message that is assessed, without its bars."""
    shown = (
        request["messages"][1]["content"].rsplit("BEGIN TUTOR'S MESSAGE\n", 1)[1].rsplit("\nEND TUTOR'S MESSAGE", 1)[0]
    )
    return re.sub(r"(?m)^\| ", "", shown)


def verdict(request: dict[str, Any], **changed: Any) -> str:
    """What a good judge says: the best label of every criterion asked for, except those `changed`."""
    rows = [
        {"criterion": name, "quote": "", "reason": "it is so", "label": changed.get(name, BEST[name])}
        for name in names(request)
    ]
    return json.dumps({"token": token(request), "verdicts": rows})


def good(handler: Handler, request: dict[str, Any], attempt: int) -> None:
    handler.whole(verdict(request))


def spec(server: Endpoint, **more: Any) -> str:
    options = {"model": "some/judge-model", "base_url": server.url, **more}
    return "judge:" + ",".join(f"{name}={value}" for name, value in options.items())
