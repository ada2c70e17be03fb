"""Load on a served model: what it answers, how fast, at how many requests under way or how many a second.

*Closed loop*: so many users, each of whom asks again when answered: the most the server can do at that concurrency.
*Open loop*: requests come by a Poisson process at a rate, whether earlier ones were answered or not; latency counts from
the moment a request was due, so that a server which falls behind is seen to (no coordinated omission).
Requests are the task's own prompts, streamed. Every stage begins with a warm-up that is not counted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx2

from harness import measure
from harness.errors import EnvironmentProblem, UsageError
from harness.stats.quantiles import quantile

GOOD_S = 1.0
"""The design's promise: an answer within a second"""
FAILING = 0.01
"""Share of failed requests above which a stage does not count as carried"""
WARM = 1
"""Requests of each user, or seconds of arrivals, before anything is counted"""
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: seconds to its first text and to its end from when it was due, tokens, and why it failed ("" if not)."""

    first_s: float
    latency_s: float
    tokens: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one level of load gave. `level`: users (closed) or requests a second (open). Limits are 95 % intervals."""

    kind: str
    level: float
    seconds: float
    requests: int
    failed: int
    failures: dict[str, int]
    figures: dict[str, dict[str, float]]
    """name -> value, low, high, n"""

    @property
    def carried(self) -> bool:
        return self.requests > 0 and self.failed <= FAILING * self.requests


@dataclass(slots=True)
class Load:
    """Where and what to ask."""

    url: str
    model: str
    prompts: Sequence[list[dict[str, str]]]
    max_tokens: int
    key: str = ""
    timeout_s: float = 60.0
    seed: int = 0
    answers: list[Answer] = field(default_factory=list)
    _number: int = 0

    async def ask(self, client: httpx2.AsyncClient, due: float | None = None) -> Answer:
        """One streamed request. Whatever goes wrong is an answer that failed, with its kind."""
        turns = self.prompts[self._number % len(self.prompts)]
        self._number += 1
        began = time.perf_counter() if due is None else due
        body = {
            "model": self.model,
            "messages": turns,
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        first, tokens, pieces, failure = 0.0, 0, 0, ""
        try:
            async with client.stream("POST", f"{self.url}/v1/chat/completions", json=body) as response:
                if response.status_code != 200:
                    failure = f"status {response.status_code}"
                async for line in response.aiter_lines() if not failure else _nothing():
                    row = _event(line)
                    if "error" in row:
                        failure = "error in the stream"
                    if any((choice.get("delta") or {}).get("content") for choice in row.get("choices") or ()):
                        first = first or time.perf_counter()
                        pieces += 1
                    tokens = int((row.get("usage") or {}).get("completion_tokens") or tokens)
        except httpx2.TimeoutException:
            failure = "time-out"
        except httpx2.HTTPError as error:
            failure = type(error).__name__
        ended = time.perf_counter()
        return Answer((first or ended) - began, ended - began, tokens or pieces, failure)


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""


def _event(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line.removeprefix("data: "))
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


async def closed(load: Load, client: httpx2.AsyncClient, users: int, seconds: float) -> tuple[list[Answer], float]:
    """`users` at once for `seconds`; requests under way at the end are waited for and counted."""
    answers: list[Answer] = []
    for _ in range(WARM):
        await asyncio.gather(*(load.ask(client) for _ in range(users)))
    began = time.perf_counter()

    async def user() -> None:
        while time.perf_counter() - began < seconds:
            answers.append(await load.ask(client))

    await asyncio.gather(*(user() for _ in range(users)))
    return answers, time.perf_counter() - began


async def open_loop(load: Load, client: httpx2.AsyncClient, rate: float, seconds: float) -> tuple[list[Answer], float]:
    """Poisson arrivals at `rate` a second for `seconds`."""
    draw = Random(f"{load.seed} {rate}")
    due, arrivals = 0.0, []
    while (due := due + draw.expovariate(rate)) < WARM + seconds:
        arrivals.append(due)
    began = time.perf_counter()

    async def one(at: float) -> tuple[float, Answer]:
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        return at, await load.ask(client, due=began + at)

    found = await asyncio.gather(*map(one, arrivals))
    return [answer for at, answer in found if at >= WARM], max(seconds, time.perf_counter() - began - WARM)


def stage(kind: str, level: float, answers: Sequence[Answer], seconds: float) -> Stage:
    """The figures of one level of load. Rates carry a Poisson interval, quantiles one by order statistics."""
    good = [one for one in answers if not one.failure]
    figures: dict[str, dict[str, float]] = {}
    if good:
        for name, values in (
            ("first_token", [one.first_s for one in good]),
            ("latency", [one.latency_s for one in good]),
        ):
            for part in (50, 95, 99):
                figures[f"{name}_p{part}_s"] = asdict(quantile(values, part / 100))
        figures["requests_per_s"] = _rate(len(good), seconds)
        figures["goodput_per_s"] = _rate(sum(one.latency_s < GOOD_S for one in good), seconds)
        tokens = sum(one.tokens for one in good)
        figures["tokens_per_s"] = {"value": tokens / seconds, "n": len(good)}
    failures = Counter(one.failure for one in answers if one.failure)
    return Stage(kind, level, seconds, len(answers), sum(failures.values()), dict(failures), figures)


def _rates(stage: Stage) -> tuple[float, float]:
    return stage.figures["goodput_per_s"]["value"], stage.figures["requests_per_s"]["value"]


def _rate(count: int, seconds: float) -> dict[str, float]:
    """Events a second with the exact Poisson interval (Garwood 1936)."""
    from scipy.stats import chi2

    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    high = float(chi2.ppf(0.975, 2 * count + 2)) / 2
    return {"value": count / seconds, "low": low / seconds, "high": high / seconds, "n": count}


def test(
    load: Load, levels: Sequence[int], rates: Sequence[float], seconds: float, told: Callable[[Stage], None]
) -> dict[str, Any]:
    """Every level of load, one after the other, as the record that lies beside a quality run (`load.json`).

    Raises EnvironmentProblem if nobody answers at the address.
    """
    return asyncio.run(_test(load, levels, rates, seconds, told))


async def _test(
    load: Load, levels: Sequence[int], rates: Sequence[float], seconds: float, told: Callable[[Stage], None]
) -> dict[str, Any]:
    stages = []
    local = urlsplit(load.url).hostname in LOOPBACK
    async with _client(load) as client:
        if not load.model:
            load.model = await _model(client, load.url)
        with Watch(load.url if local else "") as watch:
            for users in levels:
                stages.append(stage("closed", users, *await closed(load, client, users, seconds)))
                told(stages[-1])
            for rate in rates:
                stages.append(stage("open", rate, *await open_loop(load, client, rate, seconds)))
                told(stages[-1])
    carried = [one for one in stages if one.carried and one.figures]
    best = max(carried, key=_rates, default=None)
    return {
        "model": load.model,
        "best": best and asdict(best),
        "local": local,
        "hardware": measure.hardware() if local else None,
        "max_tokens": load.max_tokens,
        "prompts": len(load.prompts),
        "good_s": GOOD_S,
        "server_memory_bytes": watch.peak,
        "stages": [asdict(one) for one in stages],
    }


@asynccontextmanager
async def _client(load: Load) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {load.key}"} if load.key else {}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=load.timeout_s, trust_env=False) as client:
        yield client


async def _model(client: httpx2.AsyncClient, url: str) -> str:
    """The first model that the server names."""
    try:
        response = await client.get(f"{url}/v1/models")
    except httpx2.HTTPError as error:
        raise EnvironmentProblem(
            f"nobody answers at {url} ({type(error).__name__}). Start 'easyds serve PACKAGE' first, or mend the address."
        ) from error
    if response.status_code == 401:
        raise EnvironmentProblem(f"{url} wants a key. Put it into EASYDS_LOADTEST_KEY.")
    try:
        return str(response.json()["data"][0]["id"])
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{url}/v1/models names no model. Give one with --model.") from error


class Watch:
    """The peak resident memory of the process that listens at an address on this machine, with all it started.

    `peak` is None where it cannot be told: another machine, or another user's process.
    """

    EVERY_S = 0.25

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port if url else None
        self.peak: int | None = None

    def __enter__(self) -> Watch:
        self._task = asyncio.get_running_loop().create_task(self._follow())
        return self

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _follow(self) -> None:
        import psutil

        server = await asyncio.to_thread(_listener, self._port) if self._port else None
        while server is not None:
            try:
                family = [server, *server.children(recursive=True)]
                self.peak = max(self.peak or 0, sum(one.memory_info().rss for one in family))
            except psutil.Error:
                pass
            await asyncio.sleep(self.EVERY_S)


def _listener(port: int) -> Any:
    import psutil

    for process in psutil.process_iter():
        try:
            if any(one.status == "LISTEN" and one.laddr.port == port for one in process.net_connections("tcp")):
                return process
        except psutil.Error:
            continue
    return None
