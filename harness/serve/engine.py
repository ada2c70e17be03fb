"""The engine behind the gateway, spoken to over one pool of connections (aiohttp: a fifth of httpx's CPU time)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from harness.serve.errors import Refusal

HEALTH_S = 2.0
KEEP_S = 4.0
"""Less than uvicorn, behind which most engines stand, keeps an idle connection"""
_PASSED_ON = (400, 413, 422, 429)


class Engine:
    """An OpenAI-compatible server at `url`. `model` is its name for the checkpoint; None asks it at the first request.

    Use as an asynchronous context manager. Times are limited by the caller.
    """

    def __init__(self, url: str, alias: str, model: str | None = None, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._alias, self._model = alias, model
        plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._headers = {**plain, **({"Authorization": f"Bearer {key}"} if key else {})}

    async def __aenter__(self) -> Engine:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def alive(self) -> bool:
        """Whether it answers at all."""
        try:
            async with asyncio.timeout(HEALTH_S), self._session.get(f"{self.url}/models") as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a chat completion. Raises Refusal if the engine cannot be reached, breaks off or refuses."""
        try:
            asked = json.dumps({**body, "model": await self._name()}, allow_nan=False).encode()
        except ValueError as error:
            raise Refusal(400, "the body holds a number that JSON does not have (NaN, Infinity)", "bad_json") from error
        try:
            async with self._session.post(f"{self.url}/chat/completions", data=asked) as response:
                if response.status != 200:
                    raise _refused(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Refusal(502, f"the engine broke off ({type(error).__name__})", "engine_failed") from error

    async def _name(self) -> str:
        """The engine's name for the checkpoint: its only model, or the one called like the alias."""
        if self._model is None:
            try:
                async with self._session.get(f"{self.url}/models") as response:
                    if response.status >= 500:
                        raise Refusal(502, f"the engine is not ready (HTTP {response.status})", "engine_failed")
                    names = [str(one["id"]) for one in json.loads(await response.read())["data"]]
            except (aiohttp.ClientError, OSError) as error:
                raise Refusal(502, f"the engine is not there ({type(error).__name__})", "engine_failed") from error
            except (ValueError, TypeError, KeyError):
                names = []
            if len(names) > 1 and self._alias not in names:
                raise Refusal(502, f"none of the engine's models is called {self._alias}", "engine_failed")
            self._model = names[0] if len(names) == 1 else self._alias
        return self._model


def _refused(status: int, body: bytes) -> Refusal:
    """The engine's own words for a request that it refused; not for other errors, which are
    between the gateway and the engine."""
    if status not in _PASSED_ON:
        return Refusal(502, f"the engine failed (HTTP {status})", "engine_failed")
    try:
        said = json.loads(body)
        error = said.get("error")
        message = error["message"] if isinstance(error, dict) else said.get("detail") or said["message"]
    except (ValueError, TypeError, KeyError, AttributeError):
        message = f"the engine refused the request (HTTP {status})"
    return Refusal(status, " ".join(str(message).split())[:300], "engine_refused")
