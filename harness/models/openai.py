"""Any OpenAI-compatible endpoint: `openai/NAME --base-url URL` (vLLM, SGLang, transformers serve, Ollama, vendors).

The client library retries refused and failed requests (Retry-After honoured, else exponential backoff with jitter,
capped attempts); a stream that breaks off is asked again here under the same cap. Answers are streamed, so that the
time to the first token is seen.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI

from harness.errors import EnvironmentProblem
from harness.models import Options
from harness.types import Decoding, Failure, Model, Request, Response

ATTEMPTS = 5
PAUSE_S = 0.5
TIMEOUT_S = 120.0
DEFAULT_URL = "https://api.openai.com/v1"


class OpenAIModel:
    """A model behind an endpoint. Token counts are the server's; None where it tells none."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = f"openai/{name}"
        self._model = name
        self._url = options.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        self._concurrency = options.concurrency
        self._key = os.environ.get("OPENAI_API_KEY", "")
        if not self._key and options.base_url is None and "OPENAI_BASE_URL" not in os.environ:
            raise EnvironmentProblem(
                "OPENAI_API_KEY is not set. Export it, or give --base-url for a server that needs no key."
            )

    def identity(self) -> dict[str, Any]:
        return {
            "provider": "openai",
            "model": self._model,
            "base_url": public_url(self._url),
            "concurrency": self._concurrency,
        }

    def load(self) -> None:
        """Nothing to load: the server has the weights."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Response | Failure]:
        """Responses as they arrive; a request that still fails after all attempts is a Failure."""
        results: queue.SimpleQueue[Response | Failure | BaseException | None] = queue.SimpleQueue()
        stop = threading.Event()
        work = threading.Thread(target=self._work, args=(requests, decoding, results, stop), daemon=True)
        work.start()
        try:
            while (result := results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stop.set()

    def _work(self, requests: Sequence[Request], decoding: Decoding, results: Any, stop: threading.Event) -> None:
        try:
            asyncio.run(self._ask_all(requests, decoding, results, stop))
        except BaseException as error:
            results.put(error)
        results.put(None)

    async def _ask_all(
        self, requests: Sequence[Request], decoding: Decoding, results: Any, stop: threading.Event
    ) -> None:
        todo = iter(requests)
        timeout = httpx2.Timeout(TIMEOUT_S, connect=10.0)
        client = AsyncOpenAI(api_key=self._key or "none", base_url=self._url, max_retries=ATTEMPTS - 1, timeout=timeout)

        async def worker() -> None:
            for request in todo:
                if stop.is_set():
                    return
                results.put(await self._ask(client, request, decoding))

        async with client, asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(requests))):
                group.create_task(worker())

    async def _ask(self, client: AsyncOpenAI, request: Request, decoding: Decoding) -> Response | Failure:
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                return await self._stream(client, request, decoding)
            except APIStatusError as error:
                return Failure(request.item.id, request.sample, f"HTTP {error.status_code}")
            except APIConnectionError as error:
                return Failure(
                    request.item.id, request.sample, f"no connection to {self._url} ({type(error).__name__})"
                )
            except (APIError, httpx2.HTTPError, ValueError) as error:  # ValueError: a part that is not JSON
                reason = f"the stream broke off ({type(error).__name__})"
                await asyncio.sleep(min(8.0, PAUSE_S * 2**attempt) * random.uniform(0.75, 1.25))
        return Failure(request.item.id, request.sample, reason)

    async def _stream(self, client: AsyncOpenAI, request: Request, decoding: Decoding) -> Response:
        started = time.perf_counter()
        first: float | None = None
        text, finish, usage = [], None, None
        async for chunk in await self._open(client, request, decoding):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                if choice.delta.content:
                    first = first if first is not None else time.perf_counter() - started
                    text.append(choice.delta.content)
                finish = choice.finish_reason or finish
        if finish is None:
            raise httpx2.RemoteProtocolError("the stream ended without a finish reason")
        return Response(
            item=request.item.id,
            sample=request.sample,
            text="".join(text).strip(),
            finish_reason="length" if finish == "length" else "stop",
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            first_token_s=None if first is None else round(first, 6),
            latency_s=round(time.perf_counter() - started, 6),
            batch=None,
        )

    async def _open(self, client: AsyncOpenAI, request: Request, decoding: Decoding) -> AsyncIterator[Any]:
        messages: Any = [{"role": message.role, "content": message.content} for message in request.messages]
        return await client.chat.completions.create(
            model=self._model,
            messages=messages,
            max_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            seed=decoding.seed + request.sample,
            stream=True,
            stream_options={"include_usage": True},
        )


def public_url(url: str) -> str:
    """An address without the secrets it may carry (user:password@, ?key=...)."""
    return str(httpx2.URL(url).copy_with(username=None, password=None, query=None, fragment=None))


def open_model(name: str, options: Options) -> Model:
    return OpenAIModel(name, options)
