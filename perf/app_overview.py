"""Seconds until the app's overview of a million scores stands on the screen.

The runs are those of `board_scale.py` at 10^6: 100 systems, 1,000 items, 10 criteria, as JSONL files, with the Parquet
caches that `easyds board` made of them. `easyds app` serves them; Chromium (`make browser`) looks at 1380 x 900. The
clock stops when both charts are drawn and the script has ended.

- `cold`: the first page of all, from asking for it: it loads the app into the server and reads the runs;
- `visit`: the page of a new visitor, who loads Streamlit's own JavaScript anew;
- `warm`: coming to the overview from another page of an open tab; `warm_cpu`: CPU seconds of server and browser in it.

Medians count. `load` is the machine's load average at the end: above its cores, the times say more about the others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import board_scale
import psutil
from common import Report, options

from harness import task as tasks

DONE = """() => document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]")
    && document.querySelectorAll("[data-testid=stVegaLiteChart] svg.marks").length == 2
    && document.querySelectorAll("[data-testid=stDownloadButton]").length == 2"""
TASK = """name: perf
version: "1"
description: {zh: 性能, en: performance}
license: CC0-1.0
items: items.jsonl
rubric: guidance
scorers: []
system: {zh: 辅导学生。, en: Tutor the student.}
"""


def make(folder: Path) -> Path:
    """The task's file and a hundred runs beside it."""
    items = board_scale.make_task(1_000).items
    rows = [json.dumps(asdict(item), ensure_ascii=False) for item in items]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    file = folder / "task.yaml"
    file.write_text(TASK, encoding="utf-8")
    task = tasks.load(str(file))
    for system in range(board_scale.SYSTEMS):
        board_scale.write_jsonl(board_scale.make_run(folder / "runs", task, system), task, system)
    return file


def cpu() -> float:
    """CPU seconds so far of the server and the browser: every process below this one."""
    times = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times.append(process.cpu_times())
    return sum(one.user + one.system for one in times)


def looks(address: str, count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of `count` new visitors, and of as many returns to the overview in the tab of the last, with their
    CPU seconds."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    visits, returns, used = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for number in range(count):
            page = browser.new_context(viewport={"width": 1380, "height": 900}, locale="en-GB").new_page()
            started = perf_counter()
            page.goto(address)
            page.wait_for_function(DONE, timeout=120_000, polling=20)
            visits.append(perf_counter() - started)
            if number < count - 1:
                page.context.close()
        for _ in range(count):
            page.get_by_role("link", name="Runs").click()
            page.get_by_role("heading", name="All attempts").wait_for(timeout=120_000)
            page.wait_for_function(DONE.replace("== 2\n    && ", "== 0 && ", 1), timeout=120_000, polling=20)
            before, started = cpu(), perf_counter()
            page.get_by_role("link", name="Overview").click()
            page.wait_for_function(DONE, timeout=120_000, polling=20)
            returns.append(perf_counter() - started)
            used.append(cpu() - before)
        browser.close()
    return visits, returns, used


def main() -> int:
    chosen = options(__doc__)
    report = Report("app_overview", chosen.quick, chosen.json)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = make(folder)
        sleep(3)  # a cache is made of files that have settled
        command = [sys.executable, "-c", "from harness.cli import main; main()"]
        place = ["--runs", str(folder / "runs"), "--task", str(file)]
        subprocess.run([*command, "board", *place], check=True, stdout=subprocess.DEVNULL)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen([*command, "app", *place, "--port", str(port)], start_new_session=True)
        try:
            while server.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    sleep(0.1)
            (cold, *visits), warm, used = looks(f"http://127.0.0.1:{port}/", 4 if chosen.quick else 10)
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.wait(30)
    report.figures |= {"cold": round(cold, 2), "visit": round(median(visits), 2), "warm": round(median(warm), 2)}
    report.figures |= {"warm_fastest": round(min(warm), 2), "warm_slowest": round(max(warm), 2), "times": len(warm)}
    report.figures |= {"warm_cpu": round(median(used), 2), "scores": 1_000_000, "load": round(os.getloadavg()[0], 1)}
    report.say(json.dumps(report.figures))
    report.bar("overview_warm_seconds", report.figures["warm"], "at_most", 2.0)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
