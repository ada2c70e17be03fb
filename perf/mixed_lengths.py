"""Answers of mixed length: what the slot batch wins over a plain batch, and over transformers' continuous batching.

One random Qwen2 of 28 million parameters in float32 on one CPU thread. The prompts have 20 to 120 tokens and every
row is stopped at a length of its own, 8 to 128 tokens, so that all arms produce the same tokens; long prompts go
first and 8 rows run together in every arm:

- plain: `model.generate` over fixed batches, with a stopping criterion that ends each row at its length; a batch
  runs until its longest row ends;
- ours: `harness.models.engine.generate`, which fills a finished row's slot with the next prompt;
- continuous: transformers' continuous batching manager with a length per request, its cache sized for this job
  (left to itself it first claims most of the machine's memory, which takes longer than the job);
- continuous_batch: the same by `model.generate_batch`, whose rows all run to one length, so that plain and ours are
  timed on that second job too. With --quick neither of these two arms is measured.

The arms take turns. A figure is tokens per second of the fastest repetition, because other work on the machine can
only make a repetition slower; tokens per CPU second stand beside it. The bar is on ours over plain by the clock or by
CPU time, whichever is less: a plain loop held up by other work must not make ours look good. Texts must be equal,
token for token. What a slot batch can win depends on the lengths drawn and on the number of rows (at the end
there is no prompt left to fill a slot with); the job's seed is fixed. On a GPU nothing of this was measured.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from common import Report, options
from transformers import GenerationConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, StoppingCriteria
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from harness.models import engine
from harness.types import Decoding

BATCH, VOCABULARY, PAD, LONGEST = 8, 8192, 0, 128
RATIO = 1.3


@dataclass(frozen=True)
class Job:
    """Prompts, long ones first, and the number of tokens to make of each."""

    prompts: list[list[int]]
    limits: list[int]

    @property
    def tokens(self) -> int:
        return sum(self.limits)


Arm = Callable[[PreTrainedModel, Job], list[list[int]]]


def model_30m() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=PAD,
    )
    return Qwen2ForCausalLM(config).eval()


def mixed_job(rows: int, seed: int = 0) -> Job:
    rng = random.Random(seed)
    prompts = [[rng.randrange(1, VOCABULARY) for _ in range(rng.randint(20, 120))] for _ in range(rows)]
    limits = [rng.randint(8, LONGEST) for _ in range(rows)]
    return Job(sorted(prompts, key=len, reverse=True), limits)


class RowLimits(StoppingCriteria):
    """Ends row i after limits[i] new tokens."""

    def __init__(self, limits: list[int], width: int) -> None:
        self.ends = torch.tensor(limits) + width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return input_ids.shape[1] >= self.ends


def plain(model: PreTrainedModel, job: Job) -> list[list[int]]:
    texts = []
    for start in range(0, len(job.prompts), BATCH):
        prompts, limits = job.prompts[start : start + BATCH], job.limits[start : start + BATCH]
        width = len(prompts[0])
        ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        out = model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=LONGEST,
            pad_token_id=PAD,
            stopping_criteria=[RowLimits(limits, width)],
        )
        texts += [row[width : width + limit].tolist() for row, limit in zip(out, limits)]
    return texts


def ours(model: PreTrainedModel, job: Job) -> list[list[int]]:
    rows = [engine.Row(i, prompt, limit, 0) for i, (prompt, limit) in enumerate(zip(job.prompts, job.limits))]
    texts: list[list[int]] = [[] for _ in rows]
    for row in engine.generate(model, rows, pad=PAD, stop=frozenset(), decoding=Decoding(), batch_size=BATCH):
        texts[row.index] = row.tokens
    return texts


def _continuous_settings(job: Job) -> dict[str, Any]:
    pages = sum(-(-(len(prompt) + LONGEST) // 256) for prompt in job.prompts)
    return {
        "generation_config": GenerationConfig(
            max_new_tokens=LONGEST, do_sample=False, eos_token_id=-1, pad_token_id=PAD
        ),
        "continuous_batching_config": ContinuousBatchingConfig(
            max_requests_per_batch=BATCH, num_blocks=max(32, pages), max_batch_tokens=1024
        ),
    }


def continuous(model: PreTrainedModel, job: Job) -> list[list[int]]:
    """Raises RuntimeError if the manager's thread dies."""
    texts: dict[int, list[int]] = {}
    with model.continuous_batching_context_manager(**_continuous_settings(job)) as manager:
        for i, (prompt, limit) in enumerate(zip(job.prompts, job.limits)):
            manager.add_request(prompt, request_id=str(i), max_new_tokens=limit)
        while len(texts) < len(job.prompts):
            result = manager.get_result(timeout=1)
            if result is None and not manager.is_running():
                raise RuntimeError("continuous batching ended before its requests did")
            if result is not None and result.is_finished():
                texts[int(result.request_id)] = result.generated_tokens
    return [texts[i] for i in range(len(texts))]


def continuous_batch(model: PreTrainedModel, job: Job) -> list[list[int]]:
    """Raises ValueError if the limits are not all the same."""
    (limit,) = set(job.limits)
    done = model.generate_batch(job.prompts, max_new_tokens=limit, **_continuous_settings(job))
    return [result.generated_tokens for result in done.values()]


@dataclass(frozen=True)
class Result:
    """What one arm made the last time, and the least wall and CPU time that it took."""

    texts: list[list[int]]
    wall: float
    cpu: float


def race(model: PreTrainedModel, job: Job, arms: dict[str, Arm], repetitions: int) -> dict[str, Result]:
    """All arms in turn, `repetitions` times; the order is turned round each time."""
    best: dict[str, Result] = {}
    for repetition in range(repetitions):
        for name in list(arms) if repetition % 2 == 0 else list(reversed(arms)):
            wall, cpu = time.perf_counter(), time.process_time()
            texts = arms[name](model, job)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            before = best.get(name, Result([], math.inf, math.inf))
            best[name] = Result(texts, min(wall, before.wall), min(cpu, before.cpu))
    return best


def tell(report: Report, title: str, job: Job, results: dict[str, Result]) -> None:
    for name, result in results.items():
        speed, per_cpu = job.tokens / result.wall, job.tokens / result.cpu
        report.figures.setdefault(title, {})[name] = {
            "tokens_per_s": round(speed, 1),
            "tokens_per_cpu_s": round(per_cpu, 1),
        }
        report.say(f"{title}, {name}: {speed:.0f} tokens/s ({per_cpu:.0f} per CPU second)")


def main() -> int:
    chosen = options(__doc__)
    report = Report("mixed_lengths", chosen.quick, chosen.json)
    torch.set_num_threads(1)
    model = model_30m()
    job = mixed_job(32 if chosen.quick else 64)
    report.figures |= {"parameters": model.num_parameters(), "rows": len(job.prompts), "tokens": job.tokens}
    arms: dict[str, Arm] = {"plain": plain, "ours": ours}
    if not chosen.quick:
        arms["continuous"] = continuous
    for arm in arms.values():  # the first call of each pays for what torch sets up once
        arm(model, Job(job.prompts[-2:], [8, 8]))

    results = race(model, job, arms, 1 if chosen.quick else 3)
    tell(report, "mixed", job, results)
    if chosen.quick:
        report.say("transformers' continuous batching: not measured with --quick")
    else:
        equal = Job(job.prompts[:24], [64] * 24)
        equal_arms: dict[str, Arm] = {"plain": plain, "ours": ours, "continuous_batch": continuous_batch}
        tell(report, "equal", equal, race(model, equal, equal_arms, 2))
        report.figures["ours_over_continuous"] = round(results["continuous"].wall / results["ours"].wall, 3)
        report.say(f"ours over continuous batching: {report.figures['ours_over_continuous']}")

    truth = results["plain"].texts
    same = {name: sum(a == b for a, b in zip(truth, result.texts)) for name, result in results.items()}
    report.figures["texts_equal_to_plain"] = same
    by_wall = results["plain"].wall / results["ours"].wall
    by_cpu = results["plain"].cpu / results["ours"].cpu
    report.figures |= {"ours_over_plain_wall": round(by_wall, 3), "ours_over_plain_cpu": round(by_cpu, 3)}
    report.bar("ours_over_plain", round(min(by_wall, by_cpu), 3), "at_least", RATIO)
    report.bar("texts_equal", same["ours"], "equals", len(job.prompts))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
