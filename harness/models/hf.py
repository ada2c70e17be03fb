"""Local checkpoints through transformers and PEFT: `hf/Qwen/Qwen2.5-7B-Instruct`, `hf/./checkpoint`, `hf/./adapter`.

Weights come from safetensors only and no checkpoint may bring code. The base of an adapter is loaded once for all
models of a command.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from harness.digest import digest, file_digest, files_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.models import Options, chat
from harness.models.checkpoint import folders, is_oracle, read_config
from harness.models.engine import Row, generate
from harness.types import Decoding, Failure, Message, Model, Request, Response


class HFModel:
    """A checkpoint, loaded. Generation is greedy unless the decoding says otherwise; the chat template is always applied."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = f"hf/{name}"
        self._options = options
        self._folders = folders(name)
        self._tokenizer = load_tokenizer(self._folders.tokenizer)
        self._template = chat.require_template(self._tokenizer, str(self._folders.tokenizer))
        self._end = chat.turn_end(self._tokenizer, str(self._folders.tokenizer))
        self._pad = chat.padding(self._tokenizer, self._end, str(self._folders.tokenizer))
        self._device = device(options.device)
        self._dtype = _dtype(options.dtype, self._folders.base, self._device)

    def identity(self) -> dict[str, Any]:
        base, adapter = self._folders.base, self._folders.adapter
        return {
            "provider": "hf",
            "weights": files_digest([*base.glob("*.safetensors"), base / "config.json"]),
            "adapter": files_digest([*adapter.glob("*.safetensors"), adapter / "adapter_config.json"])
            if adapter
            else None,
            "tokenizer": files_digest(chat.template_files(self._folders.tokenizer)),
            "chat_template": hashlib.sha256(self._template.encode()).hexdigest(),
            "generation_config": file_digest(base / "generation_config.json")
            if (base / "generation_config.json").exists()
            else None,
            "dtype": str(self._dtype).removeprefix("torch."),
            "device": self._device,
            "batch_size": self._options.batch_size or "auto",
            **({"oracle": True} if any(is_oracle(one) for one in (base, adapter) if one) else {}),
        }

    def load(self) -> None:
        self._load()

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Response | Failure]:
        """Responses as they end, long prompts first. A prompt that leaves no room in the context is a Failure."""
        model, scope = self._load()
        stop = self._stop(model)
        rows = []
        for index, request in enumerate(requests):
            prompt = self.tokens(request.messages)
            limit = min(decoding.max_new_tokens, self._context(model) - len(prompt))
            if limit < 1:
                yield Failure(request.item.id, request.sample, f"prompt of {len(prompt)} tokens fills the context")
                continue
            rows.append(Row(index, prompt, limit, _seed(decoding.seed, request)))
        rows.sort(key=lambda row: -len(row.prompt))
        batch_size = self._options.batch_size or (16 if self._device == "cpu" else 64)
        with scope:
            try:
                for row in generate(model, rows, pad=self._pad, stop=stop, decoding=decoding, batch_size=batch_size):
                    yield self._response(requests[row.index], row, decoding)
            except torch.OutOfMemoryError as error:
                raise EnvironmentProblem(
                    f"{self.name} ran out of memory with a batch of 1. Use a smaller --max-new-tokens, another --dtype or a bigger machine; what was generated is kept."
                ) from error

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Prompt tokens of a chat."""
        return chat.encode(self._tokenizer, chat.render(self._tokenizer, messages))

    @torch.inference_mode()
    def log_perplexity(self, texts: Sequence[str]) -> list[float | None]:
        """Mean negative log-likelihood per token in nats of each plain text; None for texts of fewer than two tokens."""
        model, scope = self._load()
        ids = [chat.encode(self._tokenizer, text)[: self._context(model)] for text in texts]
        width = max(2, max(len(row) for row in ids))
        inputs = torch.tensor([row + [self._pad] * (width - len(row)) for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self._device)
        with scope:
            logits = model(input_ids=inputs, attention_mask=mask).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), inputs[:, 1:], reduction="none")
        sums = (losses * mask[:, 1:]).sum(1).tolist()
        return [total / (len(row) - 1) if len(row) > 1 else None for total, row in zip(sums, ids)]

    def _response(self, request: Request, row: Row, decoding: Decoding) -> Response:
        text_tokens = row.tokens[:-1] if row.stopped else row.tokens
        return Response(
            item=request.item.id,
            sample=request.sample,
            text=str(self._tokenizer.decode(text_tokens, skip_special_tokens=True)).strip(),
            finish_reason="stop" if row.stopped else "length",
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.tokens),
            first_token_s=round(row.first_token, 6),
            latency_s=round(row.ended - row.started, 6),
            batch=row.batch,
        )

    def _load(self) -> tuple[PreTrainedModel, AbstractContextManager[Any]]:
        """The model ready to generate, and the scope in which it is this model and not another on the same base."""
        logging.disable_progress_bar()
        key = ("base", self._folders.base.resolve(), self._dtype, self._device)
        loaded = self._options.loaded
        if key not in loaded:
            loaded[key] = load_base(self._folders.base, self._dtype, self._device)
        model = loaded[key]
        if self._folders.adapter is None:
            return model, (model.disable_adapter() if hasattr(model, "peft_config") else nullcontext())
        loaded[key] = with_adapter(model, self._folders.adapter)
        return loaded[key], nullcontext()

    def _stop(self, model: PreTrainedModel) -> frozenset[int]:
        """Token ids that end a turn: the template's, the tokenizer's eos, and the generation config's."""
        configured = model.generation_config.eos_token_id if model.generation_config else None
        configured = configured if isinstance(configured, list) else [configured]
        return frozenset(token for token in (self._end, self._tokenizer.eos_token_id, *configured) if token is not None)

    def _context(self, model: PreTrainedModel) -> int:
        return int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30))


def load_base(folder: Path, dtype: torch.dtype, device: str, **settings: Any) -> PreTrainedModel:
    """The model in `folder`. Raises EnvironmentProblem if it does not load as a whole: gaps would be filled at random.

    `settings` go to from_pretrained; a quantised model (`quantization_config`) is put on its device by its loader.
    """
    load: Any = AutoModelForCausalLM.from_pretrained
    if "quantization_config" in read_config(folder / "config.json"):
        from harness.models import w8a8

        w8a8.install()
    try:
        model, info = load(
            folder,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **settings,
        )
        model = (model if "quantization_config" in settings else model.to(device)).eval()
    except Exception as error:  # each format and architecture fails in its own way
        raise _does_not_load(folder, error) from error
    if missing := sorted(info["missing_keys"]):
        raise EnvironmentProblem(
            f"{folder} lacks {len(missing)} of its weights ({missing[0]}, ...). The download or the training may not have finished."
        )
    loaded: PreTrainedModel = model
    return loaded


def with_adapter(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` active; other adapters stay loaded. Raises EnvironmentProblem if it does not fit."""
    from peft import PeftModel

    name = digest(str(folder.resolve()))[:12]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            if not isinstance(model, PeftModel):
                model = PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
            elif name not in model.peft_config:
                model.load_adapter(str(folder), adapter_name=name)
    except Exception as error:
        raise _does_not_load(folder, error) from error
    model.set_adapter(name)
    return model


def _does_not_load(folder: Path, error: Exception) -> EnvironmentProblem:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EnvironmentProblem(
        f"{folder} does not load ({reason[:200]}). Is it whole, and does this machine have room for it?"
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`. Raises EnvironmentProblem if none loads without code of its own."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{folder} has no tokenizer that loads ({str(error).splitlines()[0]}). Copy tokenizer.json from its base model."
        ) from error
    return tokenizer


def device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.device(name))
    except RuntimeError as error:
        raise UsageError(f"unknown --device '{name}'. Use auto, cpu, cuda or cuda:1.") from error


def _dtype(name: str, base: Path, device: str) -> torch.dtype:
    """`auto`: the checkpoint's own type on a GPU; float32 on a processor, where small models are exact and no slower."""
    if name != "auto":
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise UsageError(f"unknown --dtype '{name}'. Use auto, float32, bfloat16 or float16.")
        return dtype
    if device == "cpu":
        return torch.float32
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    dtype = getattr(torch, config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    assert isinstance(dtype, torch.dtype)
    return dtype


def _seed(seed: int, request: Request) -> int:
    """A seed for one row's noise, from (seed, item, sample) and nothing else."""
    text = f"{seed}\x1f{request.item.id}\x1f{request.sample}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def open_model(name: str, options: Options) -> Model:
    return HFModel(name, options)
