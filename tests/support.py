"""What tests share: a small task, a tiny checkpoint, and ways to run the command."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml

from harness.record import open_run
from harness.types import Response, Score, Task

SYSTEM = {"zh": "你是数据结构辅导老师。", "en": "You are a data structures tutor."}
ASKED = [
    ("en", "My queue gives 3 first after I put in 1, 2, 3. Why?"),
    ("zh", "我把 1、2、3 依次入队，出队时先得到 3，为什么？"),
    (
        "en",
        "Binary search on 7 2 9 does not find 2, although 2 is there and I halve the range each time as in the book.",
    ),
    ("zh", "二分查找找不到 2。"),
    ("en", "Is my heap right?"),
    ("zh", "我在循环队列里放了五个元素，队尾下标越界了，是不是应该再申请更大的数组？我已经检查过两遍代码。"),
]
REFERENCES = {
    "en": ["Which end of the structure does a new element join, and which end does the next one leave from?"],
    "zh": ["想一想：新元素从哪一端进入，又从哪一端离开？"],
}
GUARD = """
import sys
from pytest_socket import socket_allow_hosts
socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)
"""
RUN = "from harness.cli import main; main(sys.argv[1:])"


def item_row(number: int, **changes: Any) -> dict[str, Any]:
    """One valid item as it stands in items.jsonl; items 2k and 2k + 1 share a cluster."""
    language, asked = ASKED[number % len(ASKED)]
    row = {
        "id": f"item-{number}",
        "cluster": f"problem-{number // 2}",
        "language": language,
        "knowledge_point": "queue",
        "misconception": "takes from the wrong end",
        "difficulty": 1,
        "split": "test",
        "hint_level": 1,
        "messages": [{"role": "user", "content": f"{asked} ({number})"}],
        "key_points": {"diagnosis": "wrong end", "location": "the first removal", "next_steps": ["trace it by hand"]},
        "answer": "1, 2, 3",
        "references": REFERENCES[language],
    }
    return {**row, **changes}


def write_items(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def make_task(folder: Path, rows: Sequence[Mapping[str, Any]] | None = None, **changes: Any) -> Path:
    """A task folder of six items (three clusters, zh and en) and its task file; `changes` replace keys, None drops one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_items(folder / "items.jsonl", rows if rows is not None else [item_row(number) for number in range(6)])
    data = {
        "name": "small",
        "version": "1",
        "description": {"zh": "小", "en": "small"},
        "license": "CC0-1.0",
        "items": "items.jsonl",
        "rubric": "guidance",
        "system": SYSTEM,
        "scorers": ["rouge_l"],
        "decoding": {"max_new_tokens": 12},
    }
    data = {key: value for key, value in {**data, **changes}.items() if value is not None}
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return path


def command(*args: str | Path, before: str = "") -> list[str]:
    """`easyds ARGS` as a process of its own, offline as the tests are; `before` is Python to run first."""
    return [sys.executable, "-c", f"{GUARD}{before}\n{RUN}", *map(str, args)]


def easyds(
    *args: str | Path, before: str = "", env: Mapping[str, str] | None = None, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `easyds ARGS` to its end."""
    return subprocess.run(
        command(*args, before=before),
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        **options,
    )


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def only_run(runs: Path) -> Path:
    """The one run folder below `runs`."""
    (folder,) = (path.parent for path in runs.glob("*/manifest.json"))
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def answers(folder: Path) -> dict[tuple[str, int], str]:
    """Texts by (item, sample). Fails if one was recorded twice."""
    rows = read_jsonl(folder / "responses.jsonl")
    texts = {(row["item"], row["sample"]): row["text"] for row in rows}
    assert len(texts) == len(rows), "a response was recorded twice"
    return texts


def scores(folder: Path) -> dict[tuple[str, int, str, str], float | None]:
    """Values by (item, sample, criterion, source). Fails if one was recorded twice."""
    rows = read_jsonl(folder / "scores.jsonl")
    values = {(row["item"], row["sample"], row["criterion"], row["source"]): row["value"] for row in rows}
    assert len(values) == len(rows), "a score was recorded twice"
    return values


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A LoRA adapter on `base` with random weights, none of them zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


GATES = {"G1": 1.0, "G2": 1.0, "G3": 1.0}
GOOD = {**GATES, "D1": 2.0, "D2": 2.0, "D3": 2.0, "D4": 2.0, "D5": 2.0, "D6": 2.0, "D7": 2.0}
SOME = {**GOOD, "D3": 1.0, "D7": 1.0}
BAD = {**GOOD, "D3": 0.0, "D7": 0.0}
LEAK = {**GOOD, "G2": 0.0}
"""Rubric values of one response"""


def record(
    root: Path,
    the_task: Task,
    system: str,
    values: Callable[[int, int], Mapping[str, float | None]],
    *,
    samples: int = 1,
    source: str = "check@1",
    extra: tuple[Score, ...] = (),
    answered: int | None = None,
    **fields: Any,
) -> str:
    """A run folder: `values(item number, sample)` gives each response's scores. Returns its id."""
    configuration = {
        "system": system,
        "model": system,
        "identity": {
            "provider": fields.pop("provider", "hf"),
            "weights": fields.pop("weights", system),
            "oracle": fields.pop("oracle", False),
        },
        "task": {
            "name": the_task.name,
            "version": the_task.version,
            "digest": fields.pop("digest", the_task.digest),
            "rubric": fields.pop("rubric", the_task.rubric.digest),
        },
        "decoding": {"samples": samples},
        "limit": fields.pop("limit", None),
        "requests": len(the_task.items) * samples,
    }
    with open_run(root, fields.pop("name", None), system, configuration) as run:
        for number, item in enumerate(the_task.items[:answered]):
            for sample in range(samples):
                run.add_response(Response(item.id, sample, "text", "stop", 9, 3, 0.1, 0.2, 1))
                rows = values(number, sample).items()
                run.add_scores([Score(item.id, sample, name, source, value) for name, value in rows])
        run.add_scores(extra)
        sources = [source, *dict.fromkeys(one.source for one in extra if one.source != "unused@1")]
        run.update(**{"status": "complete", "missing": 0, "scorers": sources, **fields})
        return run.id


def in_a_fork(work: Callable[[], object]) -> BaseProcess:
    """`work` in a forked child of this process: what is imported here need not be imported again."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def kill_at_a_state(stage: Callable[[Path], object], spec: Path, output: Path) -> None:
    """Start a stage in a child and kill it (SIGKILL) once a whole state lies in its folder."""
    process = in_a_fork(partial(stage, spec))
    while not any((output / "trainer_state").glob("step-*/whole.json")):
        assert process.is_alive(), "it ended before it could be killed"
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (output / "result.json").exists()


def equal_weights(first: Path, second: Path) -> bool:
    """Whether two safetensors files hold the same names and the same bits."""
    import torch
    from safetensors.torch import load_file

    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Runs:
    """A pickle that makes a file when it is read."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> Any:
        return Path.touch, (self.ran,)
