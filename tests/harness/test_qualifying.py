"""The annotator guideline and the qualifying set: they fit the rubric, cover it, and load with clear errors."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
from rapidfuzz import fuzz, process

from harness import paths, qualifying, rubric, task
from harness.errors import UsageError
from harness.stats.agreement import cohen_kappa
from harness.types import Language

GUIDANCE = rubric.load("guidance")
EXERCISES = qualifying.load(GUIDANCE)
RUN_CLAIMS = Path(__file__).parents[2] / "scripts" / "run_claims.py"


@pytest.mark.parametrize("language", get_args(Language))
def test_guideline_explains_every_criterion_and_label(language: Language) -> None:
    guideline = rubric.guideline(language)
    assert (guideline.rubric, guideline.rubric_version) == (GUIDANCE.name, GUIDANCE.version)
    pages = guideline.text.split("\n## ")[1:]
    for criterion in GUIDANCE.criteria.values():
        (page,) = [page for page in pages if {criterion.id, f"（{criterion.id}）"} & set(_words(page))]
        assert not [label for label in rubric.label_ids(criterion) if label != "na" and f"`{label}`" not in page]
        assert sum(line[:2] in {"1.", "2.", "3.", "4."} for line in page.splitlines()) >= 3, criterion.id


def _words(page: str) -> list[str]:
    """The words of a page's title, with the criterion in its usual case: 'Tone', '语气（tone）', 'G1 Correctness'."""
    title = page.splitlines()[0].replace("（", " （")
    return [word if word[0].isupper() and word[1:].isdigit() else word.lower() for word in title.split()]


def test_guidelines_are_of_one_version() -> None:
    zh, en = (rubric.guideline(language) for language in get_args(Language))
    assert zh.version == en.version
    assert zh.digest != en.digest


def test_guideline_digest_follows_its_text(tmp_path: Path) -> None:
    for name, change in (("a", ""), ("b", "\nOne more rule.\n")):
        (tmp_path / name).mkdir()
        text = (paths.rubrics() / "guideline.en.md").read_text(encoding="utf-8") + change
        (tmp_path / name / "guideline.en.md").write_text(text, encoding="utf-8")
    same, changed = (rubric.guideline("en", tmp_path / name) for name in "ab")
    assert same == rubric.guideline("en")
    assert changed.version == same.version
    assert changed.digest != same.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("# No front matter\n", "begins with YAML"),
        ("---\nversion: 1\nlanguage: en\n---\ntext", "begins with YAML"),
        ("---\n- a list\n---\ntext", "begins with YAML"),
        ("---\nversion: '1'\nlanguage: zh\nrubric: guidance\nrubric_version: '1'\n---\ntext", "says language 'zh'"),
    ],
)
def test_bad_guidelines_are_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "guideline.en.md").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        rubric.guideline("en", tmp_path)


def test_the_set_covers_the_rubric() -> None:
    seen: Counter[tuple[str, str, str]] = Counter()
    for one in EXERCISES:
        seen.update((one.item.language, name, agreed.label) for name, agreed in one.labels.items())
    for criterion in GUIDANCE.criteria.values():
        for label in rubric.label_ids(criterion):
            counts = [seen[language, criterion.id, label] for language in get_args(Language)]
            assert min(counts) >= 1, (criterion.id, label)
            assert sum(counts) >= 3, (criterion.id, label)


def test_the_parts_are_large_enough_balanced_and_apart() -> None:
    sizes = Counter((one.part, one.item.language, len(one.replies)) for one in EXERCISES)
    for part in get_args(qualifying.Part):
        for replies in (1, 2):
            assert sizes[part, "zh", replies] == sizes[part, "en", replies] > 0
    single = [one for one in EXERCISES if len(one.replies) == 1]
    assert len(single) >= 36
    assert sum(one.part == "training" for one in single) >= 10
    assert sum(one.part == "test" for one in single) >= 24
    clusters = {part: {one.item.cluster for one in EXERCISES if one.part == part} for part in get_args(qualifying.Part)}
    assert not clusters["training"] & clusters["test"]


def test_no_situation_or_reply_is_taken_from_the_authored_task() -> None:
    asked = task.load("ds-guidance").items
    ours = [one.item.messages[-1].content for one in EXERCISES] + [text for one in EXERCISES for text in one.replies]
    theirs = [item.messages[-1].content for item in asked] + [text for item in asked for text in item.references]
    assert {one.item.split for one in EXERCISES} == {"qualifying"}
    assert process.cdist(ours, theirs, scorer=fuzz.ratio).max() < 80


def test_claims_hold() -> None:
    claims = sorted({claim for one in EXERCISES for claim in one.item.claims})
    assert len(claims) >= 40
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(RUN_CLAIMS)],
        input=json.dumps(claims),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [(claims[index], what) for index, what in map(json.loads, done.stdout.splitlines())] == []


def test_the_two_passes_are_reported_as_they_were() -> None:
    with open(paths.rubrics() / "qualifying-passes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    agreed = {(one.id, name): label.label for one in EXERCISES for name, label in one.labels.items()}
    assert {(row["id"], row["criterion"]) for row in rows} == set(agreed)
    same = [row for row in rows if row["first"] == row["second"]]
    kappa = cohen_kappa([row["first"] for row in rows], [row["second"] for row in rows]).value
    readme = (paths.rubrics() / "README.md").read_text(encoding="utf-8")
    assert f"agree on {len(same)} of {len(rows)} labels" in readme
    assert f"({len(same) / len(rows):.3f}; Cohen's kappa {kappa:.3f})" in readme
    for row in rows:
        if row["first"] == row["second"]:
            assert agreed[row["id"], row["criterion"]] == row["first"]
        else:
            assert f"| {row['id']} | {row['criterion']} | {row['first']} | {row['second']} |" in readme


def _with(**change: Any) -> dict[str, Any]:
    return {**json.loads((paths.rubrics() / "qualifying.jsonl").read_text(encoding="utf-8").split("\n")[0]), **change}


def _labels(**change: Any) -> dict[str, Any]:
    return {**_with()["labels"], **change}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (_with(note="x"), "exactly the fields"),
        (_with(part="exam"), "'part' is 'exam'"),
        (_with(replies=[]), "one reply, or two"),
        (_with(replies=["a", "b"]), "exactly the criteria preference"),
        (_with(item={}), "'id' is missing"),
        (_with(item=None), "'item' must be an object"),
        (_with(id="../up"), "exercise '../up' is not allowed"),
        (_with(labels={}), "exactly the criteria G1"),
        (_with(labels=_labels(D1={"label": "yes", "reason": " "})), "D1 needs exactly a label and a reason"),
        (_with(labels=_labels(D1={"label": "maybe", "reason": "r"})), "unknown label at .*line 2, D1: 'maybe'"),
        (_with(labels=_labels(G1={"label": "na", "reason": "r"})), "unknown label at .*line 2, G1: 'na'"),
        (_with(), "stands in the file already"),
    ],
)
def test_bad_exercises_are_refused_with_their_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (_with(), row)), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        qualifying.load(GUIDANCE, path)
