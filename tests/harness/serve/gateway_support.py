"""The gateway as a process of its own, and an engine that can be killed."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endpoint import Handler
from support import command

PACKAGE = {
    "alias": "tutor",
    "digest": "d" * 64,
    "precision": "int8",
    "task": "ds-trace",
    "system": {"zh": "你是辅导老师。", "en": "You are a tutor."},
    "hint": {"zh": "〔提示等级 {level}〕", "en": "[hint level {level}]"},
    "max_new_tokens": 160,
}
GOOD = {
    "en": "Which end does a new element join, and which end does the next one leave from?",
    "zh": "想一想：新元素从哪一端进入，又从哪一端离开？",
}
QUESTION = "My queue gives 3 first after I put in 1, 2, 3. Why?"
READY_S = 60.0


def write_package(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({**PACKAGE, **changes}), encoding="utf-8")
    return folder


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, whose shape is looked at as well."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert "\n" not in error["message"]
        return error["code"]


@dataclass
class Gateway:
    """`easyds serve` under way."""

    process: subprocess.Popen[str]
    port: int
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any = None, *, method: str | None = None, **headers: str) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def guidance(self, message: str = QUESTION, **more: Any) -> Answer:
        return self.ask("/v1/guidance", {"message": message, **more})

    def metric(self, name: str, **headers: str) -> float:
        """A metric's value, 0 if it was never counted."""
        text = self.ask("/metrics", **headers).body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found[1]) if found else 0.0

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(kind)
        return self.ended()

    def ended(self) -> int:
        assert self.process.stderr is not None
        code = self.process.wait(60)
        self.said.append(self.process.stderr.read())
        return code


@contextmanager
def gateway(*args: str | Path, before: str = "", **env: str) -> Iterator[Gateway]:
    """`easyds serve ARGS` on a free port, ready. It is killed if the test did not stop it."""
    process = subprocess.Popen(
        command("serve", "--port", "0", *args, before=before),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    try:
        yield Gateway(process, *_ready(process))
    finally:
        process.kill()
        process.wait()


def _ready(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    assert process.stderr is not None
    said: list[str] = []
    while line := process.stderr.readline():
        said.append(line)
        if found := re.search(r" on http://[^ ]*:(\d+); ", line):
            return int(found[1]), said
    raise AssertionError("".join(said))


def says(*texts: str) -> Callable[[Handler, dict[str, Any], int], None]:
    """An engine that answers with the texts in turn, the last one for ever."""
    left = list(texts)

    def behave(handler: Handler, _: dict[str, Any], attempt: int) -> None:
        handler.whole(left.pop(0) if len(left) > 1 else left[0])

    return behave


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


ENDLESS = """
import asyncio, json, socket, sys
import uvicorn

async def app(scope, receive, send):
    headers = [(b"content-type", b"text/event-stream" if scope["method"] == "POST" else b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "GET":
        return await send({"type": "http.response.body", "body": b'{"data": [{"id": "m"}]}'})
    part = {"choices": [{"index": 0, "delta": {"content": "on " * BIG}}]}
    while True:
        body = b"data: " + json.dumps(part).encode() + b"\\n\\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(PAUSE)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")).run([listener])
"""


@contextmanager
def endless(big: int = 1, pause: float = 0.01) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real ASGI server whose streams never end: its process, and its address."""
    code = ENDLESS.replace("BIG", str(big)).replace("PAUSE", str(pause))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            select.select([process.stdout], [], [], READY_S)
            yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()
