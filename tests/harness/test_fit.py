"""Finding the batch that fits: an update stays what it is, the longest rows are tried, real memory runs out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support import easyds, read_jsonl

from harness.errors import OutOfMemory, UsageError
from harness.fit import fitted
from harness.stages import Order, StageFailed

PROGRAM = """#!{python}
import json, os, sys, pathlib
spec = json.load(open(sys.argv[1]))
rows = open(spec["data"]).read().split("\\n")[:-1]
with open({log!r}, "a") as log:
    log.write(json.dumps([spec["batch_size"], spec.get("accumulation"), spec.get("steps"), min(map(len, rows))]) + "\\n")
if spec["batch_size"] > {limit}:
    {failure}
pathlib.Path(spec["output"], "result.json").write_text("{{}}")
"""


def order(folder: Path, limit: int, failure: str = "sys.exit(137)", **spec: Any) -> Order:
    """A stage whose memory holds `limit` rows; log.jsonl gets (batch_size, accumulation, steps, shortest row) of each start."""
    program = folder / "program"
    text = PROGRAM.format(python=sys.executable, log=str(folder / "log.jsonl"), limit=limit, failure=failure)
    program.write_text(text)
    program.chmod(0o755)
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": "a" * n, "response": "b"}) + "\n" for n in range(1, 101)))
    return Order(str(program), {"data": str(data), "output": str(folder / "out"), **spec})


def log(folder: Path) -> list[list[Any]]:
    return read_jsonl(folder / "log.jsonl")  # type: ignore[return-value]


def test_halving_keeps_the_update_and_tries_the_longest_rows(tmp_path: Path) -> None:
    told: list[str] = []
    found = fitted(order(tmp_path, 3, batch_size=12, accumulation=2, ranks=2), told.append)
    assert (found.spec["batch_size"], found.spec["accumulation"]) == (3, 8)
    assert [(batch, steps) for batch, _, steps, _ in log(tmp_path)] == [(12, 1), (6, 1), (3, 1)]
    lengths = [shortest for *_, shortest in log(tmp_path)]
    assert lengths == sorted(lengths)  # fewer rows, longer ones
    assert lengths[-1] > 95
    assert told == [
        "batch_size 12: out of memory",
        "batch_size 6: out of memory",
        "batch_size 3 with accumulation 8: fits",
    ]
    assert not (tmp_path / "out").exists()  # nothing of a try is left


def test_a_kill_is_out_of_memory_and_another_failure_is_not(tmp_path: Path) -> None:
    killed = order(tmp_path, 4, failure="os.kill(os.getpid(), 9)", batch_size=8)
    assert fitted(killed, lambda line: None).spec["batch_size"] == 4
    with pytest.raises(StageFailed, match="no such thing"):
        fitted(order(tmp_path, 4, failure="sys.exit('no such thing')", batch_size=8), lambda line: None)


def test_a_single_row_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="a single row"):
        fitted(order(tmp_path, 0, batch_size=4), lambda line: None)
    with pytest.raises(UsageError, match="batch_size"):
        fitted(order(tmp_path, 0), lambda line: None)


def test_what_was_found_is_not_tried_again(tmp_path: Path) -> None:
    one = order(tmp_path, 2, batch_size=8)
    command = ("train", one.stage, "--data", one.spec["data"], "--output", one.output, "--set", "batch_size=8")
    for _ in range(2):
        done = easyds(*command, "--fit-batch")
        assert done.returncode == 0, done.stderr
    assert [batch for batch, *_ in log(tmp_path)] == [8, 4, 2, 2]  # three tries, one training, nothing more


NARROW = """#!{python}
import resource, runpy, sys
import torch, transformers, trl, peft
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + {room}, mapped + {room}))
sys.argv = ["trainers", "sft", sys.argv[1]]
runpy.run_module("trainers", run_name="__main__")
"""


@pytest.mark.slow
def test_a_stage_whose_memory_really_runs_out(tiny: Path, tmp_path: Path) -> None:
    """4 GB above what the libraries map: torch's allocator fails at 1,891 rows, as a GPU's does, and 61 fit."""
    program = tmp_path / "narrow"
    program.write_text(NARROW.format(python=sys.executable, room=4_000_000_000))
    program.chmod(0o755)
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": "?" * (200 + i % 7), "response": "!" * 230} for i in range(40)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    output = tmp_path / "out"
    settings = ("--set", "batch_size=1891", "--set", "steps=1", "--set", "threads=1")
    command = ("train", program, "--base", tiny, "--data", data, "--output", output, *settings, "--fit-batch")
    done = easyds(*command, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "batch_size 1891: out of memory" in done.stderr
    spec = json.loads((output / "given.json").read_text())
    assert (spec["batch_size"], spec["accumulation"]) == (61, 31)
