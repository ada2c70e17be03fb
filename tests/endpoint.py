"""A real HTTP server of chat completions on loopback, which behaves as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Endpoint(ThreadingHTTPServer):
    """A server of chat completions. `behave(handler, request, attempt)` answers one attempt of one prompt."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave: Callable[[Handler, dict[str, Any], int], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.health = 200
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.now = self.most = 0
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send(self.server.health, json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.guard:
            self.server.requests.append(request)
            self.server.keys.add(self.headers["Authorization"])
            self.server.attempts[asked(request)] += 1
            attempt = self.server.attempts[asked(request)]
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        try:
            self.server.behave(self, request, attempt)
        finally:
            with self.server.guard:
                self.server.now -= 1

    def refuse(self, status: int, message: str = "no", **headers: str) -> None:
        self.send(status, json.dumps({"error": {"message": message}}).encode(), **headers)

    def stream(self, parts: list[str], *, finish: str | None = "stop", usage: bool = True, raw: str = "") -> None:
        """The parts as server-sent events; without `finish` the connection breaks off after them."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for part in parts:
            self.event({"choices": [{"index": 0, "delta": {"content": part}}]})
        if raw:
            self.wfile.write(f"data: {raw}\n\n".encode())
        if finish:
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            if usage:
                self.event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}})
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def whole(self, text: str, *, finish: str = "stop", model: str = "m", refusal: str | None = None) -> None:
        """One answer that is not streamed."""
        message = {"role": "assistant", "content": text, "refusal": refusal}
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": usage,
        }
        self.send(200, json.dumps(body).encode())

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, data: dict[str, Any]) -> None:
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **data}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


def asked(request: dict[str, Any]) -> str:
    content = request["messages"][-1].get("content")
    return content if isinstance(content, str) else json.dumps(content)


@contextmanager
def serving(behave: Callable[[Handler, dict[str, Any], int], None]) -> Iterator[Endpoint]:
    server = Endpoint(behave)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
