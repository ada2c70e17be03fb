"""What the harness costs: the same 64 prompts through a plain transformers loop and through `easyds run`.

64 short prompts, half zh and half en, and a random Qwen2 of 2 layers with its own tokenizer are made in a temporary
folder: a model so small that everything around it shows. Both arms are whole processes on one CPU thread, taking
turns: `perf/plain_loop.py` (fixed batches of 8 sorted by length, greedy, 32 new tokens, answers as JSONL) and
`easyds run` with the scorer chrf and a batch of 8, in a fresh run folder each time.

- Answers: texts, prompt tokens and completion tokens of the run folder against those of the plain loop, which counts
  them from the attention mask and up to and including the end-of-turn token. That token's weights are enlarged so
  that some answers end early; a job in which none or all do is refused.
- `command_minus_plain_s`: wall time of the whole command less that of the plain loop, median over the pairs, or the
  same in CPU time if that is more: a plain loop held up by other work must not make ours look good.
- `idle_ms_per_sample`: time between batches in which no generation is under way. Measured in this process with every
  call of the engine (`Slots.admit`, `step`, `release`) timed: the span from the first call's start to the last
  call's end less the time inside the calls, over 64. It holds what the harness does with each answer: decoding text,
  making the record, handing it to the writer. The same for the plain loop: the span of its `model.generate` calls
  less the time inside them. The bar is on the fastest repetition, because other work on the machine can only make
  one slower (these are gaps of some ten microseconds, and a process that loses its core loses milliseconds); the
  median is reported as `median_idle_ms_per_sample`.
- `outside_forward_ms_per_sample` (no bar): as above, but less only the time inside the model's forward pass, so that
  work hidden inside the engine or inside `model.generate` shows too.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from common import Cost, Report, cost, easyds, options

PROMPTS, NEW_TOKENS, BATCH = 64, 32, 8
COMMAND_MINUS_PLAIN_S, IDLE_MS = 1.0, 0.15
TASK_FILE = """\
name: overhead
version: "1"
license: CC0-1.0
description: {en: "Short prompts to time the harness with.", zh: "用来计时的短提示。"}
rubric: guidance
system: {zh: 你是数据结构辅导老师。, en: You tutor data structures.}
scorers: [chrf]
decoding: {max_new_tokens: 32}
items: items.jsonl
"""
SYSTEM = {"zh": "你是数据结构辅导老师。", "en": "You tutor data structures."}
TOPICS = {
    "zh": ("链表", "栈", "循环队列", "二叉搜索树", "堆", "哈希表", "快速排序", "图的遍历"),
    "en": (
        "a linked list",
        "a stack",
        "a circular queue",
        "a search tree",
        "a heap",
        "a hash table",
        "quick sort",
        "a graph",
    ),
}
QUESTIONS = {
    "zh": (
        "我不懂{}。",
        "{}的边界条件为什么总是写错？",
        "写{}的时候，程序有时会死循环，我应该先看哪里？",
        "{}和数组相比好在哪里，又慢在哪里？",
    ),
    "en": (
        "I do not get {}.",
        "Why is my loop over {} off by one?",
        "My code for {} sometimes never ends, where should I look first?",
        "When is {} better than an array, and what does it cost?",
    ),
}


def write_task(folder: Path) -> None:
    """task.yaml and items.jsonl for the harness, prompts.jsonl with the same chats for the plain loop."""
    items: list[dict[str, Any]] = []
    prompts: list[dict[str, Any]] = []
    for language in ("zh", "en"):
        for i, (topic, question) in enumerate(product(TOPICS[language], QUESTIONS[language])):
            text = question.format(topic)
            items.append(
                {
                    "id": f"q{i:02d}.{language}",
                    "cluster": f"q{i:02d}",
                    "language": language,
                    "knowledge_point": "any",
                    "difficulty": 1,
                    "split": "test",
                    "hint_level": 1,
                    "messages": [{"role": "user", "content": text}],
                    "key_points": {"diagnosis": "-", "location": "-", "next_steps": ["-"]},
                    "answer": "-",
                    "references": [text],
                }
            )
            messages = [{"role": "system", "content": SYSTEM[language]}, *items[-1]["messages"]]
            prompts.append({"id": items[-1]["id"], "messages": messages})
    (folder / "task.yaml").write_text(TASK_FILE, encoding="utf-8")
    for name, rows in (("items", items), ("prompts", prompts)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def write_checkpoint(folder: Path) -> int:
    """A random Qwen2 with a byte-level BPE and the Qwen chat format; returns its number of parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from trainers.base import train_tokenizer

    disable_progress_bar()
    rows = [row["messages"] for row in read(folder / "prompts.jsonl")]
    tokenizer = train_tokenizer(rows, vocabulary=512)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        # Wide weights and an output layer of its own: otherwise a random model repeats one token for ever.
        initializer_range=0.2,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 1.6
    model.save_pretrained(folder / "checkpoint")
    tokenizer.save_pretrained(folder / "checkpoint")
    return int(model.num_parameters())


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def differences(folder: Path, runs: Iterable[Path]) -> dict[str, int]:
    """How many answers of `runs` differ from the plain loop's, by field. A missing answer differs in all of them."""
    truth = {row["id"]: row for row in read(folder / "answers.jsonl")}
    wrong = dict.fromkeys(("text", "prompt_tokens", "completion_tokens"), 0)
    for path in runs:
        ours = {row["item"]: row for row in read(path)}
        for key, row in truth.items():
            for name in wrong:
                wrong[name] += ours.get(key, {}).get(name) != row[name]
    return wrong


def whole_commands(folder: Path, repetitions: int) -> tuple[list[Cost], list[Cost]]:
    """Costs of (plain loop, `easyds run`), in pairs; which of the two goes first changes from pair to pair."""
    here = Path(__file__).parent
    checkpoint = folder / "checkpoint"
    prompts, answers = folder / "prompts.jsonl", folder / "answers.jsonl"
    plain: list[str | Path] = [sys.executable, here / "plain_loop.py", checkpoint, prompts, answers]
    ours: list[str | Path] = [easyds(), "run", "--task", folder / "task.yaml", "--model", f"hf/{checkpoint}"]
    ours += ["--scorer", "chrf", "--device", "cpu"]
    ours += ["--batch-size", str(BATCH), "--max-new-tokens", str(NEW_TOKENS), "--runs"]
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for repetition in range(repetitions):
        commands = [(0, plain), (1, [*ours, folder / f"runs-{repetition}"])]
        for arm, command in reversed(commands) if repetition % 2 else commands:
            costs[arm].append(cost(command, folder))
    return costs


class Stopwatch:
    """Time inside some calls, and the span from the start of the first to the end of the last."""

    def __init__(self) -> None:
        self.inside = self.first = self.last = 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            self.first = self.first or started
            try:
                return call(*args, **options)
            finally:
                self.last = time.perf_counter()
                self.inside += self.last - started

        return timed

    def outside(self) -> float:
        return self.last - self.first - self.inside


@contextmanager
def watched(stopwatch: Stopwatch, *targets: tuple[Any, str]) -> Iterator[None]:
    """The methods named, timed by `stopwatch` while the context lasts."""
    with ExitStack() as stack:
        for owner, name in targets:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, stopwatch.around(getattr(owner, name)))
        yield


def idle(folder: Path, repetitions: int) -> dict[str, dict[str, float]]:
    """Milliseconds a sample between batches and outside the forward pass, of both arms, measured in this process."""
    import plain_loop
    import torch
    from transformers import Qwen2ForCausalLM

    from harness import models, run, task
    from harness.models.engine import Slots

    torch.set_num_threads(1)
    checkpoint = folder / "checkpoint"
    prompts = read(folder / "prompts.jsonl")
    tokenizer, model = plain_loop.load(str(checkpoint))
    plan = run.Plan.of(task.load(str(folder / "task.yaml")), max_new_tokens=NEW_TOKENS)
    system = models.open_model(f"hf/{checkpoint}", models.Options(batch_size=BATCH, device="cpu"))
    system.load()
    engine = ((Slots, "admit"), (Slots, "step"), (Slots, "release"))
    work = {
        "plain": (lambda: plain_loop.answer(tokenizer, model, prompts), ((Qwen2ForCausalLM, "generate"),)),
        "easyds": (lambda: run.execute(plan, system, folder / "idle", new=True, scorers=[]), engine),
    }
    gaps: dict[str, list[tuple[float, float]]] = {arm: [] for arm in work}
    for _ in range(repetitions):
        for arm, (job, calls) in work.items():
            between, forward = Stopwatch(), Stopwatch()
            with watched(between, *calls), watched(forward, (Qwen2ForCausalLM, "forward")):
                job()
            gaps[arm].append((between.outside() * 1000 / PROMPTS, forward.outside() * 1000 / PROMPTS))
    return {arm: _gap_figures(*zip(*pairs)) for arm, pairs in gaps.items()}


def _gap_figures(between: Sequence[float], forward: Sequence[float]) -> dict[str, float]:
    figures = {
        "idle_ms_per_sample": min(between),
        "median_idle_ms_per_sample": statistics.median(between),
        "outside_forward_ms_per_sample": min(forward),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> int:
    chosen = options(__doc__)
    report = Report("harness_overhead", chosen.quick, chosen.json)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder)
        parameters = write_checkpoint(folder)
        spans = idle(folder, 6 if chosen.quick else 30)  # first, so that bytecode and disk cache are warm for both arms
        plain, ours = whole_commands(folder, 2 if chosen.quick else 7)
        wrong = differences(folder, folder.glob("runs-*/*/responses.jsonl"))
        answers = read(folder / "answers.jsonl")
    ended = sum(row["completion_tokens"] < NEW_TOKENS for row in answers)
    if len(answers) != PROMPTS or not 0 < ended < PROMPTS:
        raise RuntimeError(
            f"{len(answers)} answers, {ended} of them ended early: this job does not test the end of a turn."
        )

    report.figures |= {
        "parameters": parameters,
        "prompts": PROMPTS,
        "ended_early": ended,
        "prompt_tokens": sum(row["prompt_tokens"] for row in answers),
        "completion_tokens": sum(row["completion_tokens"] for row in answers),
    }
    report.say(f"{PROMPTS} prompts, {parameters} parameters, {ended} answers end before {NEW_TOKENS} tokens")
    for arm, costs in (("plain", plain), ("easyds", ours)):
        middle = {key: statistics.median(getattr(one, key) for one in costs) for key in ("wall", "cpu", "memory")}
        report.figures[arm] = {
            "wall_s": round(middle["wall"], 3),
            "cpu_s": round(middle["cpu"], 3),
            "peak_memory_bytes": int(middle["memory"]),
            **spans[arm],
        }
        memory = f"{middle['memory'] / 2**20:.0f} MiB"
        report.say(f"{arm}: {middle['wall']:.2f} s wall, {middle['cpu']:.2f} s CPU, {memory} (median of {len(costs)})")
        gaps = ", ".join(f"{key.removesuffix('_ms_per_sample')} {value:.3f}" for key, value in spans[arm].items())
        report.say(f"{arm}, ms a sample: {gaps}")
    extra_wall = statistics.median(b.wall - a.wall for a, b in zip(plain, ours))
    extra_cpu = statistics.median(b.cpu - a.cpu for a, b in zip(plain, ours))
    report.figures |= {"wall_minus_plain_s": round(extra_wall, 3), "cpu_minus_plain_s": round(extra_cpu, 3)}
    report.bar("command_minus_plain_s", round(max(extra_wall, extra_cpu), 3), "at_most", COMMAND_MINUS_PLAIN_S)
    report.bar("idle_ms_per_sample", spans["easyds"]["idle_ms_per_sample"], "at_most", IDLE_MS)
    for field, count in wrong.items():
        report.bar(f"wrong_{field}", count, "equals", 0)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
