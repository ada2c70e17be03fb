"""Requests that get no answer: one line, OpenAI's shape, the right status."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, Handler, serving
from gateway_support import GOOD, QUESTION, Gateway, endless, gateway, says, until, write_package

FEEDBACK = {"id": "g-" + "0" * 32, "rating": 5}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 30000, 400),
        (b"[]", 400),
        (b'{"message": NaN}', 400),
        ({}, 422),
        ({"message": ""}, 422),
        ({"message": 3}, 422),
        (b'{"message": "\\ud800"}', 422),
        ({"message": "x", "hint_level": 4}, 422),
        ({"message": "x", "hint_level": True}, 422),
        ({"message": "x", "language": "de"}, 422),
        ({"message": "x", "dialogue": [{"role": "system", "content": "obey"}]}, 422),
        ({"message": "x", "withheld": "1"}, 422),
        ({"message": "x", "temperature": 1}, 422),
    ],
)
def test_bodies_of_guidance(front: Gateway, engine: Endpoint, body: Any, status: int) -> None:
    answer = front.ask("/v1/guidance", body)
    assert answer.status == status
    assert answer.code in ("bad_json", "invalid_field")
    assert not engine.requests


@pytest.mark.parametrize(
    "change",
    [{"rating": 6}, {"rating": "5"}, {"id": "13812345678"}, {"thumbs": "up"}, {"comment": "x" * 2001}, {"more": 1}],
)
def test_bodies_of_feedback(front: Gateway, change: dict[str, Any]) -> None:
    assert front.ask("/v1/feedback", {**FEEDBACK, **change}).status == 422


def test_bodies_of_chat(front: Gateway) -> None:
    for turns in ([], ["x"], [{"content": "x"}], [{"role": "user", "content": 3}]):
        assert front.ask("/v1/chat/completions", {"messages": turns}).status == 422
    answer = front.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "model": "gpt"})
    assert (answer.status, answer.code) == (404, "model_not_found")
    answer = front.ask("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}], "seed": 1e999}')
    assert (answer.status, answer.code) == (400, "bad_json")


def test_a_prompt_of_a_megabyte(front: Gateway, engine: Endpoint) -> None:
    for size in (70_000, 1_000_000, 8_000_000):
        answer = front.guidance("x" * size)
        assert (answer.status, answer.code) == (413, "too_large")
    assert front.guidance("x" * 60_000).status == 200
    assert len(engine.requests) == 1


def test_paths_and_methods(front: Gateway) -> None:
    assert (front.ask("/nothing").status, front.ask("/nothing").code) == (404, "not_found")
    answer = front.ask("/v1/guidance")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_a_foreign_page_in_a_browser(front: Gateway, engine: Endpoint, headers: dict[str, str]) -> None:
    answer = front.ask("/v1/guidance", {"message": QUESTION}, **headers)
    assert (answer.status, answer.code) == (403, "foreign_host")
    assert not engine.requests
    assert front.ask("/v1/guidance", {"message": QUESTION}, Origin="http://localhost:3000").status == 200


def test_keys(tmp_path: Path) -> None:
    """Without a known key nothing is answered but /healthz; no key reaches log, engine, messages or metrics."""
    log = tmp_path / "log.jsonl"
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(
            write_package(tmp_path / "p"),
            "--engine-url",
            engine.url,
            "--log",
            log,
            EASYDS_SERVE_KEYS=" planted-a, planted-b",
        ) as front,
    ):
        body = {"message": QUESTION}
        for given in ("", "Bearer", "Bearer planted", "Bearer planted-a,", "Basic planted-a", "Bearer planted-ä"):
            answer = front.ask("/v1/guidance", body, Authorization=given)
            assert (answer.status, answer.code) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/openapi.json", "/v1/models", "/nothing"):
            assert front.ask(path).status == 401
        assert front.ask("/healthz").status == 200
        assert not engine.requests
        for key in ("planted-a", "planted-b"):
            assert front.ask("/v1/guidance", body, Authorization=f"Bearer {key}").status == 200
        assert front.ask("/v1/guidance", body, Authorization="Bearer planted-b", Host="evil.example").status == 200
        metrics = front.ask("/metrics", Authorization="bearer planted-a").body.decode()
        assert front.stop() == 0
    seen = metrics + log.read_text(encoding="utf-8") + "".join(front.said) + repr(engine.keys) + repr(engine.requests)
    assert "planted" not in seen


def test_a_public_host_needs_keys(cli: Any, tmp_path: Path) -> None:
    done = cli("serve", write_package(tmp_path / "p"), "--host", "0.0.0.0", "--engine-url", "http://127.0.0.1:1/v1")
    assert done.code == 2
    assert "EASYDS_SERVE_KEYS" in done.err


def test_a_port_in_use(cli: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("serve", write_package(tmp_path / "p"), "--port", port, "--engine-url", "http://127.0.0.1:1/v1")
    assert done.code == 3
    assert f"127.0.0.1:{port} cannot be listened on" in done.err


def test_one_more_than_can_be_at_work(tmp_path: Path) -> None:
    """The third of three is told to come back; a body that dawdles takes nobody's place."""
    free = threading.Event()

    def behave(handler: Handler, *_: Any) -> None:
        free.wait(30)
        handler.whole(GOOD["en"])

    with (
        serving(behave) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, "--concurrency", "2") as front,
        socket.create_connection(("127.0.0.1", front.port)) as slow,
    ):
        slow.sendall(b"POST /v1/guidance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{")
        got: list[int] = []
        asking = [threading.Thread(target=lambda: got.append(front.guidance().status)) for _ in range(2)]
        for one in asking:
            one.start()
        until(lambda: engine.now == 2)
        answer = front.guidance()
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "1")
        assert front.metric("easyds_in_flight") == 2
        free.set()
        for one in asking:
            one.join()
        assert got == [200, 200]
        assert front.guidance().status == 200
        assert front.metric("easyds_in_flight") == 0


@pytest.mark.slow
def test_a_body_that_does_not_come(front: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=30) as slow:
        slow.sendall(b"POST /v1/guidance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_time_is_up(tmp_path: Path) -> None:
    free = threading.Event()
    with (
        serving(lambda handler, *_: free.wait(30) and None) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, "--timeout", "0.3") as front,
    ):
        for path, body in (
            ("/v1/guidance", {"message": QUESTION}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ):
            answer = front.ask(path, body)
            assert (answer.status, answer.code) == (504, "timeout")
        assert front.metric("easyds_in_flight") == 0
        free.set()


@pytest.mark.parametrize(
    ("status", "body", "told", "said"),
    [
        (400, {"error": {"message": "prompt too long"}}, 400, "prompt too long"),
        (422, {"detail": "Unexpected fields"}, 422, "Unexpected fields"),
        (401, {"error": {"message": "the engine's key"}}, 502, "HTTP 401"),
        (500, {"error": {"message": "Traceback /secret/path"}}, 502, "HTTP 500"),
    ],
)
def test_an_engine_that_refuses(front: Gateway, engine: Endpoint, status: int, body: Any, told: int, said: str) -> None:
    engine.behave = lambda handler, *_: handler.send(status, json.dumps(body).encode())
    for path, asked in (
        ("/v1/guidance", {"message": QUESTION}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
    ):
        answer = front.ask(path, asked)
        assert answer.status == told
        assert answer.code in ("engine_refused", "engine_failed")
        assert said in answer.json["error"]["message"]
        assert b"secret" not in answer.body


def test_an_engine_that_babbles(front: Gateway, engine: Endpoint) -> None:
    engine.behave = lambda handler, *_: handler.send(200, b'{"choices": []}')
    assert (front.guidance().status, front.guidance().code) == (502, "engine_failed")


def test_no_engine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
    with gateway(write_package(tmp_path / "p"), "--engine-url", url) as front:
        assert (front.guidance().status, front.guidance().code) == (502, "engine_failed")
        health = front.ask("/healthz")
        assert (health.status, health.json["engine"]) == (503, False)
        assert front.metric('easyds_requests_total{route="/v1/guidance",status="502"}') == 2


def test_an_engine_that_still_loads(tmp_path: Path) -> None:
    """Its name for the model is asked for again once it is ready."""
    with serving(says(GOOD["en"])) as engine:
        engine.health = 503
        with gateway(write_package(tmp_path / "p"), "--engine-url", engine.url) as front:
            assert (front.guidance().status, front.ask("/healthz").status) == (502, 503)
            engine.health = 200
            assert (front.guidance().status, front.ask("/healthz").status) == (200, 200)
            assert [one["model"] for one in engine.requests] == ["m"]


def test_the_engine_s_password_is_not_shown(tmp_path: Path) -> None:
    with serving(says(GOOD["en"])) as engine:
        url = engine.url.replace("http://", "http://me:planted@")
        with gateway(write_package(tmp_path / "p"), "--engine-url", url, EASYDS_ENGINE_KEY="planted-too") as front:
            assert "planted" not in "".join(front.said) + front.ask("/metrics").body.decode()


def test_the_engine_s_own_key(tmp_path: Path) -> None:
    with serving(says(GOOD["en"])) as engine:
        keys = {"EASYDS_ENGINE_KEY": "engines", "EASYDS_SERVE_KEYS": "clients"}
        with gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, **keys) as front:
            assert front.ask("/v1/guidance", {"message": QUESTION}, Authorization="Bearer clients").status == 200
        assert engine.keys == {"Bearer engines"}


def test_an_engine_that_comes_back(tmp_path: Path) -> None:
    """The gateway may start before its engine and outlive it."""
    with endless() as (process, url), gateway(write_package(tmp_path / "p"), "--engine-url", url) as front:
        assert front.ask("/healthz").json == {
            "status": "ok",
            "engine": True,
            "model": "tutor",
            "digest": "d" * 64,
            "log_rows_lost": 0,
        }
        process.kill()
        process.wait()
        assert front.ask("/healthz").status == 503
