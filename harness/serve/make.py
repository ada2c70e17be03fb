"""Make a package from a measured run: adapter merged, template and end of turn checked, quantised, weighed.

INT8 is W8A8 in the compressed-tensors format (`harness/models/w8a8.py`): vLLM runs it on a GPU, `transformers serve` on a
processor. Another quantiser (llm-compressor with calibration, say) is a program of its own environment: `PROGRAM IN OUT` makes
a checkpoint folder OUT from the merged one in IN.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError
from harness.models.checkpoint import MARK, folders, read_config
from harness.models.server import PACKAGE, SECRETS, weights_digest
from harness.paths import safe_name, slug
from harness.record import Run, read_json, write_json, write_text
from harness.serve.package import Package, read
from harness.simulator.language import words
from harness.types import Task

PRECISIONS = ("int8", "bfloat16", "float32")
PROBE = "栈 queue 3, 1, 2: mid = (lo + hi) // 2?"
"""Text that two tokenizers must cut alike"""
CHECKED = ("weights", "adapter", "tokenizer", "chat_template", "generation_config")
"""Parts of a run's identity that its checkpoint must still have"""


def make(
    run: Run, task: Task, out: Path, precision: str = "int8", alias: str | None = None, quantiser: Path | None = None
) -> Path:
    """The package of the checkpoint that `run` measured, in a folder of its name below `out`. One that is there is kept.

    Raises UsageError if the run is none of a local checkpoint, the precision is unknown, or another package has the name;
    EnvironmentProblem if the checkpoint is not what was measured, or a step fails. Nothing is left half-made.
    """
    if quantiser is not None and not os.access(quantiser, os.X_OK):
        raise UsageError(f"--quantiser {quantiser} is no program that can be run. Name it by its path.")
    if precision not in PRECISIONS and quantiser is None:
        raise UsageError(
            f"--precision is {', '.join(PRECISIONS)}, not '{precision}'; or name a program with --quantiser."
        )
    name = safe_name(alias or slug(f"{run.manifest['system']}-{precision}", 64), "package name")
    folder = out / name
    model = _model(run)
    _require_whole(run, task)
    if name == run.manifest["system"]:
        raise UsageError(
            f"'{name}' is the system that is packaged: the board would show one for the other. Choose another --alias."
        )
    origin = {"run": run.id, "configuration": run.manifest["configuration_digest"], "model": model}
    origin |= {"quantiser": quantiser.name} if quantiser else {}
    if folder.exists():
        return _same(folder, origin, precision)
    with _beside(folder) as temporary:
        merged = temporary / "merged"
        _merge(run, merged, "float32" if precision == "float32" else None)
        made = _quantise(merged, temporary / "made", precision, quantiser)
        _carry_over(merged, made)
        _describe(made, run, task, name, precision, origin)
        made.rename(folder)
    return folder


def _require_whole(run: Run, task: Task) -> None:
    """Raises UsageError for a run on another version of the task, or one that is not complete: it measured too little."""
    made_on = run.manifest["task"]
    if made_on["digest"] != task.digest:
        raise UsageError(
            f"run {run.id} is on {made_on['name']} {made_on['version']}, not on {task.name} as it is now. Run it again."
        )
    if run.manifest["status"] != "complete" or run.manifest["limit"] is not None:
        raise UsageError(f"run {run.id} is not a complete run of the whole task. Package one that is.")


def _carry_over(merged: Path, made: Path) -> None:
    """What a quantiser must not change: a whole checkpoint with the same template and end of turn; an oracle arm stays one."""
    from harness.models import chat, hf

    if folders(str(made.resolve())).adapter is not None:
        raise EnvironmentProblem(
            "the quantiser made an adapter, which is no package. It must write a whole checkpoint."
        )
    before, after = (hf.load_tokenizer(one) for one in (merged, made))
    if before.chat_template != after.chat_template or chat.encode(before, PROBE) != chat.encode(after, PROBE):
        raise EnvironmentProblem("the quantiser changed tokenizer or chat template. It must save both as they were.")
    for name in ("generation_config.json", MARK):
        if made != merged and (merged / name).exists():
            shutil.copy(merged / name, made)


def _model(run: Run) -> str:
    model = str(run.manifest["model"])
    if not model.startswith("hf/"):
        raise UsageError(f"run {run.id} is of {model}, which is no checkpoint. Only hf/ models can be packaged.")
    return model


def _same(folder: Path, origin: Mapping[str, Any], precision: str) -> Path:
    package = read(folder)
    made = read_json(folder / PACKAGE).get("origin")
    if made != origin or package.precision != precision:
        raise UsageError(f"{folder} is another package. Choose another --alias, or move it away; nothing was changed.")
    return folder


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A scratch folder on the same disk, gone afterwards."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _merge(run: Run, out: Path, dtype: str | None) -> None:
    """The run's checkpoint without its adapter, its template and end of turn as measured, in `out`."""
    import torch

    from harness.models import Options, chat, hf

    name = _model(run).removeprefix("hf/")
    known = run.manifest["identity"]
    measured = hf.HFModel(name, Options(known["batch_size"] if known["batch_size"] != "auto" else None, known["dtype"]))
    found_now = measured.identity()
    if changed := [part for part in CHECKED if found_now[part] != known[part]]:
        raise EnvironmentProblem(
            f"{name} is not what run {run.id} measured (its {', '.join(changed)} changed). Run the benchmark on it again."
        )
    found = folders(name)
    if "quantization_config" in read_config(found.base / "config.json"):
        raise UsageError(f"{name} is quantised already. Package the checkpoint that it was made from.")
    kind = getattr(torch, dtype or ("float32" if hf.device("auto") == "cpu" else "bfloat16"))
    model: Any = hf.load_base(found.base, kind, hf.device("auto"))
    if found.adapter is not None:
        model = hf.with_adapter(model, found.adapter).merge_and_unload()
    tokenizer = hf.load_tokenizer(found.tokenizer)
    template = chat.require_template(tokenizer, str(found.tokenizer))
    end = chat.turn_end(tokenizer, str(found.tokenizer))
    ends = model.generation_config.eos_token_id
    known_ends = {end, tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    model.generation_config.eos_token_id = sorted(known_ends - {None})
    model.generation_config.do_sample = True  # else `transformers serve` takes no temperature above 0
    model.generation_config.repetition_penalty = 1.0  # as `easyds run` decodes
    model.generation_config.pad_token_id = chat.padding(tokenizer, end, str(found.tokenizer))
    model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    saved = chat.require_template(hf.load_tokenizer(out), str(out))
    if saved != template:
        raise EnvironmentProblem(f"{name}: its chat template was not saved as it was. Package nothing from it.")
    if known.get("oracle"):
        write_json(out / MARK, {"oracle": True})


def _quantise(merged: Path, out: Path, precision: str, quantiser: Path | None) -> Path:
    """The checkpoint in `merged` at another precision, in `out`."""
    import torch

    from harness.models import hf

    if quantiser is not None:
        kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
        command = [str(one.resolve()) for one in (quantiser, merged, out)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=kept)
        if done.returncode or not (out / "config.json").exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise EnvironmentProblem(f"{quantiser} made no checkpoint (exit {done.returncode}): {last[:300]}")
        return out
    if precision == "float32":
        return merged
    model = hf.load_base(merged, torch.bfloat16, hf.device("auto"))
    if precision == "int8":
        from harness.models import w8a8

        w8a8.quantise(model)
    model.save_pretrained(out, safe_serialization=True)
    hf.load_tokenizer(merged).save_pretrained(out)
    return out


def _describe(folder: Path, run: Run, task: Task, name: str, precision: str, origin: Mapping[str, Any]) -> None:
    """`package.json`: what the gateway must know, and where it comes from."""
    package = Package(
        alias=name,
        digest=weights_digest(str(folder.resolve())),
        precision=precision,
        task=task.name,
        system=dict(task.system),
        hint=_hint(task),
        max_new_tokens=run.manifest["decoding"]["max_new_tokens"],
    )
    write_json(folder / PACKAGE, {**asdict(package), "origin": dict(origin)})


def _hint(task: Task) -> Mapping[str, str] | None:
    """The line that says the hint level, if every item of the task has it before the student's turn."""
    lines: Mapping[str, str] = words("common")["hint_level"]
    told = (lines[item.language].format(level=item.hint_level) for item in task.items)
    return lines if all(one.messages[-1].content.startswith(line) for one, line in zip(task.items, told)) else None


def card(folder: Path, task: Task, before: Mapping[str, Any], after: Mapping[str, Any], licence: str) -> Path:
    """The model card (README.md, Hugging Face's model-index) of a package, from the metrics of the run that was packaged

    and of the run of the package itself (names to `board.Metric`).
    """
    import yaml

    package = read(folder, weighed=False)
    results = [
        {
            "type": name,
            "name": name,
            "value": round(one.value, 4),
            "args": {"low": one.low, "high": one.high, "n": one.n},
        }
        for name, one in after.items()
        if name in CARD
    ]
    dataset = {
        "name": task.name,
        "type": task.name,
        "split": "test",
        "revision": task.version,
        "args": {"digest": task.digest},
    }
    index = {
        "name": package.alias,
        "results": [{"task": {"type": "text-generation"}, "dataset": dataset, "metrics": results}],
    }
    head = {
        "license": licence,
        "language": ["zh", "en"],
        "pipeline_tag": "text-generation",
        "tags": ["education", "data-structures", "easyds-bench", package.precision],
        "model-index": [index],
    }
    lines = ["| metric | as trained | packaged |", "| --- | --- | --- |"]
    for name in CARD:
        if name in before or name in after:
            lines.append(f"| {name} | {_told(before.get(name))} | {_told(after.get(name))} |")
    text = f"""\
---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {package.alias}

A tutor for data structures: given what a student said, it writes a short hint that leads to the next step without giving the answer (Chinese and English). 数据结构辅导模型：根据学生的话写一小段引导，不直接给答案。

- precision: {package.precision}; sha256 of the weights: `{package.digest}`
- benchmark: EasyDS Bench, task {task.name} {task.version} (`{task.digest[:12]}`), {len(task.items)} items; 95 % intervals: of scores clustered by problem, of latency by order statistics

{chr(10).join(lines)}

Limits: measured on this task only; introductory data structures; what it says can be wrong. Serve it with `easyds serve`, which holds every answer against gates before it is sent.
"""
    write_text(folder / "README.md", text)
    return folder / "README.md"


CARD = (
    "guidance_accuracy",
    "guidance_accuracy_strict",
    "guidance_accuracy_full",
    "teaching_relevance",
    "gates",
    "gold_score",
    "screens",
    "chrf",
    "latency_p50_s",
    "latency_p95_s",
    "tokens_per_s",
    "peak_memory_bytes",
)
"""What a card tells of a run, in order"""


def _told(one: Any) -> str:
    if one is None:
        return "not measured"
    if one.low is None:
        return f"{one.value:.4g} (n {one.n})"
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] (n {one.n})"
