"""Time and memory of a board with intervals, ranks and tie groups over a million and ten million scores.

100 systems, 10 rubric criteria, clusters of two items: 1,000 items make 10^6 scores, 10,000 make 10^7. Each figure is
taken in a process of its own, in which modules are loaded before the clock starts:

- `board`: `harness.board.from_folder`, from opening the first manifest to the last rank, with the Parquet caches there;
- `parquet`: reading the same 100 Parquet files into Arrow tables and nothing else;
- `ratio`: the first over the second, by CPU time;
- `cold` (10^6 only): the first call of all, which parses the JSONL files and writes the caches;
- `memory`: peak resident set of the process that makes the board.

Times are CPU seconds of one thread, which is the time by the clock on a machine that does nothing else; the clock's
own are given as `..._wall`. The best of three processes counts (`--quick`: one, 10^6 only). At 10^6 the runs are JSONL files as a run writes them,
without evidence, and the board from the caches must be the board from the JSONL files. At 10^7 only the caches are
written, through the same function, beside empty JSONL files.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
from common import Report, cost, options

from harness import board, rubric
from harness.board import table as tables
from harness.record import MANIFEST, RESPONSES, SCHEMA_VERSION, SCORES, Run, write_json
from harness.types import Decoding, Item, KeyPoints, Message, Task

SYSTEMS = 100
CRITERIA = ("G1", "G2", "G3", "D1", "D2", "D3", "D4", "D5", "D6", "D7")
SOURCE = "check/perf@1"
LIMITS = {1_000: 1.0, 10_000: 5.0}
"""Items, and the seconds that a board may take."""


def make_task(count: int) -> Task:
    turn = (Message("user", "?"),)
    points = KeyPoints("", "", ())
    items = tuple(
        Item(f"item-{i:05}", f"c{i // 2:05}", "zh" if i % 2 else "en", "queue", 1, "test", 1, turn, points, "")
        for i in range(count)
    )
    return Task("perf", "1", items, rubric.load("guidance"), (), Decoding(), {}, f"perf-{count}", {}, "CC0-1.0")


def scores(count: int, system: int) -> dict[str, np.ndarray]:
    """Values of one system by criterion: skill from 0.5 to 0.95, difficulty shared by all, 1 % unscored."""
    difficulty = np.repeat(np.random.default_rng(0).normal(size=count // 2), 2)
    rng = np.random.default_rng(system + 1)
    found = {}
    for name in CRITERIA:
        skill = 0.2 + 1.8 * system / SYSTEMS + rng.normal(size=count) - difficulty
        values = (skill > 0) + 0.0 if name[0] == "G" else (skill > -0.5) + (skill > 0.5) + 0.0
        found[name] = np.where(rng.random(count) < 0.01, np.nan, values)
    return found


def make_run(root: Path, task: Task, system: int) -> Run:
    folder = root / f"run-{system:03}"
    folder.mkdir(parents=True)
    manifest = {
        **{"schema_version": SCHEMA_VERSION, "id": folder.name, "configuration_digest": folder.name},
        **{"created": f"2026-01-01T00:00:{system:06}", "status": "complete", "limit": None, "scorers": [SOURCE]},
        **{"system": f"system {system}", "identity": {"provider": "hf"}, "requests": len(task.items)},
        "task": {"name": task.name, "version": task.version, "digest": task.digest},
    }
    write_json(folder / MANIFEST, manifest)
    return Run(folder)


def write_jsonl(run: Run, task: Task, system: int) -> None:
    with open(run.folder / RESPONSES, "w") as file:
        for number, item in enumerate(task.items):
            row = {
                "item": item.id,
                "sample": 0,
                "text": "What does the next step change? " * 6,
                "finish_reason": "stop",
            }
            rest = {"prompt_tokens": 90, "completion_tokens": 40 + number % 50, "first_token_s": 0.03, "latency_s": 0.5}
            file.write(json.dumps({**row, **rest, "batch": 8}) + "\n")
    with open(run.folder / SCORES, "w") as file:
        for name, values in scores(len(task.items), system).items():
            for item, value in zip(task.items, values.tolist()):
                row = {"item": item.id, "sample": 0, "criterion": name, "source": SOURCE, "value": value, "reason": ""}
                if value != value:
                    row |= {"value": None, "reason": "the scorer gave nan"}
                file.write(json.dumps({**row, "evidence": None}) + "\n")


def write_cache(run: Run, task: Task, system: int) -> None:
    for name in (RESPONSES, SCORES):
        (run.folder / name).touch()
        os.truncate(run.folder / name, tables.CACHE_FROM)
    count = len(task.items)
    values, every = scores(count, system), np.ones(count, dtype=np.bool_)
    measured = {"latency_s": 0.5, "first_token_s": 0.03, "completion_tokens": 60.0}
    table = tables.Table(
        items=[item.id for item in task.items],
        item=np.arange(count),
        sample=np.zeros(count, dtype=np.intp),
        answered=every,
        measured={name: np.full(count, value) + np.arange(count) % 50 / 100 for name, value in measured.items()},
        values=dict(sorted(values.items())),
        applies=dict.fromkeys(sorted(values), every),
        sources=dict.fromkeys(sorted(values), SOURCE),
    )
    path = tables._cache_path(run)
    assert path is not None
    tables._save(table, path, tables._cache_key(run))


def child(root: Path, count: int, what: str) -> None:
    """Print seconds and what was seen, as JSON."""
    from pyarrow import parquet

    task = make_task(count)
    started, used = perf_counter(), process_time()
    if what == "parquet":
        files = sorted(root.glob(".cache/*.parquet"))
        seen = sum(parquet.ParquetFile(path).read(use_threads=False).num_rows for path in files)
    else:
        made = board.from_folder(task, root)
        seen = [made.digest, sum(row.rank is not None for row in made.rows), made.detectable]
    print(json.dumps({"seconds": process_time() - used, "wall": perf_counter() - started, "seen": seen}))


def measure(root: Path, count: int, what: str, times: int) -> dict[str, Any]:
    """The fastest of `times` processes, and the peak memory of that one."""
    found = []
    for _ in range(times):
        used = cost([sys.executable, Path(__file__).resolve(), "--child", root, str(count), what], root)
        found.append(json.loads((root / "output.txt").read_text().splitlines()[-1]) | {"memory": used.memory})
    return min(found, key=lambda one: one["seconds"])


def scale(report: Report, count: int, times: int) -> None:
    task, total = make_task(count), count * SYSTEMS * len(CRITERIA)
    name = f"1e{len(str(total)) - 1}"
    with TemporaryDirectory() as folder:
        root, figures = Path(folder), {}
        for system in range(SYSTEMS):
            run = make_run(root, task, system)
            (write_jsonl if count == min(LIMITS) else write_cache)(run, task, system)
        if count == min(LIMITS):
            sleep(tables.SETTLED_S)
            cold = measure(root, count, "board", 1)
            figures |= {"cold": round(cold["seconds"], 2), "cold_wall": round(cold["wall"], 2)}
        warm, alone = (measure(root, count, what, times) for what in ("board", "parquet"))
        if alone["seen"] != count * SYSTEMS:
            raise RuntimeError(f"the caches hold {alone['seen']} rows, not {count * SYSTEMS}.")
        for kind, one in (("board", warm), ("parquet", alone)):
            figures |= {kind: round(one["seconds"], 3), f"{kind}_wall": round(one["wall"], 3)}
        figures |= {"ratio": round(warm["seconds"] / alone["seconds"], 2), "memory": warm["memory"], "scores": total}
        figures["ranked"] = warm["seen"][1]
        report.figures[name] = figures
        report.say(f"{name} scores: {json.dumps(figures)}")
        report.bar(f"{name}_cpu_seconds", figures["board"], "at_most", LIMITS[count])
        report.bar(f"{name}_memory", warm["memory"], "at_most", 2_000_000_000)
        report.bar(f"{name}_ranked", figures["ranked"], "equals", SYSTEMS)
        if count == min(LIMITS):
            report.bar(f"{name}_cache_is_jsonl", warm["seen"] == cold["seen"], "equals", True)


def main() -> int:
    chosen = options(__doc__)
    report = Report("board_scale", chosen.quick, chosen.json)
    for count in list(LIMITS)[: 1 if chosen.quick else None]:
        scale(report, count, 1 if chosen.quick else 3)
    return report.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(main())
