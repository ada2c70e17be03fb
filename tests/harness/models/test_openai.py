"""The openai provider against a real HTTP server on loopback that behaves as servers do on bad days."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, Handler, asked, serving
from support import answers, item_row, make_task, manifest, only_run, read_jsonl

from harness.models import openai

KEY = "sk-a-secret-that-stays-here"
Cli = Callable[..., Any]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai, "ATTEMPTS", 3)
    with ExitStack() as stack:
        yield lambda behave: stack.enter_context(serving(behave))


def echo(handler: Handler, request: dict[str, Any], attempt: int) -> None:
    handler.stream(["you ", "said: ", asked(request)])


def run(cli: Cli, server: Endpoint, task: Path, runs: Path, *more: str) -> Any:
    return cli("run", "-m", "openai/some/model", "--base-url", server.url, "-t", task, "--runs", runs, *more)


def test_answers_are_streamed_and_recorded(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    server = serve(echo)
    done = run(
        cli, server, task_file, runs, "--temperature", "0.5", "--max-new-tokens", "9", "--seed", "4", "--samples", "2"
    )
    assert done.code == 0, done.err
    rows = read_jsonl(only_run(runs) / "responses.jsonl")
    assert len(answers(only_run(runs))) == 12
    for row in rows:
        assert row["text"].startswith("you said: ")
        assert (row["finish_reason"], row["prompt_tokens"], row["completion_tokens"]) == ("stop", 11, 3)
        assert 0 < row["first_token_s"] <= row["latency_s"]
    for request in server.requests:
        assert request["model"] == "some/model"
        assert (request["temperature"], request["max_tokens"]) == (0.5, 9)
        assert [turn["role"] for turn in request["messages"]] == ["system", "user"]
    assert {request["seed"] for request in server.requests} == {4, 5}, "each sample has its own seed"


def test_key_reaches_the_server_and_no_file(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    server = serve(echo)
    secret = f"http://user:hidden@127.0.0.1:{server.server_port}/v1?token=hidden"
    done = cli("run", "-m", "openai/m", "--base-url", secret, "-t", task_file, "--runs", runs)
    assert server.requests
    assert run(cli, server, task_file, runs).code == 0
    assert f"Bearer {KEY}" in server.keys
    for path in (path for path in runs.rglob("*") if path.is_file()):
        text = path.read_text()
        assert KEY not in text
        assert "hidden" not in text
    assert KEY not in done.out + done.err


def test_absent_usage_is_unknown_not_zero(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    server = serve(lambda handler, request, attempt: handler.stream(["hm"], usage=False))
    done = run(cli, server, task_file, runs, "--format", "json")
    assert done.code == 0
    for row in read_jsonl(only_run(runs) / "responses.jsonl"):
        assert row["prompt_tokens"] is None
        assert row["completion_tokens"] is None
    (row,) = json.loads(done.out)["rows"]
    assert "tokens_per_s" not in row["metrics"]
    assert "completion_tokens_p50" not in row["metrics"]


def test_length_limit_is_told(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    server = serve(lambda handler, request, attempt: handler.stream(["cut"], finish="length"))
    assert run(cli, server, task_file, runs).code == 0
    assert {row["finish_reason"] for row in read_jsonl(only_run(runs) / "responses.jsonl")} == {"length"}


def test_refused_for_a_while(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    def behave(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        if attempt == 1:
            handler.refuse(429, Retry_After="0.05")
        else:
            echo(handler, request, attempt)

    server = serve(behave)
    assert run(cli, server, task_file, runs).code == 0
    assert len(answers(only_run(runs))) == 6
    assert set(server.attempts.values()) == {2}


def test_attempts_are_capped_and_the_rest_is_kept(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    broken = {"until": True}

    def behave(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        if broken["until"] and "(2)" in asked(request):
            handler.refuse(500, Retry_After_Ms="20")
        else:
            echo(handler, request, attempt)

    server = serve(behave)
    done = run(cli, server, task_file, runs)
    assert done.code == 4
    assert "1 of 6" in done.err
    assert "HTTP 500" in done.err
    assert max(server.attempts.values()) == 3
    folder = only_run(runs)
    kept = answers(folder)
    assert len(kept) == 5
    assert manifest(folder)["status"] == "partial"
    assert manifest(folder)["failures"] == [{"item": "item-2", "sample": 0, "reason": "HTTP 500"}]

    broken["until"] = False
    asked_before = len(server.requests)
    assert run(cli, server, task_file, runs).code == 0
    assert len(server.requests) == asked_before + 1, "only what has no answer is asked again"
    assert answers(folder).items() > kept.items()
    assert manifest(folder)["status"] == "complete"


def test_wrong_key_is_not_asked_again(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    server = serve(lambda handler, request, attempt: handler.refuse(401))
    done = run(cli, server, task_file, runs)
    assert done.code == 4
    assert "HTTP 401" in done.err
    assert set(server.attempts.values()) == {1}


@pytest.mark.parametrize("how", ["breaks off", "is no JSON", "carries an error"])
def test_stream_that_goes_wrong_is_asked_again(
    cli: Cli, serve: Any, task_file: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(openai, "PAUSE_S", 0.01)

    def behave(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        if attempt > 1:
            echo(handler, request, attempt)
        elif how == "breaks off":
            handler.stream(["half an ans"], finish=None)
        else:
            handler.stream(["half"], raw="{oops" if how == "is no JSON" else '{"error": {"message": "overloaded"}}')

    server = serve(behave)
    done = run(cli, server, task_file, runs)
    assert done.code == 0, done.err
    assert all(text.startswith("you said: ") for text in answers(only_run(runs)).values())
    assert set(server.attempts.values()) == {2}


def test_stream_that_always_breaks_off_is_a_failure(
    cli: Cli, serve: Any, task_file: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "PAUSE_S", 0.01)
    server = serve(lambda handler, request, attempt: handler.stream(["half"], finish=None))
    done = run(cli, server, task_file, runs)
    assert done.code == 4
    assert "broke off" in done.err
    assert set(server.attempts.values()) == {3}
    assert read_jsonl(only_run(runs) / "responses.jsonl") == []


def test_concurrency_is_bounded_and_used(cli: Cli, serve: Any, tmp_path: Path, runs: Path) -> None:
    def slow(handler: Handler, request: dict[str, Any], attempt: int) -> None:
        time.sleep(0.03)
        echo(handler, request, attempt)

    task = make_task(tmp_path / "task", [item_row(number) for number in range(20)])
    server = serve(slow)
    assert run(cli, server, task, runs, "--concurrency", "3").code == 0
    assert server.most == 3
    assert len(answers(only_run(runs))) == 20


def test_no_server(cli: Cli, task_file: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "ATTEMPTS", 1)
    done = cli("run", "-m", "openai/m", "--base-url", "http://127.0.0.1:9/v1", "-t", task_file, "--runs", runs)
    assert done.code == 4
    assert "no connection" in done.err


def test_halves_of_a_character_in_two_chunks(cli: Cli, serve: Any, task_file: Path, runs: Path) -> None:
    """Some servers escape an emoji as two surrogates and send each in a chunk of its own."""
    server = serve(lambda handler, request, attempt: handler.stream(["\ud83d", "\ude00 fine"]))
    assert run(cli, server, task_file, runs).code == 0
    assert set(answers(only_run(runs)).values()) == {"\U0001f600 fine"}
    (only_run(runs) / "responses.jsonl").read_bytes().decode("utf-8")
