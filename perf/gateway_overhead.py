"""What the gateway costs beside the engine: /v1/guidance with 1, 4, 16 and 64 requests under way, asked directly and through.

The engine is a process of its own (asyncio, HTTP/1.1 kept alive) that answers each completion 100 ms after it has read
it. The gateway is `easyds serve` with that engine, started twice: without a log, and with one. No
two questions and no two answers are the same. Clients are plain asyncio streams in this process; each asks again as soon as it was
answered, and their starts are spread over the 100 ms, as students do not ask all at once. Both arms take turns.

Added: the median of the gateway's answers less the median of the engine's own. CPU: user and system time of the gateway's
process over the requests. The best repetition of each arm decides, because other work on the machine can only make one
slower; medians of the repetitions are reported beside it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import Report, environment, options

ROOT = Path(__file__).resolve().parent.parent
ANSWER_S, WIDTHS = 0.1, (1, 4, 16, 64)
ADDED_MS, CPU_MS = 5.0, 3.0
NUMBER = b"10000"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
COUNTER = itertools.count(int(NUMBER))
PACKAGE = {
    "alias": "stub",
    "digest": "0" * 64,
    "precision": "none",
    "task": "ds-trace",
    "system": {"zh": "你是数据结构课程的辅导老师。", "en": "You are a data structures tutor."},
    "hint": {"zh": "〔提示等级 {level}〕", "en": "[hint level {level}]"},
}
ASKED = (
    "Seven keys go into an empty hash table of size 7 in this order: 64, 22, 43, 15, 8, 36, 71. Collisions are resolved "
    "by linear probing with step +1. I got 1, 2, 3, 4, 5, 6, 0 for the slots, in try number 10000. Is it right?"
)
REPLY = "Look at the slot that key 43 probes first. Which key is there already, and where does the probe go from there? 10000"


def http(body: bytes, first: str = "HTTP/1.1 200 OK") -> bytes:
    head = f"{first}\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def completion() -> bytes:
    usage = {"prompt_tokens": 160, "completion_tokens": 26, "total_tokens": 186}
    choice = {"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": usage}
    return http(json.dumps(whole).encode())


async def engine() -> None:
    """The engine's process: says its port, and answers until it is ended."""
    answer, models = completion(), http(json.dumps({"data": [{"id": "stub"}]}).encode())

    counter = itertools.count(int(NUMBER))

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if length := LENGTH.search(head):
                    await reader.readexactly(int(length[1]))
                    await asyncio.sleep(ANSWER_S)
                writer.write(answer.replace(NUMBER, b"%d" % next(counter)) if length else models)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass
class Gateway:
    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of user and system time so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def gateway(folder: Path, engine_port: int, *more: str) -> Iterator[Gateway]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", "serve", str(folder), "--port", "0"]
    command += ["--engine-url", f"http://127.0.0.1:{engine_port}/v1", *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"on http://127\.0\.0\.1:(\d+);", said)
            assert found, said
            yield Gateway(int(found[1]), process.pid)
        finally:
            process.terminate()


async def ask(port: int, request: bytes, width: int, each: int) -> list[float]:
    """Seconds of every answer. Raises AssertionError for one that is not 200."""

    async def client(number: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(ANSWER_S * number / width)
        times = []
        for _ in range(each):
            started = time.perf_counter()
            writer.write(request.replace(NUMBER, b"%d" % next(COUNTER)))
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            assert head.startswith(b"HTTP/1.1 200"), head
            assert length
            await reader.readexactly(int(length[1]))
            times.append(time.perf_counter() - started)
        writer.close()
        return times[1:]

    return [one for some in await asyncio.gather(*map(client, range(width))) for one in some]


def turn(front: Gateway, engine_port: int, width: int, each: int) -> dict[str, float]:
    """Both arms once, in milliseconds."""
    asked = http(json.dumps({"message": ASKED, "hint_level": 1}).encode(), "POST /v1/guidance HTTP/1.1")
    messages = [{"role": "system", "content": PACKAGE["system"]["en"]}, {"role": "user", "content": ASKED}]
    plain = http(json.dumps({"model": "stub", "messages": messages}).encode(), "POST /v1/chat/completions HTTP/1.1")
    direct = asyncio.run(ask(engine_port, plain, width, each))
    before = front.cpu()
    through = asyncio.run(ask(front.port, asked, width, each))
    cpu = (front.cpu() - before) / (width * each)
    return {"direct": _ms(direct, 50), "through": _ms(through, 50), "p99": _ms(through, 99), "cpu": 1000 * cpu}


def _ms(seconds: list[float], percent: int) -> float:
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def measure(report: Report, name: str, front: Gateway, engine_port: int, quick: bool) -> None:
    report.say(
        f"{name}\n  width  engine ms  through ms  added ms: best (median)  p99 ms  CPU ms a request: best (median)"
    )
    for width in WIDTHS:
        each = 14 if quick else 20
        turns = [turn(front, engine_port, width, each) for _ in range(2 if quick else 10)]
        best = {key: min(one[key] for one in turns) for key in turns[0]}
        middle = {key: statistics.median(one[key] for one in turns) for key in turns[0]}
        for one in (best, middle):
            one["added"] = one["through"] - one["direct"]
        report.figures[f"{name}, {width} under way"] = {key: round(value, 2) for key, value in best.items()}
        report.say(
            f"  {width:>5}  {best['direct']:>9.1f}  {best['through']:>10.1f}  {best['added']:>8.2f} ({middle['added']:.2f})"
            f"{best['p99']:>16.1f}  {best['cpu']:>6.2f} ({middle['cpu']:.2f})"
        )
        report.bar(f"{name}_{width}_added_ms", round(best["added"], 2), "at_most", ADDED_MS)
        report.bar(f"{name}_{width}_cpu_ms", round(best["cpu"], 2), "at_most", CPU_MS)


def main() -> int:
    chosen = options(__doc__)
    report = Report("gateway_overhead", chosen.quick, chosen.json)
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, __file__, "--engine"], stdout=subprocess.PIPE, text=True) as stub,
    ):
        try:
            assert stub.stdout is not None
            port = int(stub.stdout.readline())
            (Path(folder) / "package.json").write_text(json.dumps(PACKAGE), encoding="utf-8")
            with gateway(Path(folder), port) as front:
                measure(report, "plain", front, port, chosen.quick)
            with gateway(Path(folder), port, "--log", str(Path(folder) / "log.jsonl")) as front:
                measure(report, "logged", front, port, chosen.quick)
        finally:
            stub.kill()
    return report.finish()


if __name__ == "__main__":
    if "--engine" in sys.argv:
        asyncio.run(engine())
    sys.exit(main())
