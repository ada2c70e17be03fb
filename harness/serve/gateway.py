"""The gateway: one ASGI application. Every answer but a completion passed through is JSON; errors have OpenAI's shape."""

from __future__ import annotations

import json
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from starlette.responses import Response
from starlette.types import Message as Event
from starlette.types import Receive, Scope, Send

from harness import paths
from harness.serve import metrics, requests
from harness.serve.admission import Admission
from harness.serve.engine import Engine
from harness.serve.errors import Gone, Refusal
from harness.serve.guidance import Guidance, guide, prompt
from harness.serve.log import Log
from harness.serve.package import Package
from harness.serve.relay import Relay, broken

CLIENT_GONE = 499
"""The status that is counted when nobody was there to be answered"""


class Exchange:
    """One request and what was sent back."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, closing: bool) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = f"g-{uuid.uuid4().hex}"
        self.status = 0
        self.began = perf_counter()
        self._extra = [(b"x-request-id", self.id.encode()), *([(b"connection", b"close")] if closing else [])]

    @property
    def seconds(self) -> float:
        return round(perf_counter() - self.began, 4)

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            event["headers"] = [*event["headers"], *self._extra]
        await self._send(event)

    async def respond(self, response: Response) -> None:
        await response(self.scope, self.receive, self.send)


class Gateway:
    """Answers requests by one engine. `log` is None where the operator asked for none."""

    def __init__(self, package: Package, engine: Engine, admission: Admission, log: Log | None = None) -> None:
        self._package, self._engine, self._admission, self._log = package, engine, admission, log
        self.metrics = metrics.Metrics()
        self.metrics.in_flight.set_function(lambda: admission.running)
        self._routes: dict[str, tuple[str, Callable[[Exchange], Awaitable[None]]]] = {
            "/v1/guidance": ("POST", self._guidance),
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/feedback": ("POST", self._feedback),
            "/v1/models": ("GET", self._models),
            "/healthz": ("GET", self._health),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._document),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, self._admission.draining.is_set())
        route = scope["path"] if scope["path"] in self._routes else "other"
        try:
            await self._answer(exchange)
        except Gone:
            exchange.status = CLIENT_GONE
        except Refusal as refusal:
            await exchange.respond(refusal.response())
        except Exception:
            traceback.print_exc(file=sys.stderr)
            if not exchange.status:
                await exchange.respond(Refusal(500, "an error of the gateway's own", "internal").response())
        finally:
            self.metrics.requests.labels(route, exchange.status).inc()
            self.metrics.seconds.labels(route).observe(exchange.seconds)

    async def _answer(self, exchange: Exchange) -> None:
        path, asked = exchange.scope["path"], exchange.scope["method"]
        if path != "/healthz":
            self._admission.check(exchange.headers)
        if path not in self._routes:
            raise Refusal(404, f"there is nothing here; try {', '.join(self._routes)}", "not_found")
        method, handle = self._routes[path]
        if asked != method:
            raise Refusal(405, f"{path} takes {method}", "method_not_allowed", {"Allow": method})
        if method == "POST":
            self._admission.require_open()
        await handle(exchange)

    async def _guidance(self, exchange: Exchange) -> None:
        ask = requests.ask(await requests.read_object(exchange.receive))
        async with self._admission.work(exchange.receive):
            found = await guide(self._package, self._engine, ask)
        self._count(found, ask)
        answer = {
            "id": exchange.id,
            "guidance": found.text,
            "language": ask.language,
            "gates": found.verdicts[-1],
            "regenerated": found.regenerated,
            "fallback": found.fallback,
            "model": self._package.alias,
            "usage": found.usage,
        }
        self._keep_guidance(exchange, ask, found)
        await exchange.respond(_json(answer))

    def _count(self, found: Guidance, ask: requests.Ask) -> None:
        for verdicts in found.verdicts:
            self.metrics.gate(verdicts)
        self.metrics.used(found.usage)
        if found.regenerated:
            self.metrics.regenerated.inc()
        if found.fallback:
            self.metrics.fallbacks.labels(ask.language).inc()

    def _keep_guidance(self, exchange: Exchange, ask: requests.Ask, found: Guidance) -> None:
        features = {
            "language": ask.language,
            "hint_level": ask.hint_level,
            "turns": len(ask.dialogue) + 1,
            "message_chars": len(ask.message),
            "guidance_chars": len(found.text),
            "withheld": len(ask.withheld),
        }
        outcome = {"gates": found.verdicts, "regenerated": found.regenerated, "fallback": found.fallback}
        spent = {"engine_seconds": round(found.engine_s, 4), "usage": found.usage}
        turns = [{"role": one.role, "content": one.content} for one in prompt(self._package, ask)[1:]]
        texts = {"knowledge_point": ask.knowledge_point, "messages": turns, "guidance": found.text}
        self._keep("guidance", exchange, {**features, **outcome, **spent}, texts)

    async def _chat(self, exchange: Exchange) -> None:
        body = await requests.read_object(exchange.receive)
        turns = requests.messages(body, self._package.alias)
        relay, refused = Relay(self._engine), None
        try:
            async with self._admission.work(exchange.receive):
                await relay.pass_on(body, exchange.send)
        except Refusal as refusal:
            if not exchange.status:
                raise
            refused = refusal
        text, usage = relay.seen()
        self.metrics.used(usage)
        facts = {"turns": len(turns), "answer_chars": len(text), "broken": bool(refused), "usage": usage}
        self._keep("chat", exchange, facts, {"messages": turns, "answer": text})
        if refused and not relay.streamed:
            return  # the connection is cut: half an object must not look like an answer
        end = broken(refused) if refused else b""
        await exchange.send({"type": "http.response.body", "body": end, "more_body": False})

    async def _feedback(self, exchange: Exchange) -> None:
        found = requests.feedback(await requests.read_object(exchange.receive))
        if self._log is None:
            raise Refusal(404, "this gateway keeps no log, so no feedback either (--log)", "no_log")
        facts = {"kind": "feedback", "id": found["id"], "rating": found["rating"], "thumbs": found["thumbs"]}
        self._log.append(facts, {"comment": found["comment"]})
        self.metrics.feedback.inc()
        await exchange.respond(_json({"id": found["id"]}))

    def _keep(self, kind: str, exchange: Exchange, facts: dict[str, Any], texts: dict[str, Any]) -> None:
        """One row of the log, handed over before the end of the answer: whoever got an answer is in the log."""
        if self._log is not None:
            who = {"kind": kind, "id": exchange.id, "model": self._package.alias, "digest": self._package.digest}
            self._log.append({**who, "seconds": exchange.seconds, **facts}, texts)

    async def _models(self, exchange: Exchange) -> None:
        model = {"id": self._package.alias, "object": "model", "created": 0, "owned_by": "easyds"}
        await exchange.respond(_json({"object": "list", "data": [model]}))

    async def _health(self, exchange: Exchange) -> None:
        alive = await self._engine.alive()
        draining = self._admission.draining.is_set()
        state = "draining" if draining else "ok" if alive else "the engine does not answer"
        row = {"status": state, "engine": alive, "model": self._package.alias, "digest": self._package.digest}
        row["log_rows_lost"] = self._log.lost if self._log else 0
        await exchange.respond(_json(row, 200 if state == "ok" else 503))

    async def _metrics(self, exchange: Exchange) -> None:
        await exchange.respond(Response(self.metrics.text(), media_type=metrics.CONTENT_TYPE))

    async def _document(self, exchange: Exchange) -> None:
        await exchange.respond(Response(self._openapi, media_type="application/json"))

    @cached_property
    def _openapi(self) -> bytes:
        return json.dumps(paths.read_yaml(Path(__file__).with_name("openapi.yaml"))).encode()


def _json(row: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(row, ensure_ascii=False), status, media_type="application/json")
