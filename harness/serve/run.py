"""`easyds serve`: the engine started (or found), the gateway in front of it, and the end of both.

At SIGTERM or Ctrl-C the gateway drains: what is at work is finished, new requests get 503, the log is written out. A
second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn
from yarl import URL

from harness.errors import EnvironmentProblem, UsageError
from harness.models.checkpoint import read_config
from harness.models.server import Server
from harness.serve.admission import LOOPBACK, Admission, Limits
from harness.serve.engine import Engine
from harness.serve.gateway import Gateway
from harness.serve.log import Log
from harness.serve.package import Package, read

GRACE_S = 5
"""Longest that connections may take to close once nothing is at work"""
KEEP_S = 75
"""Longer than proxies and clients keep an idle connection, so that none sends into one that is being closed"""
SWITCH_S = 0.0002
"""The log's thread holds the interpreter no longer than this while answers wait (Python's own: 5 ms)"""
WATCH_S = 0.5


def serve(
    folder: Path, host: str, port: int, engine_url: str | None, engine: str, log: Path | None, limits: Limits
) -> None:
    """Serve until stopped.

    Raises UsageError for a public host without keys, EnvironmentProblem for a port in use, a checkpoint that does not
    load, an engine that ended, a log that could not be written.
    """
    keys = [key.strip() for key in os.environ.get("EASYDS_SERVE_KEYS", "").split(",") if key.strip()]
    if host not in LOOPBACK and not keys:
        raise UsageError(f"--host {host} can be reached from other machines: set EASYDS_SERVE_KEYS first.")
    _raise_file_limit()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the gateway runs: what was started is ended
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(_bind(host, port))
            package = read(folder, weighed=engine_url is None)
            kept = Log(log) if log else None
            if kept:
                stack.callback(kept.close)
                sys.setswitchinterval(SWITCH_S)
            server = None if engine_url else _start(folder, engine, package)
            if server:
                stack.callback(server.close)
            asyncio.run(_run(listener, package, engine_url, server, kept, Admission(limits, keys)))
            if server and server.ended():
                raise EnvironmentProblem(f"the engine ended by itself: {server.last_line()}")
    except KeyboardInterrupt:  # before the gateway ran, or a second time
        return


async def _run(
    listener: socket.socket,
    package: Package,
    engine_url: str | None,
    server: Server | None,
    log: Log | None,
    admission: Admission,
) -> None:
    url = server.url if server else str(engine_url)
    model, key = server.model if server else None, "" if server else os.environ.get("EASYDS_ENGINE_KEY", "")
    async with Engine(url, package.alias, model, key) as engine:
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        kind, place = server.engine if server else "engine", URL(url).with_user(None).with_query(None)
        ready = (
            f"{package.alias} ({package.precision}, {package.digest[:8]}) on http://{host}:{port}; {kind} at {place}"
        )
        front = _Front(Gateway(package, engine, admission, log), admission, ready)
        watch = asyncio.create_task(_watch(server, admission)) if server else None
        stop = asyncio.create_task(front.stop_when_drained())
        await front.serve([listener])
        for task in filter(None, (watch, stop)):
            task.cancel()


class _Front(uvicorn.Server):
    """uvicorn, with a drain in place of its own end at a signal, which would refuse connections where 503 is due."""

    def __init__(self, app: Gateway, admission: Admission, ready: str) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=KEEP_S,
            )
        )
        self._admission, self._ready = admission, ready
        self._loop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, file=sys.stderr, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._admission.draining.is_set():
            self.should_exit = self.force_exit = True
        self._loop.call_soon_threadsafe(self._admission.draining.set)

    async def stop_when_drained(self) -> None:
        await self._admission.drained()
        self.should_exit = True


async def _watch(server: Server, admission: Admission) -> None:
    """Drain when the engine is gone: whoever supervises this process starts both again."""
    while not server.ended():
        await asyncio.sleep(WATCH_S)
    admission.draining.set()


def _start(folder: Path, engine: str, package: Package) -> Server:
    server = Server(str(folder.resolve()), engine, package.alias)
    for line in _apart(folder) if server.engine == "transformers" else ():
        print(f"easyds: {line}", file=sys.stderr)
    return server


def _apart(folder: Path) -> Iterator[str]:
    """What `transformers serve` will do otherwise than a request says, because of the checkpoint's generation config."""
    path = folder / "generation_config.json"
    config = read_config(path) if path.exists() else {}
    if config.get("do_sample") is not True:
        yield f"{path.name} does not say do_sample, so no temperature counts: a second answer will be the first again."
    if config.get("repetition_penalty", 1.0) != 1.0:
        yield f"{path.name} sets a repetition_penalty, under which the checkpoint was not benchmarked."


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY by it
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EnvironmentProblem(
            f"{host}:{port} cannot be listened on ({error.strerror}). Choose another --port."
        ) from error
    return listener


def _raise_file_limit() -> None:
    """As many open connections as the system lets this user have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
