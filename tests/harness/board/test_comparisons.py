"""Comparisons of recorded runs against the paired test on the values that went in, and the sentences made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import BAD, GOOD, SOME, item_row, make_task, record

from harness import board, task
from harness.board.compare import METRICS
from harness.cli.sentences import sentence
from harness.digest import text_digest
from harness.errors import UsageError
from harness.record import find_runs
from harness.stats.compare import holm, paired_difference
from harness.stats.correction import rogan_gladen
from harness.stats.intervals import t_quantile
from harness.stats.power import detectable, power_of
from harness.types import Score, Task


@pytest.fixture
def pairs(tmp_path: Path) -> Task:
    """Eighty items in forty clusters, zh and en, two difficulties."""
    rows = [item_row(i, cluster=f"c{i // 2}", difficulty=1 + (i // 2) % 2) for i in range(80)]
    return task.load(str(make_task(tmp_path / "task", rows)))


def better(number: int, _: int) -> dict[str, float]:
    return BAD if number % 10 == 0 else GOOD


def worse(number: int, _: int) -> dict[str, float]:
    return GOOD if number % 3 == 0 else SOME if number % 3 == 1 else BAD


def made(the_task: Task, runs: Path, *names: str, **options: Any) -> list[board.Comparison]:
    return board.compare(the_task, board.contestants(the_task, find_runs(runs), names), **options)


def test_comparison_is_the_paired_test_holm_corrected(pairs: Task, runs: Path) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "b", worse)
    found = {one.metric: one for one in made(pairs, runs, "a", "b")}
    a, b = (np.array([float(values(i, 0)["D3"] >= 1) for i in range(80)]) for values in (better, worse))
    wanted = paired_difference(a, b, np.arange(80) // 2)
    one = found["guidance_accuracy"]
    assert (one.difference, one.low, one.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    assert (one.n, one.clusters, one.p_raw, one.verdict) == (80, 40, pytest.approx(wanted.p), "better")
    assert [one.p for one in found.values()] == pytest.approx(list(holm([one.p_raw or 0 for one in found.values()])))
    error = (wanted.high - wanted.value) / t_quantile(0.95, 39)
    assert one.detectable == pytest.approx(detectable(error, 39, 0.05 / len(found)))
    assert power_of(one.detectable or 0, error, 39, 0.05 / len(found)) == pytest.approx(0.8, abs=1e-6)
    assert list(found) == list(METRICS)


def test_order_turns_the_verdict(pairs: Task, runs: Path) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "b", worse)
    (one,), (other,) = (made(pairs, runs, *names, metrics=["D3"]) for names in (("a", "b"), ("b", "a")))
    assert (one.verdict, other.verdict) == ("better", "worse")
    assert (one.difference, one.low) == pytest.approx((-(other.difference or 0), -(other.high or 0)))


def test_lower_is_better_where_it_is(pairs: Task, runs: Path) -> None:
    extra = tuple(Score(item.id, 0, "self_bleu", "diversity@1", 0.9) for item in pairs.items)
    record(runs, pairs, "a", better, extra=extra)
    record(
        runs, pairs, "b", better, extra=tuple(Score(*(one.item, 0, one.criterion, one.source), 0.1) for one in extra)
    )
    (one,) = made(pairs, runs, "a", "b", metrics=["self_bleu"])
    assert (one.difference, one.verdict) == (pytest.approx(0.8), "worse")
    (cost,) = made(pairs, runs, "a", "b", metrics=["latency_s"])
    assert (cost.difference, cost.verdict, cost.detectable) == (0, "tie", None)


def test_three_systems_make_three_pairs_and_more_correction(pairs: Task, runs: Path) -> None:
    for name, values in (("a", better), ("b", worse), ("c", worse)):
        record(runs, pairs, name, values)
    found = made(pairs, runs, "a", "b", "c", metrics=["guidance_accuracy"])
    assert [(one.a, one.b, one.verdict) for one in found] == [
        ("a", "b", "better"),
        ("a", "c", "better"),
        ("b", "c", "tie"),
    ]
    assert found[0].p == pytest.approx(3 * (found[0].p_raw or 0))


@pytest.mark.parametrize(("by", "levels"), [("language", ["en", "zh"]), ("difficulty", ["1", "2"])])
def test_slices_split_the_items(pairs: Task, runs: Path, by: str, levels: list[str]) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "b", worse)
    found = made(pairs, runs, "a", "b", metrics=["guidance_accuracy"], by=by)
    assert [one.slice for one in found] == [f"{by}={level}" for level in levels]
    for one, level in zip(found, levels):
        members = [i for i, item in enumerate(pairs.items) if str(getattr(item, by)) == level]
        gaps = [(better(i, 0)["D3"] >= 1) - (worse(i, 0)["D3"] >= 1) for i in members]
        assert (one.n, one.difference) == (len(members), pytest.approx(sum(gaps) / len(members)))


def test_only_common_items_count(pairs: Task, runs: Path) -> None:
    """b is unscored on exactly the items that a fails: on what both have, they are equal."""
    record(runs, pairs, "a", better)
    record(runs, pairs, "b", lambda n, _: {**GOOD, "D3": None if n % 10 == 0 else 2.0})
    (one,) = made(pairs, runs, "a", "b", metrics=["guidance_accuracy"])
    assert (one.difference, one.n, one.verdict) == (0, 72, "tie")


def test_too_few_clusters_are_not_compared(pairs: Task, runs: Path) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "part", worse, answered=2, status="partial", name="part")
    (one,) = made(pairs, runs, "a", "part", metrics=["guidance_accuracy"])
    assert (one.verdict, one.p, one.n, one.clusters) == ("not compared", None, 2, 1)
    assert "cannot be compared: 2 common items in 1 clusters" in sentence(one, pairs.rubric)


def test_system_stands_for_its_latest_complete_run(pairs: Task, runs: Path) -> None:
    record(runs, pairs, "a", worse, name="old", created="2026-01-01T00:00:00+00:00", weights="1")
    record(runs, pairs, "a", better, name="new", created="2026-01-02T00:00:00+00:00", weights="2")
    record(runs, pairs, "a", worse, name="cut", created="2026-01-03T00:00:00+00:00", weights="3", status="partial")
    record(runs, pairs, "b", worse)
    chosen = board.contestants(pairs, find_runs(runs), ["a", "b", "old"])
    assert [one.run.id for one in chosen][::2] == ["new", "old"]


def test_refusals(pairs: Task, runs: Path) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "b", worse, source="check@2")
    record(runs, pairs, "older", worse, digest="0" * 64)
    for names, options, why in (
        (("a", "c"), {}, "unknown run, or system with a complete run"),
        (("a", "older"), {}, "unknown run, or system with a complete run"),
        (("a", "a"), {}, "two different runs"),
        (("a", "b"), {}, r"a was scored by check@1, b by check@2"),
        (("a", "b"), {"metrics": ["bleu"]}, "unknown metric 'bleu'"),
        (("a", "b"), {"metrics": ["latency_s"], "by": "colour"}, "unknown slice 'colour'"),
    ):
        with pytest.raises(UsageError, match=why):
            made(pairs, runs, *names, **options)


def test_on_the_command_line(cli: Callable[..., Any], pairs: Task, tmp_path: Path, runs: Path) -> None:
    record(runs, pairs, "a", better)
    record(runs, pairs, "b\x1b[31m", worse, name="second")
    args = ("compare", "a", "second", "-t", tmp_path / "task" / "task.yaml", "--runs", runs)
    done = cli(*args)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("accuracy: a is better than second: +22.5 points [")
    assert "n = 80 items in 40 clusters. Below " in lines[0]
    assert "(Holm)" in lines[0]
    assert "at least three seeds" in lines[-1]
    data = json.loads(cli(*args, "--format", "json", "--metric", "D3", "--by", "language").out)
    assert {row["slice"] for row in data["comparisons"]} == {"language=en", "language=zh"}
    assert data["runs"]["second"] == "second"
    assert cli(*args, "--format", "xml").code == 2


def say(runs: Path, name: str, labels: dict[int, dict[str, float]]) -> None:
    """What people said of some responses of a run, beside it."""
    run = next(one for one in find_runs(runs) if one.manifest["system"] == name)
    texts = {one.item: text_digest(one.text) for one in run.responses()}
    items = list(texts)
    rows = [
        {"item": items[i], "sample": 0, "criterion": criterion, "source": "human/test", "value": value, "reason": ""}
        | {"evidence": {"text": texts[items[i]], "votes": 1}}
        for i, some in labels.items()
        for criterion, value in some.items()
    ]
    (run.folder / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_people_correct_the_difference(pairs: Task, runs: Path) -> None:
    """The checks put a far before b; people who saw twenty items find no difference: the corrected interval holds 0."""
    record(runs, pairs, "a", lambda i, _: GOOD)
    record(runs, pairs, "b", lambda i, _: BAD if i % 2 else GOOD)
    plain = {one.metric: one for one in made(pairs, runs, "a", "b")}["guidance_accuracy"]
    assert plain.corrected is None
    for name in ("a", "b"):
        say(runs, name, dict.fromkeys(range(0, 80, 4), GOOD) | {i + 1: GOOD for i in range(0, 80, 4)})
    one = {one.metric: one for one in made(pairs, runs, "a", "b")}["guidance_accuracy"]
    assert one.difference == plain.difference == pytest.approx(0.5)
    assert one.corrected is not None
    assert (one.corrected.value, one.corrected.labelled) == (pytest.approx(0.0), 40)
    assert "With people's labels of 40 items: +0.0 points" in sentence(one, pairs.rubric)


def test_gate_behind_a_judge_that_errs_is_corrected(pairs: Task, runs: Path) -> None:
    """The checks pass G1 always or never; people find it wrong in a fifth of what was passed: Rogan and Gladen's rate."""
    record(runs, pairs, "a", lambda i, _: GOOD if i % 4 else GOOD | {"G1": 0.0})
    seen = range(0, 40)
    people = {i: {"G1": 1.0 if i % 4 and i % 5 else 0.0} for i in seen}
    say(runs, "a", people)
    row = board.from_folder(pairs, runs).rows[0]
    judged = [float(bool(i % 4)) for i in range(80)]
    good = [i for i in seen if people[i]["G1"] == 1]
    bad = [i for i in seen if people[i]["G1"] == 0]
    wanted = rogan_gladen(int(sum(judged[40:])), 40, len(good), len(good), sum(judged[i] == 0 for i in bad), len(bad))
    found = row.metrics["G1_corrected"]
    assert (found.value, found.n) == (pytest.approx(wanted.value), 40)
    assert row.metrics["G1"].value == 0.75
    assert found.value < 0.7
    assert found.low is not None
    assert found.low <= wanted.low + 1e-9
