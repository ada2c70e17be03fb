"""Who may ask, and how much at once: keys, hosts, the number of requests at work, their time, and the drain."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Receive

from harness.serve.errors import Gone, Refusal, busy

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """`concurrency`: requests at work at once; `seconds`: longest that one may take in the engine."""

    concurrency: int = 64
    seconds: float = 60.0


class Admission:
    """Lets requests in. Without keys only pages and clients of this machine may ask: a foreign page in a browser can
    reach loopback too."""

    def __init__(self, limits: Limits, keys: Sequence[str]) -> None:
        self.limits = limits
        self.running = 0
        self.draining = asyncio.Event()
        self._keys = [key.encode() for key in keys]

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises Refusal: 401 without a known key; 403 for a foreign host or page where no key is asked for."""
        if not self._keys:
            hosts = [b"//" + headers.get(b"host", b"localhost"), headers.get(b"origin", b"//localhost")]
            if not all(_host(one) in LOOPBACK for one in hosts):
                raise Refusal(403, "asked from another host, which needs a key (EASYDS_SERVE_KEYS)", "foreign_host")
            return
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        known = [hmac.compare_digest(given.strip(), key) for key in self._keys]
        if kind.lower() != b"bearer" or not any(known):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, "no valid key: send 'Authorization: Bearer KEY'", "invalid_api_key", challenge)

    def require_open(self) -> None:
        """Raises Refusal (503) once a drain has begun."""
        if self.draining.is_set():
            raise busy("the gateway is being stopped", "draining")

    @asynccontextmanager
    async def work(self, receive: Receive) -> AsyncIterator[None]:
        """The time in which a request is at work. Raises Refusal: 503 while draining or full, 504 when time is up; Gone
        when the client went away."""
        self.require_open()
        if self.running >= self.limits.concurrency:
            raise busy(f"{self.limits.concurrency} requests are at work already", "overloaded")
        self.running += 1
        try:
            async with asyncio.timeout(self.limits.seconds), _while_connected(receive):
                yield
        except TimeoutError as error:
            raise Refusal(504, f"no answer within {self.limits.seconds:g} s", "timeout") from error
        finally:
            self.running -= 1

    async def drained(self) -> None:
        """Wait until a drain has begun and nothing is at work any more."""
        await self.draining.wait()
        while self.running:
            await asyncio.sleep(0.05)


def _host(address: bytes) -> str:
    try:
        return urlsplit(address.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


@asynccontextmanager
async def _while_connected(receive: Receive) -> AsyncIterator[None]:
    """Raises Gone, wherever the body is just then, when the client goes away."""
    me, gone = asyncio.current_task(), False
    assert me is not None

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        me.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and me.uncancel() == 0:
            raise Gone from None
        raise
    finally:
        watcher.cancel()
