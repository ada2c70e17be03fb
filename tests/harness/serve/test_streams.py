"""Chat completions passed through."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, Handler
from gateway_support import Gateway, endless, gateway, until, write_package

CHAT = {"messages": [{"role": "user", "content": "Why?"}]}
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"\xe6\x83\xb3 "}}]}\n\n',
    b": keep-alive\r\n\r\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"\\u4e00\\u60f3"},"finish_reason":"stop"}],"odd":  1}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}\n\ndata: [DONE]\n\n',
)


def chunked(handler: Handler, parts: tuple[bytes, ...]) -> None:
    """The parts as an engine streams them: each a chunk of its own, sent at once."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for part in (*parts, b""):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.flush()


def test_byte_for_byte(front: Gateway, engine: Endpoint) -> None:
    engine.behave = lambda handler, *_: chunked(handler, EVENTS)
    before = front.metric('easyds_tokens_total{kind="completion"}')
    answer = front.ask("/v1/chat/completions", {**CHAT, "stream": True, "model": "tutor", "top_p": 0.5, "own": [1]})
    assert answer.status == 200
    assert answer.body == b"".join(EVENTS)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert engine.requests == [{**CHAT, "stream": True, "model": "m", "top_p": 0.5, "own": [1]}]
    assert front.metric('easyds_tokens_total{kind="completion"}') == before + 2


def test_an_answer_that_is_not_streamed(front: Gateway, engine: Endpoint) -> None:
    body = b'{"choices": [{"message": {"content": "Why  not?"}}],   "odd": 1}'
    engine.behave = lambda handler, *_: handler.send(200, body)
    assert front.ask("/v1/chat/completions", CHAT).body == body


def _open(front: Gateway) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    connection.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True}))
    return connection, connection.getresponse()


def test_engine_killed_in_mid_stream(tmp_path: Path) -> None:
    """What came is passed on; then an error that clients of OpenAI's raise, and no [DONE]. The gateway lives."""
    with endless() as (process, url), gateway(write_package(tmp_path / "p"), "--engine-url", url) as front:
        connection, response = _open(front)
        assert response.readline().startswith(b'data: {"choices"')
        process.kill()
        rest = response.read().decode()
        connection.close()
        last = [line for line in rest.splitlines() if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_failed"
        assert "[DONE]" not in rest
        assert front.metric("easyds_in_flight") == 0
        assert front.ask("/v1/chat/completions", CHAT).status == 502


def test_half_an_object_is_no_answer(front: Gateway, engine: Endpoint) -> None:
    """A whole answer that breaks off is cut off for the client too."""

    def behave(handler: Handler, *_: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [')
        handler.close_connection = True

    engine.behave = behave
    with pytest.raises(http.client.IncompleteRead):
        front.ask("/v1/chat/completions", CHAT)


def test_a_stream_beyond_its_time(tmp_path: Path) -> None:
    with (
        endless() as (_, url),
        gateway(write_package(tmp_path / "p"), "--engine-url", url, "--timeout", "0.5") as front,
    ):
        connection, response = _open(front)
        last = [line for line in response.read().decode().splitlines() if line][-1]
        connection.close()
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"


def test_a_client_that_goes_away(tmp_path: Path) -> None:
    with endless() as (_, url), gateway(write_package(tmp_path / "p"), "--engine-url", url) as front:
        connection, response = _open(front)
        response.readline()
        assert front.metric("easyds_in_flight") == 1
        connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        until(lambda: front.metric("easyds_in_flight") == 0)
        assert front.metric('easyds_requests_total{route="/v1/chat/completions",status="499"}') == 1


def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """It holds up the engine's stream, not the gateway's memory and not its neighbours, and only until its time is up."""
    with (
        endless(big=20_000, pause=0) as (_, url),
        gateway(write_package(tmp_path / "p"), "--engine-url", url, "--timeout", "1.5") as front,
    ):
        connection, _ = _open(front)
        neighbour, response = _open(front)
        assert len(response.read(5_000_000)) == 5_000_000
        neighbour.close()
        until(lambda: front.metric("easyds_in_flight") == 0)
        connection.close()
