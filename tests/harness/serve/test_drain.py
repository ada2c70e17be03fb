"""The end of the gateway: what is at work is finished, new requests are refused, no answer is missing from the log."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from endpoint import Handler, serving
from gateway_support import GOOD, QUESTION, Gateway, gateway, says, until, write_package
from support import read_jsonl

CLIENTS = 16
SLOW_TO_LOG = "Call me at 138 1234 5678 about my queue. " * 15
"""Redacting it takes longer than answering it: at the end rows wait to be written"""


class Load(threading.Thread):
    """A client that asks until it is refused or cut off."""

    def __init__(self, front: Gateway, number: int) -> None:
        super().__init__(daemon=True)
        self.front, self.number = front, number
        self.answered: list[str] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        while self.statuses <= {200}:
            try:
                if self.number % 2:
                    answer = self.front.guidance(SLOW_TO_LOG)
                else:
                    turns = [{"role": "user", "content": SLOW_TO_LOG}]
                    answer = self.front.ask("/v1/chat/completions", {"messages": turns})
            except (ConnectionError, http.client.HTTPException):
                return
            self.statuses.add(answer.status)
            if answer.status == 200:
                self.answered.append(answer.headers["x-request-id"])


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_stopped_under_load(tmp_path: Path, kind: signal.Signals) -> None:
    log = tmp_path / "log.jsonl"
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, "--log", log) as front,
    ):
        clients = [Load(front, number) for number in range(CLIENTS)]
        for one in clients:
            one.start()
        until(lambda: sum(len(one.answered) for one in clients) > 10 * CLIENTS)
        assert front.stop(kind) == 0, front.said
        for one in clients:
            one.join(30)
            assert one.statuses <= {200, 503}
    answered = [name for one in clients for name in one.answered]
    logged = [row["id"] for row in read_jsonl(log)]
    assert len(set(answered)) == len(answered) > 10 * CLIENTS
    assert set(answered) <= set(logged)
    assert len(set(logged)) == len(logged)


def test_what_is_at_work_is_finished_and_new_requests_are_refused(tmp_path: Path) -> None:
    free = threading.Event()

    def behave(handler: Handler, *_: Any) -> None:
        free.wait(30)
        handler.whole(GOOD["en"])

    log = tmp_path / "log.jsonl"
    with (
        serving(behave) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, "--log", log) as front,
    ):
        got: list[Any] = []
        at_work = threading.Thread(target=lambda: got.append(front.guidance()))
        at_work.start()
        until(lambda: engine.now == 1)
        front.process.send_signal(signal.SIGTERM)
        until(lambda: front.ask("/healthz").json["status"] == "draining")
        time.sleep(0.5)  # time enough to do it wrong: uvicorn alone closes its door at once
        for path, body in (("/v1/guidance", {"message": QUESTION}), ("/v1/feedback", {}), ("/v1/chat/completions", {})):
            answer = front.ask(path, body)
            assert (answer.status, answer.code) == (503, "draining")
            assert answer.headers["connection"] == "close"
        free.set()
        at_work.join()
        assert front.ended() == 0
        assert got[0].status == 200
    assert [row["id"] for row in read_jsonl(log)] == [got[0].json["id"]]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    free = threading.Event()
    with (
        serving(lambda *_: free.wait(30) and None) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url) as front,
    ):
        cut_off = Load(front, 1)
        cut_off.start()
        until(lambda: engine.now == 1)
        front.process.send_signal(signal.SIGTERM)
        until(lambda: front.ask("/healthz").json["status"] == "draining")
        front.process.send_signal(signal.SIGTERM)
        front.ended()
        assert engine.now == 1, "the engine was still at work"
        cut_off.join(30)
        assert not cut_off.answered
        free.set()
