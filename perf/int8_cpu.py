"""INT8 against full precision on a processor, at the shape of a real model with random weights.

    python perf/int8_cpu.py --shape 0.5b --folder /tmp/int8        (3 GB on the disk; 2 threads)

One process for each precision: it loads the checkpoint, reads a prompt of 256 tokens (prefill), then writes 32 tokens, one
prompt at a time (decode), `--repeats` times; the median counts. Told of each: bytes on the disk, peak resident memory of the
whole process and what of it the loading took, tokens a second of both phases, and agreement with float32: how often the
likeliest next token is the same over the prompt. On random weights the likeliest token is nearly a tie, so agreement is
pessimistic; what quantisation costs in quality is measured by scoring the packaged model (`easyds package`).
Precisions: float32, bfloat16, int8 (W8A8, what `easyds package` makes: harness/models/w8a8.py); where they are installed also
bitsandbytes' LLM.int8 (int8-bnb) and torchao's int8 weight-only (int8-ao) and W8A8 (w8a8-ao).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common import Report, cost, option_parser
from large_model import SHAPES

PROMPT, WRITTEN = 256, 32
PRECISIONS = {
    "float32": "",
    "bfloat16": "",
    "int8": "",
    "int8-bnb": "bitsandbytes",
    "int8-ao": "torchao",
    "w8a8-ao": "torchao",
}
"""Each with the package that it needs"""


def main() -> int:
    options = option_parser(__doc__)
    options.add_argument("--shape", choices=list(SHAPES), default="0.5b")
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--one", help="(used by the script itself)")
    given = options.parse_args()
    folder = (given.folder / given.shape).resolve()
    if given.one:
        measure(folder, given.one, given.repeats)
        return 0
    report = Report("int8_cpu", given.quick, given.json)
    make(folder, given.shape)
    for precision, needed in PRECISIONS.items():
        if needed and not find_spec(needed):
            report.say(f"{precision}: not measured, {needed} is not installed")
            continue
        command = [sys.executable, __file__, "--shape", given.shape, "--folder", given.folder.resolve()]
        command += ["--repeats", str(1 if given.quick else given.repeats), "--one", precision]
        if not (folder / precision / "config.json").exists():
            cost(command, folder)  # saves, in a process whose memory does not count
        took = cost(command, folder)
        found = json.loads((folder / f"{precision}.json").read_text(encoding="utf-8"))
        found["peak_bytes"] = took.memory
        report.figures[precision] = found
        report.say(
            f"{precision:9} disk {found['disk_bytes'] / 1e6:5.0f} MB, peak {took.memory / 1e6:5.0f} MB (before loading "
            f"{found['before_bytes'] / 1e6:.0f}), prefill {found['prefill']:6.1f} tok/s, decode {found['decode']:5.1f} tok/s, "
            f"agreement {found['agreement']:.2f} (n {PROMPT})"
        )
    report.bar(
        "INT8's peak over float32's",
        report.figures["int8"]["peak_bytes"] / report.figures["float32"]["peak_bytes"],
        "at_most",
        0.6,
    )
    return report.finish()


def make(folder: Path, shape: str) -> None:
    """Random weights, float32, on the disk."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    if (folder / "float32" / "config.json").exists():
        return
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**SHAPES[shape])).save_pretrained(folder / "float32", max_shard_size="500MB")


def settings(precision: str) -> dict[str, Any]:
    """What `from_pretrained` is told to make a precision."""
    import torch
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if precision == "int8-bnb":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "dtype": torch.bfloat16}
    if precision == "int8":
        return {"dtype": torch.bfloat16}
    if precision.endswith("-ao"):
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

        kind = Int8WeightOnlyConfig if precision == "int8-ao" else Int8DynamicActivationInt8WeightConfig
        return {"quantization_config": TorchAoConfig(kind()), "dtype": torch.bfloat16}
    return {"dtype": getattr(torch, precision)}


def measure(folder: Path, precision: str, repeats: int) -> None:
    """Load what was saved in this precision (or save it, the first time) and write its figures."""
    import psutil
    import torch
    from transformers import AutoModelForCausalLM

    from harness.models import w8a8

    torch.set_num_threads(2)
    w8a8.install()
    before = psutil.Process().memory_info().rss
    saved = folder / precision
    if not (saved / "config.json").exists():
        model = AutoModelForCausalLM.from_pretrained(folder / "float32", **settings(precision))
        if precision == "int8":
            w8a8.quantise(model)
        model.save_pretrained(saved, max_shard_size="500MB")
        return
    model = AutoModelForCausalLM.from_pretrained(saved, use_safetensors=True, dtype="auto").eval()
    prompt = torch.randint(0, model.config.vocab_size, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    prefills, decodes = [], []
    with torch.inference_mode():
        for _ in range(repeats):
            started = time.perf_counter()
            out = model(prompt, use_cache=True)
            read = time.perf_counter()
            cache, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
            for _ in range(WRITTEN):
                out_step = model(token, past_key_values=cache, use_cache=True)
                token = out_step.logits[:, -1:].argmax(-1)
            prefills.append(PROMPT / (read - started))
            decodes.append(WRITTEN / (time.perf_counter() - read))
    likeliest = out.logits[0].argmax(-1)
    if precision == "float32":
        torch.save(likeliest, folder / "likeliest.pt")
    same = (likeliest == torch.load(folder / "likeliest.pt", weights_only=True)).float().mean().item()
    found = {
        "disk_bytes": sum(path.stat().st_size for path in saved.glob("*.safetensors")),
        "before_bytes": before,
        "prefill": statistics.median(prefills),
        "decode": statistics.median(decodes),
        "agreement": same,
    }
    (folder / f"{precision}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
