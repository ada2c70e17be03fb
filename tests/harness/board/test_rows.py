"""The board from run folders written by the real recorder, with scores whose outcome is known."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import BAD, GATES, GOOD, LEAK, SOME, item_row, make_task, record

from harness import board, task
from harness.cli import show
from harness.errors import GateFailed, Incomplete, UsageError
from harness.record import find_runs
from harness.stats.intervals import clustered_rate, wilson
from harness.types import Score, Task


def built(the_task: Task, root: Path) -> dict[str, board.Row]:
    return {row.run: row for row in board.from_folder(the_task, root).rows}


# --- numbers ----------------------------------------------------------------------------------------------------


def test_headline_rates(small: Task, runs: Path) -> None:
    kinds = [GOOD] * 8 + [SOME] * 6 + [BAD] * 4 + [LEAK] * 2
    name = record(runs, small, "a", lambda number, _: kinds[number])
    metrics = built(small, runs)[name].metrics
    assert metrics["guidance_accuracy"].value == pytest.approx(14 / 20)
    assert metrics["guidance_accuracy_strict"].value == pytest.approx(8 / 20)
    assert metrics["guidance_accuracy_full"].value == pytest.approx(8 / 20)
    assert metrics["teaching_relevance"].value == pytest.approx(10 / 20)
    assert metrics["gold_score"].value == pytest.approx((8 * 1 + 6 * (11 / 12) + 4 * (10 / 12) + 0) / 20)
    assert metrics["G2"].value == pytest.approx(18 / 20)
    assert metrics["D3"].value == pytest.approx((10 * 2 + 6) / 20)
    limits = wilson(14, 20)
    headline = metrics["guidance_accuracy"]
    assert (headline.low, headline.high, headline.n, headline.unscored) == (limits.low, limits.high, 20, 0)


def test_intervals_are_clustered(tmp_path: Path, runs: Path) -> None:
    pairs = task.load(str(make_task(tmp_path / "pairs", [item_row(i, cluster=f"c{i // 2}") for i in range(20)])))
    name = record(runs, pairs, "a", lambda number, _: GOOD if number < 14 else BAD)
    wanted = clustered_rate([1] * 14 + [0] * 6, [i // 2 for i in range(20)])
    headline = built(pairs, runs)[name].metrics["guidance_accuracy"]
    assert (headline.low, headline.high) == (wanted.low, wanted.high)
    plain = wilson(14, 20)
    assert headline.low < plain.low


def test_unscored_is_counted_and_never_zero(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda number, _: {**GOOD, "D3": None if number < 5 else 2.0})
    metrics = built(small, runs)[name].metrics
    headline = metrics["guidance_accuracy"]
    assert (headline.value, headline.n, headline.unscored) == (1.0, 15, 5)
    assert (metrics["D3"].value, metrics["D3"].unscored) == (2.0, 5)
    assert (metrics["teaching_relevance"].n, metrics["teaching_relevance"].unscored) == (20, 0)


def test_response_without_any_score_is_unscored(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda number, _: {} if number < 5 else GOOD)
    headline = built(small, runs)[name].metrics["guidance_accuracy"]
    assert (headline.value, headline.n, headline.unscored) == (1.0, 15, 5)


def test_failed_gate_decides_without_the_rest(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda number, _: {"G1": None, "G2": 0.0, "G3": None, "D3": None})
    metrics = built(small, runs)[name].metrics
    assert (metrics["guidance_accuracy"].value, metrics["guidance_accuracy"].unscored) == (0.0, 0)
    assert metrics["gold_score"].value == 0.0


def test_wholly_unscored_metric_is_absent(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda number, _: {**GATES, "D3": None, "D7": 2.0})
    row = built(small, runs)[name]
    assert "guidance_accuracy" not in row.metrics
    assert "teaching_relevance" in row.metrics
    assert row.rank is None
    assert "not measured" in row.note


def test_not_applicable_leaves_the_mean(small: Task, runs: Path) -> None:
    absent = {name: value for name, value in GOOD.items() if name not in ("D1", "D2")}
    extra = tuple(
        Score(item.id, 0, name, "check@1", None, "not applicable") for item in small.items for name in ("D1", "D2")
    )
    name = record(runs, small, "a", lambda number, _: absent, extra=extra)
    metrics = built(small, runs)[name].metrics
    assert metrics["gold_score"].value == 1.0
    assert metrics["guidance_accuracy_full"].value == 1.0
    assert "D1" not in metrics


def test_samples_of_an_item_are_averaged_first(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda number, sample: GOOD if sample == 0 else BAD, samples=2)
    headline = built(small, runs)[name].metrics["guidance_accuracy"]
    assert (headline.value, headline.n) == (0.5, 20)


def test_single_measurements_have_no_limits(small: Task, runs: Path) -> None:
    sessions = [
        {"generate_s": 2.0, "completion_tokens": 40, "responses": 10, "peak_memory_bytes": {"host": 5}},
        {"generate_s": 3.0, "completion_tokens": 60, "responses": 10, "peak_memory_bytes": {"host": 7}},
    ]
    name = record(runs, small, "a", lambda *_: GOOD, sessions=sessions)
    metrics = built(small, runs)[name].metrics
    assert (metrics["tokens_per_s"].value, metrics["tokens_per_s"].low) == (20.0, None)
    assert metrics["peak_memory_bytes"].value == 7.0
    assert metrics["latency_p50_s"].value == pytest.approx(0.2)


def test_memory_of_a_server_is_not_measured(small: Task, runs: Path) -> None:
    sessions = [{"generate_s": 2.0, "completion_tokens": 40, "responses": 10, "peak_memory_bytes": {"host": 5}}]
    name = record(runs, small, "a", lambda *_: GOOD, sessions=sessions, provider="openai")
    metrics = built(small, runs)[name].metrics
    assert "peak_memory_bytes" not in metrics
    assert "tokens_per_s" in metrics


def test_whole_run_scores(small: Task, runs: Path) -> None:
    whole = Score("*", 0, "distinct_2", "diversity@1", 0.25, evidence={"n": 20, "low": 0.2, "high": 0.3})
    empty = Score("*", 0, "distinct_1", "diversity@1", None, "the run has no text")
    name = record(runs, small, "a", lambda *_: GOOD, extra=(whole, empty))
    metrics = built(small, runs)[name].metrics
    assert metrics["distinct_2"] == board.Metric(0.25, 0.2, 0.3, 20)
    assert "distinct_1" not in metrics


# --- what is ranked ---------------------------------------------------------------------------------------------


def test_ranks_are_ranges_from_paired_differences(small: Task, runs: Path) -> None:
    best = record(runs, small, "best", lambda number, _: GOOD)
    close = record(runs, small, "close", lambda number, _: GOOD if number != 3 else BAD)
    worst = record(runs, small, "worst", lambda number, _: BAD)
    rows = built(small, runs)
    assert rows[best].rank == (1, 2)
    assert rows[close].rank == (1, 2)
    assert rows[worst].rank == (3, 3)
    assert list(rows) == [best, close, worst]


def test_unranked_are_listed_with_their_reason(small: Task, runs: Path) -> None:
    reasons = {
        record(
            runs, small, "part", lambda *_: GOOD, answered=9, status="partial", missing=11
        ): "not complete (partial)",
        record(runs, small, "fail", lambda *_: GOOD, status="failed"): "not complete (failed)",
        record(runs, small, "some", lambda *_: GOOD, answered=5, limit=5): "limited to 5 items",
        record(runs, small, "old", lambda *_: GOOD, digest="0" * 64): "another version of the task",
    }
    ranked = record(runs, small, "fine", lambda *_: BAD)
    rows = built(small, runs)
    assert rows[ranked].rank == (1, 1)
    for name, reason in reasons.items():
        assert rows[name].rank is None
        assert reason in rows[name].note
    old = next(row for row in rows.values() if row.system == "old")
    assert old.metrics == {}, "scores on another version of the task say nothing about this one"


def test_only_the_latest_run_of_a_system_is_ranked(small: Task, runs: Path) -> None:
    first = record(runs, small, "a", lambda *_: BAD, weights="v1", name="first", created="2026-01-01T00:00:00+00:00")
    second = record(runs, small, "a", lambda *_: GOOD, weights="v2", name="second", created="2026-01-02T00:00:00+00:00")
    third = record(
        runs,
        small,
        "a",
        lambda *_: BAD,
        weights="v3",
        name="third",
        status="partial",
        created="2026-01-03T00:00:00+00:00",
    )
    rows = built(small, runs)
    assert rows[second].rank == (1, 1)
    assert rows[first].rank is None
    assert f"superseded by {second}" in rows[first].note
    assert rows[third].rank is None


def test_runs_of_other_tasks_are_passed_over(small: Task, tmp_path: Path, runs: Path) -> None:
    other = task.load(str(make_task(tmp_path / "other", name="other")))
    record(runs, other, "b", lambda *_: GOOD)
    mine = record(runs, small, "a", lambda *_: GOOD)
    assert list(built(small, runs)) == [mine]


def test_other_check_version_is_not_ranked_beside_the_latest(small: Task, runs: Path) -> None:
    old = record(runs, small, "a", lambda *_: GOOD, source="check@1", created="2026-01-01T00:00:00+00:00")
    new = record(runs, small, "b", lambda *_: BAD, source="check@2", created="2026-01-02T00:00:00+00:00")
    rows = built(small, runs)
    assert rows[new].rank == (1, 1)
    assert rows[old].rank is None
    assert "check@1" in rows[old].note
    assert "check@2" in rows[old].note


def test_run_with_two_sources_for_one_criterion_is_listed_and_blocks_nothing(small: Task, runs: Path) -> None:
    torn = record(runs, small, "a", lambda *_: GOOD, extra=(Score("item-0", 0, "D3", "judge@1", 1.0),))
    fine = record(runs, small, "b", lambda *_: GOOD)
    rows = built(small, runs)
    assert "check@1 and judge@1 both fill D3" in rows[torn].note
    assert (rows[torn].rank, rows[torn].metrics, rows[fine].rank) == (None, {}, (1, 1))


def test_sources_of_an_earlier_scoring_are_unused(small: Task, runs: Path) -> None:
    name = record(runs, small, "a", lambda *_: GOOD, extra=(Score("item-0", 0, "D3", "unused@1", 0.0),))
    assert built(small, runs)[name].metrics["guidance_accuracy"].value == 1.0


def test_board_is_a_pure_function_of_run_folders(small: Task, runs: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD, name="one")
    record(runs, small, "b", lambda *_: BAD, name="two")
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    first, second = board.from_folder(small, runs), board.build(small, find_runs(runs)[::-1])
    assert first.as_json() == second.as_json()
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_empty_board(small: Task, runs: Path) -> None:
    empty = board.from_folder(small, runs)
    assert empty.rows == ()
    for form in show.FORMATS:
        assert small.name in show.render(empty, form) or form in ("csv", "latex")


# --- bad, doubled, missing and mixed ----------------------------------------------------------------------------


def test_doubled_rows_and_a_copied_folder_count_once(small: Task, runs: Path) -> None:
    """Responses: the first row counts; scores: the last; a copy of a folder under another name is no second system."""
    name = record(runs, small, "a", lambda *_: GOOD, name="a")
    record(runs, small, "b", lambda *_: BAD, name="b")
    alone = built(small, runs)[name].metrics
    for file in ("responses.jsonl", "scores.jsonl"):
        text = (runs / "a" / file).read_text()
        (runs / "a" / file).write_text(text + text)
    assert built(small, runs)[name].metrics == alone
    assert built(small, runs)[name].metrics["guidance_accuracy"].n == 20
    shutil.copytree(runs / "a", runs / "a-copy")
    rows = built(small, runs)
    assert [row.rank for row in rows.values()] == [(1, 1), (2, 2), None]
    assert rows["a"].note == "superseded by a-copy"


def test_missing_responses_are_listed_although_marked_complete(small: Task, runs: Path) -> None:
    record(runs, small, "short", lambda *_: GOOD, name="short", answered=17)
    record(runs, small, "fine", lambda *_: BAD, name="fine")
    rows = built(small, runs)
    assert rows["short"].note == "3 responses are missing although it is marked complete"
    assert (rows["short"].rank, rows["fine"].rank) == (None, (1, 1))
    assert rows["short"].metrics["guidance_accuracy"].n == 17


def test_item_that_the_task_does_not_have(small: Task, runs: Path) -> None:
    extra = (Score("foreign", 0, "D3", "check@1", 2.0),)
    name = record(runs, small, "a", lambda *_: GOOD, extra=extra)
    row = built(small, runs)[name]
    assert "has an item that the task does not have ('foreign')" in row.note
    assert row.rank is None


@pytest.mark.parametrize("sessions", [[{}], [3], {"a": 1}])
def test_manifest_of_another_form_is_listed(small: Task, runs: Path, sessions: Any) -> None:
    odd = record(runs, small, "a", lambda *_: GOOD, sessions=sessions)
    fine = record(runs, small, "b", lambda *_: GOOD)
    rows = built(small, runs)
    assert "has another form" in rows[odd].note
    assert rows[fine].rank == (1, 1)


def test_unscored_items_are_not_compared_as_if_equal(small: Task, runs: Path) -> None:
    """b is unscored where a fails. Its mean is higher, on other items; on the common ones the two are equal."""
    record(runs, small, "a", lambda n, _: BAD if n < 10 else GOOD, name="a")
    record(runs, small, "b", lambda n, _: {**GOOD, "D3": None if n < 10 else 2.0}, name="b")
    rows = built(small, runs)
    assert (rows["a"].metrics["guidance_accuracy"].value, rows["b"].metrics["guidance_accuracy"].value) == (0.5, 1.0)
    assert (rows["a"].rank, rows["b"].rank) == ((1, 2), (1, 2))
    assert rows["a"].groups == rows["b"].groups == ("A",)


def test_mixed_rubric_versions_are_listed_and_stale(small: Task, runs: Path) -> None:
    old = record(runs, small, "old", lambda *_: GOOD, digest="0" * 64, rubric="1" * 64)
    new = record(runs, small, "new", lambda *_: BAD)
    rows = built(small, runs)
    assert rows[old].note == "made on another version of the rubric (1)"
    assert (rows[old].stale, rows[old].rank, rows[old].metrics) == (True, None, {})
    assert (rows[new].stale, rows[new].rank) == (False, (1, 1))


def test_scores_of_an_earlier_scorer_version_are_stale(small: Task, runs: Path) -> None:
    """The small task is scored by rouge_l, whose present source is reference/rouge_l@1."""
    scored = {
        version: record(
            *(runs, small, version, lambda *_: GOOD),
            extra=(Score("item-0", 0, "rouge_l", f"reference/rouge_l@{version}", 0.5),),
        )
        for version in ("0", "1")
    }
    rows = built(small, runs)
    assert (rows[scored["0"]].stale, rows[scored["1"]].stale) == (True, False)
    assert "0, " + scored["0"] + ": stale" in show.render(board.from_folder(small, runs), "text")


def test_oracle_arm_is_shown_apart_and_never_ranked(small: Task, runs: Path) -> None:
    record(runs, small, "oracle", lambda *_: GOOD, name="oracle", oracle=True)
    record(runs, small, "a", lambda n, _: SOME if n % 2 else BAD, name="a")
    rows = built(small, runs)
    assert rows["oracle"].rank is None
    assert rows["oracle"].oracle
    assert rows["oracle"].metrics["guidance_accuracy"].value == 1.0
    assert rows["a"].rank == (1, 1), "an oracle takes no rank"
    text = show.render(board.from_folder(small, runs), "text")
    assert "oracle (oracle)" in text
    assert "not ranked, oracle arm" in text


def test_bad_folders_are_listed_with_their_reason_and_block_nothing(small: Task, runs: Path) -> None:
    for number, (text, _) in enumerate(BAD_MANIFESTS):
        record(runs, small, f"x{number}", lambda *_: GOOD, name=f"x{number}")
        (runs / f"x{number}" / "manifest.json").write_text(text)
    torn = record(runs, small, "torn", lambda *_: GOOD, name="torn")
    lines = (runs / "torn" / "scores.jsonl").read_text().splitlines(keepends=True)
    (runs / "torn" / "scores.jsonl").write_text("".join([*lines[:5], lines[5][:30] + "\n", *lines[6:]]))
    record(runs, small, "fine", lambda *_: GOOD, name="fine")
    made = board.from_folder(small, runs)
    rows = {row.run: row for row in made.rows}
    assert rows["fine"].rank == (1, 1)
    assert "scores.jsonl, line 6 is not JSON" in rows[torn].note
    assert sorted(made.unreadable) == [f"x{number}" for number in range(len(BAD_MANIFESTS))]
    for number, (_, why) in enumerate(BAD_MANIFESTS):
        assert why in made.unreadable[f"x{number}"]
    assert json.loads(show.render(made, "json"))["unreadable"] == dict(made.unreadable)
    for form in ("text", "markdown"):
        assert "x0: cannot be read" in show.render(made, form).replace("\\", "")


WHOLE = {"schema_version": 1, "id": "x", "configuration_digest": "0", "created": "2026", "status": "complete"}
BAD_MANIFESTS = [
    ("", "no readable manifest"),
    ("{", "no readable manifest"),
    ("[]", "schema version None"),
    ('{"schema_version": 2}', "schema version 2"),
    ('{"schema_version": 1}', "was changed after it was written"),
    (json.dumps({**WHOLE, "system": 3}), "'system'"),
    (json.dumps({**WHOLE, "system": "a", "identity": {}, "requests": 1, "task": {"name": "small"}}), "on which task"),
]


# --- targets and ties -------------------------------------------------------------------------------------------


def test_targets_are_decided_by_the_interval(tmp_path: Path, runs: Path) -> None:
    many = task.load(str(make_task(tmp_path / "many", [item_row(i, cluster=f"c{i}") for i in range(200)])))
    for system, failures in (("met", 2), ("open", 15), ("not", 60)):
        record(runs, many, system, lambda n, _, failures=failures: BAD if n < failures else GOOD, name=system)
    rows = built(many, runs)
    for system, state in (("met", "met"), ("open", "undecided"), ("not", "not met")):
        metric = rows[system].metrics["guidance_accuracy"]
        assert rows[system].targets["guidance_accuracy"] == state
        assert metric.low is not None
        assert metric.high is not None
        assert (metric.low > 0.9, metric.high > 0.9) == {"met": (1, 1), "undecided": (0, 1), "not met": (0, 0)}[state]
        assert rows[system].targets["latency_p95_s"] == "met"
        assert "satisfaction" not in rows[system].targets, "not rated is no verdict"
    text = show.render(board.from_folder(many, runs), "text")
    assert "target accuracy > 0.9: met: met; undecided: open; not met: not" in text


def test_memory_target_is_decided_by_its_value(small: Task, runs: Path) -> None:
    for system, peak in (("small", 5e9), ("big", 17e9)):
        session = {"generate_s": 2.0, "completion_tokens": 4, "responses": 2, "peak_memory_bytes": {"host": peak}}
        record(runs, small, system, lambda *_: GOOD, name=system, sessions=[session])
    rows = built(small, runs)
    assert (rows["small"].targets["peak_memory_bytes"], rows["big"].targets["peak_memory_bytes"]) == ("met", "not met")


def test_tie_groups_overlap_and_say_what_could_be_seen(small: Task, runs: Path) -> None:
    for system, failures in (("top", 0), ("middle", 4), ("low", 9), ("last", 20)):
        record(runs, small, system, lambda n, _, failures=failures: BAD if n < failures else GOOD, name=system)
    made = board.from_folder(small, runs)
    groups = {row.system: row.groups for row in made.rows}
    assert groups == {"top": ("A",), "middle": ("A", "B"), "low": ("B",), "last": ("C",)}
    assert {row.system: row.rank for row in made.rows} == {
        **{"top": (1, 2), "middle": (1, 3), "low": (2, 3)},
        "last": (4, 4),
    }
    assert made.detectable is not None
    assert 0.1 < made.detectable < 0.6
    assert (made.items, made.clusters) == (20, 20)


# --- gates ------------------------------------------------------------------------------------------------------


def test_gate_looks_at_the_lower_end(small: Task, runs: Path) -> None:
    record(runs, small, "a", lambda number, _: GOOD if number < 19 else BAD)
    (row,) = board.from_folder(small, runs).rows
    metric = row.metrics["guidance_accuracy"]
    assert metric.low is not None
    assert metric.low < 0.9 < metric.value
    board.gate(row, [("guidance_accuracy", metric.low)])
    with pytest.raises(GateFailed, match=r"0\.950 with its lower end at 0\.\d+ \(n = 20\), below 0\.9"):
        board.gate(row, [("guidance_accuracy", 0.9)])
    with pytest.raises(UsageError, match="Did you mean 'guidance_accuracy'"):
        board.gate(row, [("guidance_acuracy", 0.1)])


def test_gate_on_a_board_without_complete_runs_checks_nothing_and_says_so(small: Task, runs: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD, status="partial")
    with pytest.raises(Incomplete, match="nothing to check"):
        board.gate_all(board.from_folder(small, runs), [("guidance_accuracy", 0.1)])
    board.gate_all(board.from_folder(small, runs), [])


def test_fail_under_on_the_command_line(cli: Callable[..., Any], small: Task, tmp_path: Path, runs: Path) -> None:
    record(runs, small, "a", lambda number, _: GOOD if number < 19 else BAD)
    args = ("board", "-t", tmp_path / "task" / "task.yaml", "--runs", runs, "--fail-under")
    assert cli(*args, "guidance_accuracy=0.7").code == 0
    done = cli(*args, "guidance_accuracy=0.9")
    assert done.code == 1
    assert done.err.startswith("easyds: a: guidance_accuracy is 0.950")
    assert "small" in done.out, "the board is shown all the same"
    assert (
        cli(
            "board", "-t", tmp_path / "task" / "task.yaml", "--runs", tmp_path / "none", "--fail-under", "bleu=0.1"
        ).code
        == 4
    )


# --- formats ----------------------------------------------------------------------------------------------------

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "-2+3",
    " =1+1",
    "a|b\\|c",
    "<script>alert(1)</script>",
    "[click](http://x) ![i](http://x) **b** `c` &#124;",
    "red\x1b[31m\x9b31m\x07\u202egnirts",
    "two\nlines\r\nand\ttab",
    "100% & #1 $x_i^2 {\\input{/etc/passwd}} ~",
]


@pytest.fixture
def hostile(small: Task, runs: Path) -> board.Board:
    for number, name in enumerate(HOSTILE):
        record(runs, small, name, lambda *_: GOOD, name=f"run-{number}")
    return board.from_folder(small, runs)


@pytest.mark.parametrize("form", show.FORMATS)
def test_no_format_lets_control_characters_through(hostile: board.Board, form: str) -> None:
    text = show.render(hostile, form)
    assert not [char for char in text if not char.isprintable() and char not in "\n"]


def test_json_keeps_its_contract(hostile: board.Board) -> None:
    data = json.loads(show.render(hostile, "json"))
    assert set(data) >= {"task", "digest", "rows"}
    assert {row["system"] for row in data["rows"]} == set(HOSTILE)
    for row in data["rows"]:
        assert set(row) == {
            *("system", "run", "rank", "status", "note", "metrics"),
            *("groups", "targets", "oracle", "stale", "created", "sources"),
        }
        assert row["groups"] == ["A"]
        assert row["rank"] == [1, len(HOSTILE)]
        assert row["status"] == "complete"
        headline = row["metrics"]["guidance_accuracy"]
        assert set(headline) == {"value", "low", "high", "n", "unscored"}
        assert "rouge_l" not in row["metrics"], "what was not measured is absent"


def test_csv_holds_no_formula(hostile: board.Board) -> None:
    rows = list(csv.DictReader(io.StringIO(show.render(hostile, "csv"))))
    assert {row["run"] for row in rows} == {f"run-{number}" for number in range(len(HOSTILE))}
    for row in rows:
        assert row["system"].lstrip()[0] not in "=+-@"
        float(row["value"])


def test_markdown_keeps_its_columns_and_holds_no_markup(hostile: board.Board) -> None:
    text = show.render(hostile, "markdown")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(HOSTILE)
    for line in table:
        assert len(unescaped(line, "|")) == len(unescaped(table[0], "|"))
        for mark in "[`*<":
            assert not unescaped(line, mark)


def unescaped(line: str, mark: str) -> list[int]:
    """Where `mark` stands without an odd number of backslashes before it."""
    found = []
    for place, char in enumerate(line):
        before = line[:place]
        if char == mark and (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            found.append(place)
    return found


def test_latex_holds_no_command_of_a_name(hostile: board.Board) -> None:
    lines = show.render(hostile, "latex").splitlines()
    assert lines[0].startswith("\\begin{tabular}")
    assert lines[-1] == "\\end{tabular}"
    rows = [line for line in lines if line.endswith("\\\\")]
    assert len(rows) == 1 + len(HOSTILE)
    assert all(len(unescaped(row, "&")) == len(unescaped(rows[0], "&")) for row in rows)
    assert "\\input" not in "".join(lines)
    assert not unescaped("".join(rows), "%")
    assert not unescaped("".join(rows), "$")


def test_text_shows_every_system_and_unscored(small: Task, runs: Path) -> None:
    record(runs, small, "[bold]a[/bold]", lambda number, _: {**GOOD, "D3": None if number < 5 else 2.0})
    text = show.render(board.from_folder(small, runs), "text")
    assert "[bold]a[/bold]" in text
    assert "(5 unscored)" in text


def test_formats_on_the_command_line(cli: Callable[..., Any], small: Task, tmp_path: Path, runs: Path) -> None:
    record(runs, small, "a", lambda *_: GOOD)
    for form in show.FORMATS:
        done = cli("board", "-t", tmp_path / "task" / "task.yaml", "--runs", runs, "--format", form)
        assert (done.code, done.err) == (0, "")
        assert "a" in done.out
