"""Watching a served model: what is measured, what drifts, and that nothing is raised where nothing changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loop_support import feedback, replay, served, write_log
from support import read_jsonl

from harness import models, paths, run, task
from harness.errors import UsageError
from harness.loop import monitor
from harness.loop.drift import compare, of_turns, stability
from harness.loop.served import read
from harness.simulator.items import Plan, build
from harness.types import Item

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "serve"


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return list(build(Plan("train", 150, seed=9)))


@pytest.fixture
def before(items: list[Item], tmp_path: Path) -> Path:
    return write_log(tmp_path / "before.jsonl", replay(items, 500, Random("before")))


def alarms(log: Path, against: Path | None = None) -> set[str]:
    return {one.name for one in monitor.watch(log, against).alarms}


def test_a_log_that_is_well_raises_nothing(before: Path, items: list[Item], tmp_path: Path) -> None:
    log = write_log(tmp_path / "now.jsonl", replay(items, 400, Random("now")))
    found = monitor.watch(log, before)
    assert found.alarms == ()
    assert found.turns == 400
    assert {one.column for one in found.drift} == {
        *("language", "knowledge_point", "hint_level", "message_length", "guidance_length"),
        *("G2", "G3", "fallback", "satisfied"),
    }
    assert 4 < found.measures["satisfaction"].value < 5
    assert found.measures["turns_per_s"].value == pytest.approx(400 / 798)
    assert found.measures["busiest_minute_per_s"].value == 0.5
    low, high = found.measures["latency_p95_s"].low, found.measures["latency_p95_s"].high
    assert low is not None
    assert high is not None
    assert 0.45 < low <= high < 0.5


PLANTED: dict[str, tuple[str, Callable[[dict[str, Any], Random], dict[str, Any]]]] = {
    "language": ("drift of language", lambda row, rng: row | {"language": "zh" if rng.random() < 0.8 else "en"}),
    "topic": ("drift of knowledge_point", lambda row, rng: row | {"knowledge_point": rng.choice(["stack", "queue"])}),
    "hints": ("drift of hint_level", lambda row, rng: row | {"hint_level": rng.choice([2, 2, 3])}),
    "questions": (
        "drift of message_length",
        lambda row, rng: row | {"messages": [{"role": "user", "content": "?" * 40}]},
    ),
    "answers": ("drift of guidance_length", lambda row, rng: row | {"guidance": row["guidance"] * 2}),
    "gates": ("drift of G3", lambda row, rng: row | {"gates": [{"G2": True, "G3": rng.random() > 0.2}]}),
    "hints sent": ("drift of fallback", lambda row, rng: row | {"fallback": rng.random() < 0.1}),
    "slow": ("latency_p95_s", lambda row, rng: row | {"seconds": 0.5 + rng.random()}),
    "failing": ("gate_failures", lambda row, rng: row | {"gates": [{"G2": rng.random() > 0.25, "G3": True}]}),
    "falling back": ("fallbacks", lambda row, rng: row | {"fallback": rng.random() < 0.08}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_drift_raises_its_alarm(name: str, before: Path, items: list[Item], tmp_path: Path) -> None:
    alarm, plant = PLANTED[name]
    rng = Random(name)
    rows = [plant(row, rng) if row["kind"] == "guidance" else row for row in replay(items, 400, Random(f"log {name}"))]
    log = write_log(tmp_path / "now.jsonl", rows)
    assert alarm in alarms(log, before)


def test_unhappy_students_raise_an_alarm(items: list[Item], before: Path, tmp_path: Path) -> None:
    rows = [served(number, items[number % 300]) for number in range(200)]
    rows += [feedback(number, rating=1 + number % 4) for number in range(200)]
    log = write_log(tmp_path / "now.jsonl", rows)
    assert {"satisfaction", "drift of satisfied"} <= alarms(log, before)
    rows[200:] = [feedback(number, thumbs="down") for number in range(200)]
    assert "thumbs_up" in alarms(write_log(log, rows))


def test_a_few_bad_turns_are_no_alarm(items: list[Item], tmp_path: Path) -> None:
    rows = [served(number, items[number], gates=[{"G2": None, "G3": number > 0}]) for number in range(8)]
    assert alarms(write_log(tmp_path / "now.jsonl", rows)) == set()


@pytest.mark.slow
def test_false_alarms_over_200_replays(items: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two logs of one population, 200 times: p after Holm alone may raise an alarm in 5 %, with the sizes in fewer."""
    bars = monitor.thresholds(monitor.ALARMS)["drift"]
    significant = raised = 0
    for number in range(200):
        logs = [
            read(write_log(tmp_path / f"{name}.jsonl", replay(items, 250, Random(f"{name} {number}"))))
            for name in ("then", "now")
        ]
        found = compare(of_turns(logs[1]), of_turns(logs[0]))
        significant += any(one.p < bars["alpha"] for one in found)
        raised += bool(monitor._drifted(found, bars))
    with capsys.disabled():
        print(f"\nfalse alarms over 200 replays: {raised} ({significant} by Holm alone)")
    assert significant <= 17, "more than 5 % of 200 (one-sided 99 % limit of a binomial)"
    assert raised <= significant


def test_against_a_benchmark_run(tmp_path: Path) -> None:
    the_task = task.load("ds-trace-demo")
    done = run.execute(
        run.Plan.of(the_task), models.open_model("control/reference", models.Options()), tmp_path, name="reference"
    )
    rng = Random(1)
    same = [served(n, item, item.references[0]) for n, item in enumerate(rng.choices(the_task.items, k=300))]
    assert alarms(write_log(tmp_path / "same.jsonl", same), done.folder) == set()
    zh = [row for row in same if row["language"] == "zh"]
    assert "drift of language" in alarms(write_log(tmp_path / "zh.jsonl", zh), done.folder)


def test_the_index_is_zero_for_equal_shares_and_grows() -> None:
    assert stability([50, 50], [500, 500]) == pytest.approx(0, abs=1e-9)
    assert stability([90, 10], [50, 50]) > stability([60, 40], [50, 50]) > 0
    assert stability([10, 0], [5, 5]) < 10, "an empty level is no infinity"


def test_the_command_prints_and_ends_with_1_at_an_alarm(
    cli: Callable[..., Any], items: list[Item], before: Path, tmp_path: Path
) -> None:
    well = cli("monitor", before)
    assert well.code == 0
    assert "latency_p95_s" in well.out
    slow = write_log(tmp_path / "slow.jsonl", [served(n, items[n], seconds=3.0) for n in range(60)])
    bad = cli("monitor", slow, "--against", before, "-f", "json")
    assert bad.code == 1
    assert "latency_p95_s" in bad.err
    assert json.loads(bad.out)["alarms"][0]["name"] == "latency_p95_s"
    own = tmp_path / "alarms.yaml"
    own.write_text(monitor.ALARMS.read_text().replace("above: 1.0", "above: 9"))
    assert cli("monitor", slow, "--alarms", own).code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "has 'measures' and 'drift'"),
        ("measures: {latency: {above: 1}}\ndrift: {}", "unknown measure"),
        ("measures: {fallbacks: {over: 1}}\ndrift: {}", "needs 'above' or 'below'"),
        ("measures: {}\ndrift: {alpha: 0.05}", "needs numbers for alpha"),
    ],
)
def test_alarms_files_of_another_form_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "alarms.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        monitor.thresholds(path)


def test_logs_of_another_form_are_refused_and_torn_lines_passed_over(items: list[Item], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", [served(1, items[0]), served(1, items[1]), feedback(1, 5), feedback(1, 2)])
    with log.open("a") as file:
        file.write('{"kind": "guid')
    (turn,) = read(log)
    assert turn.messages == items[0].messages, "the first of a doubled turn counts"
    assert turn.rating == 2, "the last feedback counts"
    assert len(read_jsonl(write_log(log, [{"kind": "chat"}]))) == 1
    with pytest.raises(UsageError, match="no turn of guidance"):
        read(log)
    with pytest.raises(UsageError, match="row 1 is no row"):
        read(write_log(log, [{"kind": "guidance", "id": "x"}]))
    with pytest.raises(UsageError, match="is no file"):
        read(tmp_path / "none.jsonl")


def test_the_shipped_rules_name_metrics_that_the_gateway_has() -> None:
    metrics = pytest.importorskip("harness.serve.metrics").Metrics()
    metrics.requests.labels("/v1/guidance", 200).inc()
    metrics.seconds.labels("/v1/guidance").observe(0.1)
    metrics.gate({"G2": True})
    metrics.fallbacks.labels("zh").inc()
    known = set(re.findall(r"^(easyds_\w+)", metrics.text().decode(), re.MULTILINE))
    rules = paths.read_yaml(EXAMPLES / "prometheus-rules.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(expressions) >= 5
    used = set(re.findall(r"easyds_\w+", " ".join(expressions)))
    assert used
    assert used <= known
