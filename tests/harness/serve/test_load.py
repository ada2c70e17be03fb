"""The load test against a real server that does as it is told: what it counts, and what it counts from."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoint import Handler, serving
from support import item_row, make_task

from harness.record import LOAD, find_runs
from harness.serve import load

Cli = Callable[..., Any]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task", [item_row(number) for number in range(4)], scorers=["chrf"])


def answering(first: float, rest: float) -> Callable[[Handler, dict[str, Any], int], None]:
    def behave(handler: Handler, _: dict[str, Any], __: int) -> None:
        time.sleep(first)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.event({"choices": [{"index": 0, "delta": {"content": "a"}}]})
        time.sleep(rest)
        handler.event({"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]})
        handler.event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}})
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    return behave


def loaded(cli: Cli, task: Path, url: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = cli("loadtest", url, "-t", task, "-f", "json", *options)
    return done.code, json.loads(done.out) if done.out else {"err": done.err}


def test_a_closed_loop_counts_answers_tokens_and_first_words(cli: Cli, task: Path) -> None:
    with serving(answering(0.1, 0.1)) as server:
        code, record = loaded(cli, task, server.url, "--users", "2", "--seconds", "1")
    assert code == 0
    (stage,) = record["stages"]
    figures = stage["figures"]
    assert figures["first_token_p50_s"]["value"] >= 0.1
    assert figures["latency_p50_s"]["value"] >= 0.2
    assert figures["first_token_p50_s"]["value"] < figures["latency_p50_s"]["value"]
    assert stage["requests"] == figures["latency_p50_s"]["n"] == len(server.requests) - 2, "warm-up is not counted"
    assert figures["tokens_per_s"]["value"] * stage["seconds"] == pytest.approx(3 * figures["requests_per_s"]["n"])
    rate = figures["requests_per_s"]
    assert rate["low"] < rate["value"] < rate["high"]
    assert server.most == 2
    assert record["model"] == "m"
    assert record["best"]["level"] == 2


def test_an_open_loop_sees_a_queue_grow(cli: Cli, task: Path) -> None:
    """One at a time at 0.3 s each cannot carry 10 a second: requests come all the same, and wait."""
    gate, slow = threading.Lock(), answering(0.3, 0.0)

    def one_at_a_time(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        with gate:
            slow(handler, request, attempt)

    with serving(one_at_a_time) as server:
        _, record = loaded(cli, task, server.url, "--users", "", "--rate", "10", "--seconds", "1.5")
    figures = record["stages"][0]["figures"]
    assert figures["latency_p95_s"]["value"] > 1.5
    assert figures["requests_per_s"]["value"] < 5, "answers after the window are not counted in it"
    assert figures["requests_per_s"]["n"] < figures["latency_p50_s"]["n"], "but their latency is"


def test_latency_counts_from_when_a_request_was_due(task: Path) -> None:
    with serving(answering(0.0, 0.0)) as server:
        one = load.Load(server.url.removesuffix("/v1"), "m", [[{"role": "user", "content": "x"}]], 8)

        async def late() -> load.Answer:
            async with load._client(one) as client:
                return await one.ask(client, due=time.perf_counter() - 5.0)

        assert asyncio.run(late()).latency_s > 5.0


WRONG: dict[str, tuple[bytes, str]] = {
    "a login page": (b"<html>hi</html>", "no text"),
    "nothing": (b"", "no text"),
    "cut off": (b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', "cut off"),
    "an error": (b'data: {"error": {"message": "no"}}\n\n', "error in the stream"),
    "odd usage": (b'data: {"choices": [], "usage": {"completion_tokens": "many"}}\n\n', "malformed stream"),
    "odd choices": (b'data: {"choices": ["x"]}\n\n', "malformed stream"),
    "no json": (b"data: {oops\n\n", "malformed stream"),
    "endless": (b"data: " + b"x" * 10_000_100 + b"\n\n", "too large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_reply_that_is_none_is_no_answer(cli: Cli, task: Path, name: str) -> None:
    body, kind = WRONG[name]

    def behave(handler: Handler, _: dict[str, Any], __: int) -> None:
        time.sleep(0.05)
        handler.send(200, body)

    with serving(behave) as server:
        code, record = loaded(cli, task, server.url, "--users", "1", "--seconds", "0.5")
    assert code == 4
    assert set(record["stages"][0]["failures"]) == {kind}


def test_legal_events_without_a_space_are_read(cli: Cli, task: Path) -> None:
    def behave(handler: Handler, _: dict[str, Any], __: int) -> None:
        handler.send(200, b'data:{"choices": [{"delta": {"content": "a"}}]}\n\ndata:[DONE]\n\n')

    with serving(behave) as server:
        code, _ = loaded(cli, task, server.url, "--users", "1", "--seconds", "0.5")
    assert code == 0


def test_failures_are_told_by_kind_and_carry_nothing(cli: Cli, task: Path) -> None:
    def behave(handler: Handler, _: dict[str, Any], __: int) -> None:
        time.sleep(0.05)
        handler.refuse(503)

    with serving(behave) as server:
        code, record = loaded(cli, task, server.url, "--users", "3", "--seconds", "0.5")
    assert code == 4
    (stage,) = record["stages"]
    assert stage["failures"] == {"status 503": stage["requests"]}
    assert stage["figures"] == {}
    assert record["best"] is None


def test_it_lies_beside_the_quality_run_and_on_the_board(cli: Cli, task: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert cli("run", "-t", task, "-m", "control/null", "--as", "m", "--runs", runs).code == 0
    with serving(answering(0.01, 0.01)) as server:
        code, record = loaded(
            cli, task, server.url, "--users", "4", "--seconds", "1", "--run", "m", "--runs", str(runs)
        )
    assert code == 0
    (run,) = find_runs(runs)
    assert json.loads((run.folder / LOAD).read_text()) == record
    rows = json.loads(cli("board", "-t", task, "--runs", runs, "-f", "json").out)["rows"]
    metrics = rows[0]["metrics"]
    best = record["best"]["figures"]
    assert metrics["queries_per_s"]["value"] == pytest.approx(best["requests_per_s"]["value"])
    assert metrics["served_latency_p95_s"]["value"] == pytest.approx(best["latency_p95_s"]["value"])
    assert metrics["serving_memory_bytes"]["value"] > 1e6
    assert rows[0]["targets"]["queries_per_s"] in ("met", "undecided")


def test_the_best_level_is_the_one_with_most_answers_in_time() -> None:
    def stage(level: int, seconds: float, count: int, failed: int = 0) -> load.Stage:
        answers = [load.Answer(seconds, seconds, 0.0, 1)] * count + [load.Answer(0, 0, 0.0, 0, "time-out")] * failed
        return load.stage("closed", level, answers, 10.0, 10.0)

    slow, quick, failing = stage(1, 1.5, 90), stage(4, 0.5, 50), stage(16, 0.5, 80, failed=2)
    assert slow.figures["goodput_per_s"]["value"] == 0.0
    assert (quick.figures["goodput_per_s"]["value"], failing.carried) == (5.0, False)
    chosen = load.best([slow, quick, failing])
    assert chosen is not None
    assert chosen.level == 4
    assert load.best([failing]) is None


def test_a_record_that_cannot_be_read_takes_nothing_else_from_the_run(cli: Cli, task: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert cli("run", "-t", task, "-m", "control/reference", "--as", "mine", "--runs", runs).code == 0
    (run,) = find_runs(runs)
    whole = json.loads(cli("board", "-t", task, "--runs", runs, "-f", "json").out)["rows"][0]
    for text in (
        "{",
        "[]",
        '{"best": {"figures": {"requests_per_s": {"value": "x", "n": 1}}}}',
        '{"best": {"figures": {"latency_p95_s": {"value": 1}}}}',
    ):
        (run.folder / LOAD).write_text(text)
        assert json.loads(cli("board", "-t", task, "--runs", runs, "-f", "json").out)["rows"][0] == whole


def test_figures_of_another_model_are_not_kept(cli: Cli, task: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert cli("run", "-t", task, "-m", "control/null", "--as", "mine", "--runs", runs).code == 0
    with serving(answering(0.01, 0.01)) as server:
        done = cli(
            "loadtest", server.url, "--users", "1", "--seconds", "0.5", "--run", "mine", "--runs", runs, "-t", task
        )
    assert (done.code, "is called 'm'" in done.err) == (2, True)
    assert not (find_runs(runs)[0].folder / LOAD).exists()


def test_the_rate_has_garwoods_interval() -> None:
    """Exact limits for 10 events: 4.795 and 18.39 (Garwood 1936)."""
    found = load._rate(10, 1.0)
    assert (found["low"], found["high"]) == (pytest.approx(4.795, abs=1e-3), pytest.approx(18.390, abs=1e-3))


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["http://127.0.0.1:9"], 3, "nobody answers at"),
        (["127.0.0.1:80"], 2, "is no address"),
        (["http://127.0.0.1:9", "--users", "a,b"], 2, "--users is numbers"),
        (["http://127.0.0.1:9", "--rate", "0"], 2, "must be above 0"),
        (["http://127.0.0.1:9", "--users", ""], 2, "nothing to do"),
        (["http://127.0.0.1:9", "--model", "x"], 3, "nobody answers at"),
        (["http://127.0.0.1:80a"], 3, "nobody answers at"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, task: Path, options: list[str], code: int, said: str) -> None:
    done = cli("loadtest", *options, "-t", task)
    assert done.code == code
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
