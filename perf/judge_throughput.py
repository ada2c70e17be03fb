"""What the judge scorer costs beside the judge: 256 judgements of a server that takes 200 ms each, 32 side by side.

The server is a process of its own (asyncio, HTTP/1.1 kept alive) that answers each question 200 ms after it has read
it, with a verdict that carries the question's token: 256 / 32 x 0.2 = 1.6 s at best. Both arms ask it the same
questions in this process, taking turns: the scorer with its journal on disk, parsing and scores; and a plain loop of
`AsyncOpenAI` behind a semaphore, which keeps nothing. Wall time from the first question to the last score; the fastest
repetition decides, because other work on the machine can only make one slower. Medians are reported.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import Report, options
from openai import AsyncOpenAI

from harness import task as tasks
from harness.record import read_lines
from harness.scorers.judge import JUDGEMENTS, Judge
from harness.scorers.judge.prompt import new_token
from harness.types import Item, Response

JUDGED, WIDTH, ANSWER_S, RATIO = 256, 32, 0.2, 1.15
TOKEN = re.compile('(?:Token: |令牌：)([0-9-]{8})"'.encode())
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
CRITERIA = ("G1", "G2", "G3", "D1", "D2", "D3")


def completion() -> bytes:
    """A chat completion whose verdict has the token TTTTTTTT."""
    labels = {name: "pass" if name.startswith("G") else "yes" for name in CRITERIA}
    message = {"role": "assistant", "content": json.dumps({"token": "TTTTTTTT", **labels})}
    usage = {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    body = json.dumps(whole).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, template: bytes) -> None:
    """One connection's requests, each answered ANSWER_S after it was read."""
    loop = asyncio.get_running_loop()
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        due = loop.time() + ANSWER_S
        sent = template.replace(b"TTTTTTTT", TOKEN.findall(body)[-1])
        await asyncio.sleep(due - loop.time())
        writer.write(sent)


async def serve() -> None:
    """The server process: says its port, and answers until it is ended."""
    template = completion()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer, template)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def by_scorer(url: str, items: Sequence[Item], responses: Sequence[Response]) -> float:
    """Seconds of the scorer. Raises AssertionError if a score or a journal row is missing."""
    judge = Judge(model="m", base_url=url, form="short", criteria=";".join(CRITERIA), concurrency=WIDTH)
    by_id = {item.id: item for item in items}
    with tempfile.TemporaryDirectory() as folder:
        judge.open(Path(folder))
        started = time.perf_counter()
        scores = list(judge.score(by_id, responses))
        seconds = time.perf_counter() - started
        judge.close()
        assert all(one.value is not None for one in scores)
        assert len(scores) == JUDGED * len(CRITERIA)
        assert len(list(read_lines(Path(folder) / JUDGEMENTS))) == JUDGED
    return seconds


async def plainly(url: str, items: Sequence[Item], responses: Sequence[Response]) -> float:
    """Seconds of a loop that only asks."""
    judge = Judge(model="m", base_url=url, form="short", criteria=";".join(CRITERIA))
    by_id = {item.id: item for item in items}
    asked = [judge.question(by_id[one.item], one.text).messages(new_token()) for one in responses]
    width = asyncio.Semaphore(WIDTH)
    async with AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def one(messages: list[dict[str, str]]) -> str:
            async with width:
                reply = await client.chat.completions.create(model="m", messages=messages, temperature=0.0)  # type: ignore[arg-type]
                return reply.choices[0].message.content or ""

        started = time.perf_counter()
        texts = await asyncio.gather(*map(one, asked))
        seconds = time.perf_counter() - started
    assert len(texts) == JUDGED
    return seconds


def main() -> int:
    chosen = options(__doc__)
    report = Report("judge_throughput", chosen.quick, chosen.json)
    os.environ["EASYDS_JUDGE_KEY"] = "none"
    items = tasks.load("ds-trace").items[:JUDGED]
    responses = [Response(one.id, 0, one.references[0], "stop", None, None, None, None, None) for one in items]
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        times: dict[str, list[float]] = {"scorer": [], "plain": []}
        for _ in range(3 if chosen.quick else 10):
            times["scorer"].append(by_scorer(url, items, responses))
            times["plain"].append(asyncio.run(plainly(url, items, responses)))
        server.kill()
    ideal = JUDGED / WIDTH * ANSWER_S
    for arm, some in times.items():
        best, median = min(some), statistics.median(some)
        report.figures[arm] = {"fastest_s": round(best, 3), "median_s": round(median, 3), "runs": len(some)}
        report.say(f"{arm}: fastest {best:.3f} s, median {median:.3f} s of {len(some)}; ideal {ideal:.1f} s")
    report.bar("scorer_to_ideal", round(min(times["scorer"]) / ideal, 3), "at_most", RATIO)
    return report.finish()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(serve())
    sys.exit(main())
