"""Many connections, and many requests."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from endpoint import Endpoint, Handler, serving
from gateway_support import GOOD, QUESTION, Gateway, gateway, says, write_package

CROWD = 1000
BODY = json.dumps({"message": QUESTION}).encode()
REQUEST = b"POST /v1/guidance HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


def test_a_thousand_connections(front: Gateway, engine: Endpoint) -> None:
    """All are open at once and all ask at once: each is answered or told to come back, and then each is answered."""

    def behave(handler: Handler, *_: Any) -> None:
        time.sleep(0.02)
        handler.whole(GOOD["en"])

    async def crowd() -> tuple[Counter[int], Counter[int]]:
        streams = []
        for _ in range(CROWD // 50):
            streams += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", front.port) for _ in range(50)))
        for _, writer in streams:
            writer.write(REQUEST)
        at_once = Counter(await asyncio.gather(*(_answer(reader) for reader, _ in streams)))
        in_turn: Counter[int] = Counter()
        for reader, writer in streams[:20]:
            writer.write(REQUEST)
            in_turn[await _answer(reader)] += 1
        for _, writer in streams:
            writer.close()
        return at_once, in_turn

    engine.behave = behave
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    at_once, in_turn = asyncio.run(crowd())
    assert at_once.total() == CROWD
    assert set(at_once) <= {200, 503}
    assert at_once[200] >= 64
    assert in_turn == {200: 20}
    assert engine.most <= 64
    assert front.metric("easyds_in_flight") == 0


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten thousand answers, each logged: the last nine thousand take less than 8 MB."""
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url, "--log", tmp_path / "log.jsonl") as front,
    ):
        memory = psutil.Process(front.process.pid).memory_info

        async def ask(times: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            for _ in range(times):
                writer.write(REQUEST)
                assert await _answer(reader) == 200
            writer.close()

        async def clients(times: int) -> None:
            await asyncio.gather(*(ask(times // 8) for _ in range(8)))

        asyncio.run(clients(1000))
        early = memory().rss
        asyncio.run(clients(9000))
        late = memory().rss
        print(f"RSS after 1,000 requests {early / 1e6:.1f} MB, after 10,000 {late / 1e6:.1f} MB")
        assert late - early < 8_000_000
        assert front.stop() == 0
    assert sum(1 for _ in (tmp_path / "log.jsonl").open(encoding="utf-8")) == 10_000
