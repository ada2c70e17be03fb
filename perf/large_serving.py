"""What answering costs at the shape of a real model, with random weights: bfloat16 and INT8, alone and under load.

    python perf/large_serving.py --shape 7b          (a GPU)

For each precision, with prompts of 512 tokens: bytes of the weights and the GPU's peak; seconds to the first token and to
the 32nd, 64th and 128th (one request, `--repeats` times: least, median, most); requests per second with 1 to 32 under way
at once, and through transformers' continuous batching, each answer 128 tokens. Beside them stands the roof: reading all
weights once per token at the bandwidth that a copy reaches here. INT8 is W8A8: int8 weights per channel, activations
per token as they come (torchao's Int8DynamicActivationInt8WeightConfig). `eager` is the loop that `hf/` models run
(harness.models.engine); `compiled` is transformers' generate with a static cache, compiled. Each part that fails is told
as it failed, and has no figures. Targets of the design, for INT8: under 1 s, under 16 GB, over 10 requests/s.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common import Report, option_parser
from large_model import SHAPES
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from harness.models.engine import Row, generate
from harness.types import Decoding

PROMPT, LENGTHS, LOADS = 512, (32, 64, 128), (1, 4, 8, 16, 32)


def main() -> int:
    options = option_parser(__doc__)
    options.add_argument("--shape", choices=list(SHAPES), default="7b")
    options.add_argument("--precisions", nargs="+", choices=["bf16", "int8"], default=["bf16", "int8"])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--no-compile", action="store_true", help="leave out the compiled static cache")
    given = options.parse_args()
    report = Report("large_serving", given.quick, given.json)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report.figures["bandwidth"] = bandwidth(device)
    report.say(f"copy bandwidth {report.figures['bandwidth'] / 1e12:.2f} TB/s; torch {torch.__version__}")
    for precision in given.precisions:
        found = report.figures[precision] = {}
        model = make(given.shape, device, precision)
        found["weight_bytes"] = weight_bytes(model)
        found["roof_s_per_token"] = found["weight_bytes"] / report.figures["bandwidth"]
        parts: dict[str, Callable[[], Any]] = {
            "eager": lambda model=model: latencies(lambda n: eager(model, 1, n), given.repeats),
            "load": lambda model=model: {count: load(model, count) for count in LOADS},
            "continuous": lambda model=model: continuous(model, 64),
        }
        if not given.no_compile:
            parts["compiled"] = lambda model=model: latencies(lambda n: compiled(model, n), given.repeats)
        for name, part in parts.items():
            started = time.perf_counter()
            try:
                found[name] = part()
            except Exception as error:  # one engine that fails here must not take the others' figures along
                found[name] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
            report.say(f"{precision} {name} ({time.perf_counter() - started:.0f} s): {found[name]}")
        if device == "cuda":
            found["peak_bytes"] = torch.cuda.max_memory_reserved()
            report.say(
                f"{precision}: weights {found['weight_bytes'] / 1e9:.1f} GB, peak {found['peak_bytes'] / 1e9:.1f} GB"
            )
        del model, parts
        if device == "cuda":
            torch._dynamo.reset()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    last = report.figures[given.precisions[-1]]
    if device == "cuda":
        report.bar(f"{given.precisions[-1]}: peak bytes", last["peak_bytes"], "at_most", 16e9)
    return report.finish()


def bandwidth(device: str) -> float:
    """Bytes a second of a copy on the device, read and written both counted: the best of ten of 1 GB (CPU: 0.1 GB)."""
    source = torch.empty(2**30 if device == "cuda" else 10**8, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / min(timed(lambda: target.copy_(source)) for _ in range(10))


def make(shape: str, device: str, precision: str) -> Any:
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=32768, eos_token_id=None, bos_token_id=None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen2ForCausalLM(config).eval()
    torch.set_default_dtype(before)
    if precision == "int8":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(model.model, Int8DynamicActivationInt8WeightConfig())  # the head stays as it is, as W8A8 recipes do
    return model


def weight_bytes(model: Any) -> int:
    """Bytes of all parameters, of quantised ones with their scales."""
    total = 0
    for one in model.parameters():
        names = one.__tensor_flatten__()[0] if hasattr(one, "__tensor_flatten__") else None
        parts = [getattr(one, name) for name in names] if names else [one]
        total += sum(part.numel() * part.element_size() for part in parts if isinstance(part, torch.Tensor))
    return total


def timed(work: Callable[[], Any]) -> float:
    """Seconds of `work`, the device's included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def prompts(count: int) -> list[list[int]]:
    """Prompts that differ from their first token on, so that no cache of prefixes helps."""
    draw = torch.Generator().manual_seed(count)
    return torch.randint(10, 1000, (count, PROMPT), generator=draw).tolist()


def eager(model: Any, count: int, tokens: int) -> None:
    rows = [Row(index, ids, tokens, index) for index, ids in enumerate(prompts(count))]
    done = list(
        generate(model, rows, pad=0, stop=frozenset(), decoding=Decoding(max_new_tokens=tokens), batch_size=count)
    )
    assert len(done) == count
    assert all(len(row.tokens) == tokens for row in done)


def compiled(model: Any, tokens: int) -> None:
    ids = torch.tensor(prompts(1), device=model.device)
    config = GenerationConfig(
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, cache_implementation="static", pad_token_id=0,
        max_length=None,
    )  # fmt: skip
    with torch.inference_mode():
        found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    assert found.shape[1] == PROMPT + tokens


def latencies(answer: Callable[[int], None], repeats: int) -> dict[str, list[float]]:
    """Seconds to the n-th token, after one try of each that is not counted."""
    found = {}
    for count in (1, *LENGTHS):
        answer(count)
        each = sorted(timed(partial(answer, count)) for _ in range(repeats))
        found[str(count)] = [round(value, 4) for value in (each[0], statistics.median(each), each[-1])]
    return found


def load(model: Any, count: int) -> float:
    """Answers a second with `count` under way at once."""
    return round(count / min(timed(lambda: eager(model, count, LENGTHS[-1])) for _ in range(2)), 2)


def continuous(model: Any, count: int) -> float:
    """Answers a second of `count` requests that transformers batches continuously."""
    config = GenerationConfig(max_new_tokens=LENGTHS[-1], do_sample=False, eos_token_id=-1, pad_token_id=0)
    asked = prompts(count)

    def answer() -> None:
        found = model.generate_batch(inputs=asked, generation_config=config)
        assert len(found) == count, f"{count - len(found)} requests were lost"
        assert all(len(one.generated_tokens) == LENGTHS[-1] for one in found.values())

    answer()
    return round(count / timed(answer), 2)


if __name__ == "__main__":
    sys.exit(main())
