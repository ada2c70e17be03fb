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
from dataclasses import asdict, dataclass
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
LARGEST = 10_000_000
"""Characters of one answer after which nothing more is read"""
WARM = 1
"""Requests of each user, or seconds of arrivals, before anything is counted"""
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: seconds to its first text and to its end from when it was due, the clock at its end, tokens, and why it
    failed ("" if not)."""

    first_s: float
    latency_s: float
    ended: float
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
    temperature: float = 0.0
    _number: int = 0

    async def ask(self, client: httpx2.AsyncClient, due: float | None = None) -> Answer:
        """One streamed request. Whatever goes wrong is an answer that failed, with its kind."""
        turns = self.prompts[self._number % len(self.prompts)]
        self._number += 1
        began = time.perf_counter() if due is None else due
        told, failure = Told(), ""
        try:
            async with asyncio.timeout(self.timeout_s):
                failure = await self._follow(client, turns, told)
        except TimeoutError:
            failure = "time-out"
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            failure = type(error).__name__
        except (ValueError, TypeError, AttributeError, LookupError):
            failure = "malformed stream"
        ended = time.perf_counter()
        return Answer((told.first or ended) - began, ended - began, ended, told.tokens or told.pieces, failure)

    async def _follow(self, client: httpx2.AsyncClient, turns: list[dict[str, str]], told: Told) -> str:
        """Read one answer into `told`; why it is none, "" if it is one."""
        body = {
            "model": self.model,
            "messages": turns,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        size = 0
        async with client.stream("POST", f"{self.url}/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                return f"status {response.status_code}"
            async for line in response.aiter_lines():
                if (size := size + len(line)) > LARGEST:
                    return "too large"
                if failure := told.read(line):
                    return failure
        if not told.pieces:
            return "no text"
        return "" if told.done else "cut off"


@dataclass(slots=True)
class Told:
    """What a stream has said so far."""

    first: float = 0.0
    pieces: int = 0
    tokens: int = 0
    done: bool = False

    def read(self, line: str) -> str:
        """Take up one line; "" or what is wrong. Raises ValueError or TypeError for what is no event of a completion."""
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.done = True
        if not line.startswith("data:") or not data.startswith("{"):
            return ""
        row = json.loads(data)
        if "error" in row:
            return "error in the stream"
        for choice in row.get("choices") or ():
            if (choice.get("delta") or {}).get("content"):
                self.first = self.first or time.perf_counter()
                self.pieces += 1
            self.done = self.done or bool(choice.get("finish_reason"))
        self.tokens = int((row.get("usage") or {}).get("completion_tokens") or self.tokens)
        return ""


async def closed(load: Load, client: httpx2.AsyncClient, users: int, seconds: float) -> tuple[list[Answer], float]:
    """`users` at once for `seconds`; the answers, and the clock at the end of the window. What is under way then is waited
    for: its latency counts, not its answer."""
    answers: list[Answer] = []
    for _ in range(WARM):
        await asyncio.gather(*(load.ask(client) for _ in range(users)))
    began = time.perf_counter()

    async def user() -> None:
        while time.perf_counter() - began < seconds:
            answers.append(await load.ask(client))

    await asyncio.gather(*(user() for _ in range(users)))
    return answers, began + seconds


async def open_loop(load: Load, client: httpx2.AsyncClient, rate: float, seconds: float) -> tuple[list[Answer], float]:
    """Poisson arrivals at `rate` a second for `seconds`; the answers, and the clock at the end of the window."""
    draw = Random(f"{load.seed} {rate}")
    due, arrivals = 0.0, []
    while (due := due + draw.expovariate(rate)) < WARM + seconds:
        arrivals.append(due)
    began = time.perf_counter()

    async def one(at: float) -> tuple[float, Answer]:
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        return at, await load.ask(client, due=began + at)

    found = await asyncio.gather(*map(one, arrivals))
    return [answer for at, answer in found if at >= WARM], began + WARM + seconds


def stage(kind: str, level: float, answers: Sequence[Answer], end: float, seconds: float) -> Stage:
    """The figures of one level of load. Rates are of the answers that came within the window of `seconds` up to `end`, with a
    Poisson interval (approximate: a closed loop varies less, a falling queue more); quantiles are of all that were asked."""
    good = [one for one in answers if not one.failure]
    figures: dict[str, dict[str, float]] = {}
    if good:
        for name, values in (
            ("first_token", [one.first_s for one in good]),
            ("latency", [one.latency_s for one in good]),
        ):
            for part in (50, 95, 99):
                figures[f"{name}_p{part}_s"] = asdict(quantile(values, part / 100))
        came = [one for one in good if one.ended <= end]
        figures["requests_per_s"] = _rate(len(came), seconds)
        figures["goodput_per_s"] = _rate(sum(one.latency_s < GOOD_S for one in came), seconds)
        figures["tokens_per_s"] = {"value": sum(one.tokens for one in came) / seconds, "n": len(came)}
    failures = Counter(one.failure for one in answers if one.failure)
    return Stage(kind, level, seconds, len(answers), sum(failures.values()), dict(failures), figures)


def best(stages: Sequence[Stage]) -> Stage | None:
    """The level that gave most answers within a second, then most answers; None if none was carried."""
    able = [one for one in stages if one.carried and one.figures]
    rates = ("goodput_per_s", "requests_per_s")
    return max(able, key=lambda one: [one.figures[name]["value"] for name in rates], default=None)


def _rate(count: int, seconds: float) -> dict[str, float]:
    """Events a second with Garwood's (1936) interval for a Poisson count."""
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
        named = await _model(client, load.url)
        load.model = load.model or named
        with Watch(load.url if local else "") as watch:
            for users in levels:
                stages.append(stage("closed", users, *await closed(load, client, users, seconds), seconds))
                told(stages[-1])
            for rate in rates:
                stages.append(stage("open", rate, *await open_loop(load, client, rate, seconds), seconds))
                told(stages[-1])
    chosen = best(stages)
    return {
        "model": load.model,
        "best": chosen and asdict(chosen),
        "local": local,
        "hardware": measure.hardware() if local else None,
        "max_tokens": load.max_tokens,
        "temperature": load.temperature,
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
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
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
