"""Questions to a judge behind an OpenAI-compatible endpoint, asked side by side, every paid reply kept in a journal.

Failure policy (docs/evaluation.md): refused for a while, or no connection: asked again with a growing pause, at most
ATTEMPTS times and WAIT_S seconds; Retry-After is kept to, and fewer questions go out at once. A wrong key, name or
request stops everything with a hint. A reply that cannot be read gets one chance of repair. What then has no verdict
is unscored with its reason: never 0, never a guess.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI

from harness.errors import EasyDSError, EnvironmentProblem
from harness.models.openai import DEFAULT_URL, public_url
from harness.record import Lines, read_lines
from harness.scorers.judge.prompt import Question, new_token
from harness.scorers.judge.verdict import Unreadable, Verdict, parse

T = TypeVar("T")
ATTEMPTS = 6
PAUSE_S = 0.5
WAIT_S = 300.0
"""Longest that one question waits for its turn after refusals, and longest Retry-After that is kept to"""
TIMEOUT_S = 120.0
STAGGER_S = 0.002
"""Pause between the first questions: replies that come all at once wait for each other, wave after wave"""
KEYS = ("EASYDS_JUDGE_KEY", "OPENAI_API_KEY")
_HINTS = {
    400: "It does not take such a request: is the model one for chat, and long enough?",
    401: f"Its key is wrong: set {KEYS[0]} or {KEYS[1]}.",
    403: "The key has no right to use this model.",
    404: "It has no such model: check model= and base_url=.",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a judge is reached. `structured`: ask for JSON by response_format (dropped if the server refuses it)."""

    model: str
    base_url: str | None = None
    concurrency: int = 16
    max_tokens: int = 2000
    structured: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question: verdicts by criterion, or the reason why there are none; and the model's own name."""

    verdicts: Mapping[str, Verdict] | None
    reason: str = ""
    model: str = ""


@dataclass(slots=True)
class Account:
    """What judging cost, apart from what the judged system cost. Tokens count where the server tells them."""

    asked: int = 0
    failed: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    models: set[str] = field(default_factory=set)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one paid reply."""
        self.calls += 1
        self.prompt_tokens += row["prompt_tokens"] or 0
        self.completion_tokens += row["completion_tokens"] or 0
        if row["model"]:
            self.models.add(row["model"])

    def as_json(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "failed": self.failed,
            "reasons": dict(sorted(self.reasons.items())),
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "models": sorted(self.models),
        }


class Width:
    """How many questions are under way at once: halved by a refusal, one more after each full round that went well."""

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self._now = self._good = 0
        self._turn = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._turn:
            await self._turn.wait_for(lambda: self._now < self.limit)
            self._now += 1

    async def __aexit__(self, *_: object) -> None:
        async with self._turn:
            self._now -= 1
            self._turn.notify(max(1, self.limit - self._now))

    def refused(self) -> None:
        self.limit, self._good = max(1, self.limit // 2), 0

    def went_well(self) -> None:
        self._good += 1
        if self._good >= self.limit and self.limit < self.most:
            self.limit, self._good = self.limit + 1, 0


class Desk:
    """Asks questions in a thread of its own. `journal`: a JSONL file that only grows; None keeps none.

    Raises EnvironmentProblem without a key for an endpoint that is not named.
    """

    def __init__(self, endpoint: Endpoint, source: str, journal: Path | None) -> None:
        self.endpoint, self.source = endpoint, source
        self.account = Account()
        url = endpoint.base_url or os.environ.get("OPENAI_BASE_URL")
        key = next((os.environ[name] for name in KEYS if os.environ.get(name)), "")
        if not key and url is None:
            raise EnvironmentProblem(
                f"{KEYS[0]} is not set. Export it, or give base_url= for a judge that needs no key."
            )
        self._replies: dict[str, list[Mapping[str, Any]]] = {}
        self._journal: Lines | None = None
        if journal is not None:
            if journal.exists():
                for row in read_lines(journal):
                    if row["source"] == source:
                        self._replies.setdefault(row["key"], []).append(row)
                        self.account.add(row)
            self._journal = Lines(journal)
        self._structured = endpoint.structured
        self._asked: dict[str, Future[Answer]] = {}
        self._fatal: EasyDSError | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"judge {source}", daemon=True)
        self._thread.start()
        self._client, self._width = self._on_loop(self._open(url or DEFAULT_URL, key))

    def ask(self, questions: Sequence[Question]) -> list[Future[Answer]]:
        """The answers to come. A question that was asked before (by this desk, or by the journal) is not asked again.

        Raises EnvironmentProblem once the endpoint has refused for good; what was paid for is kept.
        """
        if self._fatal is not None:
            raise self._fatal
        keys = [question.key for question in questions]
        new = {key: question for key, question in zip(keys, questions) if key not in self._asked}
        self.account.asked += len(new)
        self._asked |= {key: Future() for key in new}
        self._loop.call_soon_threadsafe(self._begin, new)
        return [self._asked[key] for key in keys]

    def _begin(self, questions: Mapping[str, Question]) -> None:
        for number, (key, question) in enumerate(questions.items()):
            self._loop.call_later(STAGGER_S * min(number, self._width.limit), self._start, key, question)

    def _start(self, key: str, question: Question) -> None:
        task = self._loop.create_task(self._answer(question, key))
        task.add_done_callback(partial(_settle, self._asked[key]))

    def close(self) -> None:
        """Stop asking, and make the journal durable."""
        if self._loop.is_closed():
            return
        self._on_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._journal is not None:
            self._journal.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, url: str, key: str) -> tuple[AsyncOpenAI, Width]:
        timeout = httpx2.Timeout(TIMEOUT_S, connect=10.0)
        limits = httpx2.Limits(
            max_connections=self.endpoint.concurrency, max_keepalive_connections=self.endpoint.concurrency
        )
        http = httpx2.AsyncClient(timeout=timeout, limits=limits)
        client = AsyncOpenAI(api_key=key or "none", base_url=url, max_retries=0, timeout=timeout, http_client=http)
        return client, Width(self.endpoint.concurrency)

    async def _end(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._client.close()

    async def _answer(self, question: Question, key: str) -> Answer:
        answer = await self._with_repair(question, key)
        if answer.verdicts is None:
            self.account.failed += 1
            kind = answer.reason.split(":")[0]
            self.account.reasons[kind] = self.account.reasons.get(kind, 0) + 1
        return answer

    async def _with_repair(self, question: Question, key: str) -> Answer:
        """The first reply, or the one after it was told what was wrong with the first."""
        kept = self._replies.get(key, [])
        token = kept[0]["token"] if kept else new_token()
        messages = question.messages(token)
        answer = Answer(None)
        for turn in range(2):
            row = kept[turn] if turn < len(kept) else await self._paid(messages, key, token, question)
            if isinstance(row, Answer):
                return row
            try:
                return Answer(_read(row, question), model=row["model"])
            except Unreadable as problem:
                answer = Answer(None, f"{problem.kind}: {problem}", row["model"])
                if problem.kind in ("refusal", "content_filter"):
                    return answer
                again = _REPAIR[question.language].format(problem=problem, token=token)
                messages = [
                    *messages,
                    {"role": "assistant", "content": row["reply"]},
                    {"role": "user", "content": again},
                ]
        return answer

    async def _paid(
        self, messages: list[dict[str, str]], key: str, token: str, question: Question
    ) -> Mapping[str, Any] | Answer:
        """A reply, written to the journal before anything is made of it; or an Answer that says why there is none."""
        started = time.monotonic()
        reason = ""
        for attempt in range(ATTEMPTS):
            pause = min(30.0, PAUSE_S * 2**attempt) * random.uniform(0.75, 1.25)
            try:
                async with self._width:
                    if self._fatal is not None:
                        raise self._fatal
                    before = time.monotonic()
                    # not chat.completions.create, whose typed request and reply take half of the client's time
                    reply = await self._client.post(
                        "/chat/completions", cast_to=httpx2.Response, body=self._request(messages, question)
                    )
                    row = self._row(reply.json(), key, token, time.monotonic() - before)
                    self._width.went_well()
                    return self._record(row)
            except APIStatusError as error:
                reason = f"api_error: HTTP {error.status_code}"
                if error.status_code == 400 and self._structured and "response_format" in str(error):
                    self._structured = False
                    continue
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    self._fatal = _refused(self.endpoint, error.status_code)
                    raise self._fatal from error
                if error.status_code == 429:
                    self._width.refused()
                pause = _retry_after(error.response.headers) or pause
            except APIConnectionError as error:
                reason = f"api_error: no connection ({type(error.__cause__ or error).__name__})"
            except (APIError, ValueError) as error:
                reason = f"api_error: {type(error).__name__}"
            if attempt + 1 == ATTEMPTS or time.monotonic() - started + pause > WAIT_S:
                break
            await asyncio.sleep(pause)
        return Answer(None, reason)

    def _request(self, messages: list[dict[str, str]], question: Question) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": messages,
            "temperature": 0.0,
            "max_tokens": self.endpoint.max_tokens,
        }
        if self._structured and question.form != "short":
            request["response_format"] = {"type": "json_schema", "json_schema": _schema(question.allowed)}
        return request

    def _row(self, reply: Any, key: str, token: str, seconds: float) -> dict[str, Any]:
        """What is kept of a reply. Raises ValueError for what is no chat completion."""
        try:
            choice = (reply["choices"] or [{}])[0]
            message, usage = choice.get("message") or {}, reply.get("usage") or {}
            return {
                "source": self.source,
                "key": key,
                "token": token,
                "reply": _text(message.get("content")),
                "refusal": _text(message.get("refusal")),
                "finish_reason": _text(choice.get("finish_reason")),
                "model": public_name(_text(reply.get("model"))),
                "prompt_tokens": usage.get("prompt_tokens"),
                "completion_tokens": usage.get("completion_tokens"),
                "seconds": round(seconds, 3),
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError("no chat completion") from error

    def _record(self, row: dict[str, Any]) -> Mapping[str, Any]:
        self.account.add(row)
        if self._journal is not None:
            self._journal.append(row)
        return row


def _settle(future: Future[Answer], task: asyncio.Task[Answer]) -> None:
    if task.cancelled():
        future.cancel()
    elif error := task.exception():
        future.set_exception(error)
    else:
        future.set_result(task.result())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_REPAIR = {
    "zh": "上面的回答无法读取：{problem}。请只写那个 JSON 对象，令牌为 {token}。",
    "en": "Your answer could not be read: {problem}. Write only the JSON object, with the token {token}.",
}


def _read(row: Mapping[str, Any], question: Question) -> Mapping[str, Verdict]:
    if row["finish_reason"] == "content_filter":
        raise Unreadable("content_filter", "the provider filtered the answer")
    if row["refusal"]:
        raise Unreadable("refusal", "the judge refused")
    return parse(row["reply"], row["token"], question.allowed, question.texts, row["finish_reason"] == "length")


def _schema(allowed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The form of a verdict as JSON schema. Which label goes with which criterion is checked by us."""
    labels = sorted({label for some in allowed.values() for label in some} | {"unsure"})
    text = {"type": "string"}
    row = {
        "criterion": {"type": "string", "enum": list(allowed)},
        "quote": text,
        "reason": text,
        "label": {"type": "string", "enum": labels},
    }
    verdict = {"type": "object", "properties": row, "required": list(row), "additionalProperties": False}
    whole = {"token": text, "verdicts": {"type": "array", "items": verdict}}
    schema = {"type": "object", "properties": whole, "required": list(whole), "additionalProperties": False}
    return {"name": "verdict", "strict": True, "schema": schema}


def _refused(endpoint: Endpoint, status: int) -> EnvironmentProblem:
    where = endpoint.base_url and public_url(endpoint.base_url)
    return EnvironmentProblem(
        f"the judge{f' at {where}' if where else ''} refused with HTTP {status}. {_HINTS.get(status, '')} "
        "What was judged is kept: the same command goes on."
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by Retry-After (seconds or an HTTP date), at most WAIT_S; None without a readable one."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(WAIT_S, max(0.0, seconds)) if seconds == seconds else None


def public_name(model: str) -> str:
    """A model's name without where it lies on a disk: only the last part of a path."""
    if model.startswith(("/", ".", "~")) or "\\" in model or PureWindowsPath(model).drive:
        return PureWindowsPath(model.rstrip("/\\")).name or "model"
    return model
