"""A small school for the loop's tests: a task, a tiny tutor with a bad habit, students who ask it through the gateway.

Nothing here is a mock: the tutor is trained by the stage `base`, served by `easyds serve` in front of `transformers serve`,
and asked over HTTP. Students and annotators are simulated.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import yaml
from support import command, write_items

from harness import annotate, stages, task
from harness.models.server import weights_digest
from harness.preferences import gold
from harness.record import write_json
from harness.scorers.checks import check
from harness.simulator.items import Case, Plan, cases, to_item
from harness.simulator.language import Teacher, Voice, compose
from harness.types import Item, Task

BUGS = ("queue.peek-removes", "queue.dequeue-keeps")
"""Misconceptions that a toy model learns to tell apart in a minute (where they first show it does not learn)"""
AGAIN = {"zh": "请从头再走一遍。", "en": " Please walk through it again from the start."}
SYSTEM = {"zh": "辅导学生。", "en": "Tutor the student."}
HABITS = {"guide": 0.42, "praise": 0.58}
"""How the tutor was brought up: it knows how to guide, and more often praises"""


def exercises(split: str, clusters: int, seed: int) -> Iterator[tuple[Plan, Case]]:
    """Bare exercises on a queue whose students have one of BUGS."""
    plan = Plan(split, clusters, seed, ("queue",), (1,), (0,), register="worked")
    yield from ((plan, case) for case in cases(plan) if case.facts.bug in BUGS)


def items_of(split: str, clusters: int, seed: int) -> list[Item]:
    return [
        to_item(case, plan, language) for plan, case in exercises(split, clusters, seed) for language in plan.languages
    ]


def write_task(folder: Path, clusters: int, split: str = "test") -> Path:
    """The benchmark: items of the split, scored by the checks."""
    folder.mkdir(parents=True)
    write_items(folder / "items.jsonl", [asdict(item) for item in items_of(split, clusters, seed=5)])
    given = {
        "name": "school",
        "version": "1",
        "description": {"zh": "队列", "en": "queue"},
        "license": "CC0-1.0",
        "items": "items.jsonl",
        "rubric": "guidance",
        "system": SYSTEM,
        "scorers": ["trace"],
        "decoding": {"max_new_tokens": 60},
    }
    (folder / "task.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    return folder / "task.yaml"


def guidance(case: Case, voice: Voice) -> str:
    """The idea, and something to do; it names no step."""
    return compose(Teacher(case.facts, voice), ("diagnose", "rule")) + AGAIN[voice.language]


def train_tutor(folder: Path, steps: int) -> Path:
    """A package of a tiny model trained on conversations of HABITS."""
    rows = []
    for plan, case in exercises("train", 8000, seed=1):
        teacher = Random(f"habit {case.id}").choices(list(HABITS), list(HABITS.values()))[0]
        for language in plan.languages:
            voice = Voice(language, "train", Random(case.id), plain=True)
            asked = to_item(case, plan, language).messages[-1].content
            said = guidance(case, voice) if teacher == "guide" else Teacher(case.facts, voice).praise()
            turns = (("system", SYSTEM[language]), ("user", asked), ("assistant", said))
            rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    folder.mkdir(parents=True)
    data = write_items(folder / "habits.jsonl", rows)
    spec = {"data": str(data), "output": str(folder / "base"), "steps": steps, "batch_size": 16, "learning_rate": 0.003}
    stages.run(stages.Order("base", spec))
    package = Path(shutil.copytree(folder / "base" / "checkpoint", folder / "tutor"))
    about = {"alias": "tutor", "digest": weights_digest(str(package)), "precision": "float32", "task": "school"}
    write_json(package / "package.json", {**about, "system": SYSTEM, "hint": None, "max_new_tokens": 60})
    return package


def teach(package: Path, log: Path, asked: Sequence[Item], lesson: Task) -> None:
    """Serve the package, let a student ask each item and say how it was: 5 for good guidance, 1 for the rest; some err."""
    process = subprocess.Popen(
        command("serve", package, "--engine", "transformers", "--port", "0", "--log", log),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = []
        while not (found := re.search(r" on http://[^ ]*:(\d+); ", said[-1] if said else "")):
            line = process.stderr.readline()
            assert line, "".join(said)
            said.append(line)
        port = int(found[1])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: _lesson(port, item, lesson), asked))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _lesson(port: int, item: Item, lesson: Task) -> None:
    body = {
        "message": item.messages[-1].content,
        "language": item.language,
        "hint_level": item.hint_level,
        "knowledge_point": item.knowledge_point,
        "withheld": [item.answer],
    }
    answer = _post(port, "/v1/guidance", body)
    pleased = gold(lesson, item, answer["guidance"]) > 0
    errs = Random(f"mood {item.id}").random() < 0.1
    _post(port, "/v1/feedback", {"id": answer["id"], "rating": 5 if pleased != errs else 1})


def _post(port: int, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        found: dict[str, Any] = json.loads(response.read())
        assert response.status == 200, found
        return found
    finally:
        connection.close()


class Expert:
    """What a text is worth to someone who knows the exercise: the gold score, and a little for what is right in part; one in
    the wrong language is worse than nothing."""

    def __init__(self, lesson: Task, items: Sequence[Item]) -> None:
        self._lesson, self._items = lesson, {item.messages[-1].content: item for item in items}
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, shown: annotate.Presentation, text: str) -> float:
        return self.worth(shown.item.messages[-1].content, text)

    def worth(self, asked: str, text: str) -> float:
        item = self._items[asked]
        if (item.id, text) not in self._known:
            marks = {name: value for name, (value, _) in check(item, text).items()}
            graded = [value for name, value in marks.items() if name.startswith("D")]
            partly = sum(graded) / len(graded) / 8 if marks["G3"] else -1.0
            self._known[item.id, text] = gold(self._lesson, item, text) + partly
        return self._known[item.id, text]


def load(path: Path) -> Task:
    return task.load(str(path))
