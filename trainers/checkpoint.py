"""Checkpoints for training: loaded whole and checked, given an adapter, and written so that the harness loads them.

Safetensors only, no code of the checkpoint's own, a chat template is required, and what pads is never what ends a turn.
A base that is itself an adapter is merged first: an adapter on an adapter would be read against the wrong model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.digest import digest, files_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.models import chat, hf
from harness.models.checkpoint import MARK, folders, is_oracle
from harness.record import write_json
from trainers.stage import CHECKPOINT

HEAD = "head.safetensors"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A low-rank adapter (Hu et al. 2021): rank, scale alpha / r, dropout on its input, and the layers that get one."""

    r: int = 8
    alpha: int = 32
    dropout: float = 0.1
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    quantize: Literal["no", "4bit"] = "no"
    """4bit: the frozen base is held in NF4 (QLoRA, Dettmers et al. 2023); needs bitsandbytes."""

    def config(self, base: Path, *, head: bool = False) -> LoraConfig:
        """PEFT's configuration of this adapter on the checkpoint in `base`; `head`: with a score head, trained whole."""
        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
            task_type="SEQ_CLS" if head else "CAUSAL_LM",
            modules_to_save=["score"] if head else None,
            base_model_name_or_path=str(base.resolve()),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A whole model with its tokenizer, and the folder that holds just these weights. `end` and `pad` are token ids."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    folder: Path
    end: int
    pad: int
    oracle: bool = False
    """Whether the gold score trained the base."""

    @property
    def context(self) -> int:
        """The longest sequence the model takes, in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 1 << 30))


def device() -> Literal["cpu", "cuda"]:
    return "cuda" if torch.cuda.is_available() else "cpu"


def place(name: str) -> str:
    """A checkpoint's name as hf/ takes it: a folder that exists as its absolute path, else a name of the hub."""
    return str(Path(name).expanduser().resolve()) if Path(name).expanduser().is_dir() else name


def checkpoint_digest(name: str) -> str:
    """One digest over the weights, configurations and tokenizer of a checkpoint, its base's included for an adapter."""
    found = folders(place(name))
    parts = [files_digest([*found.base.glob("*.safetensors"), found.base / "config.json"])]
    if found.adapter:
        parts.append(files_digest([*found.adapter.glob("*.safetensors"), found.adapter / "adapter_config.json"]))
    return digest([*parts, files_digest(chat.template_files(found.tokenizer))])


def require_digest(name: str, expected: str | None) -> str:
    """The digest of a checkpoint. Raises UsageError if it is not the one that the spec was written for."""
    found = checkpoint_digest(name)
    if expected is not None and found != expected:
        raise UsageError(
            f"the base {name} has changed since the spec was written (digest {found[:12]}, the spec says "
            f"{expected[:12]}). Restore the base, or write a new spec for this one."
        )
    return found


def load(name: str, lora: Lora | None, merged: Path) -> Loaded:
    """The checkpoint `name`, ready to be trained. An adapter is merged, and the whole is written to `merged`.

    In float32 on a processor and when all weights are trained, in bfloat16 under an adapter on a GPU. The tokenizer's
    eos is the token that ends a turn in the template. Raises EnvironmentProblem for what does not load safely.
    """
    found = folders(place(name))
    dtype = torch.bfloat16 if lora and device() == "cuda" else torch.float32
    base = found.base
    if found.adapter:
        merged_model: Any = hf.with_adapter(hf.load_base(base, dtype, "cpu"), found.adapter).merge_and_unload()
        merged_model.save_pretrained(merged, safe_serialization=True)
        base = merged
    model = hf.load_base(base, dtype, device(), **_quantized(lora))
    tokenizer = hf.load_tokenizer(found.tokenizer)
    where = str(found.tokenizer)
    chat.require_template(tokenizer, where)
    end = chat.turn_end(tokenizer, where)
    pad = chat.padding(tokenizer, end, where)
    tokenizer.eos_token = str(tokenizer.convert_ids_to_tokens(end))
    tokenizer.pad_token = str(tokenizer.convert_ids_to_tokens(pad))
    model.config.pad_token_id = pad
    if model.generation_config is not None:
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, pad
    if found.adapter:
        tokenizer.save_pretrained(merged)
    oracle = any(is_oracle(one) for one in (found.base, found.adapter) if one)
    return Loaded(model, tokenizer, base, end, pad, oracle)


def _quantized(lora: Lora | None) -> dict[str, Any]:
    if lora is None or lora.quantize == "no":
        return {}
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            "4-bit training needs bitsandbytes: pip install 'easyds-bench[qlora]', or set lora.quantize to no."
        ) from error
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if device() == "cuda" else torch.float32,
    )
    return {"quantization_config": config, "device_map": {"": device()}}


def save_policy(model: Any, loaded: Loaded, output: Path, *, merge: bool, oracle: bool = False) -> None:
    """Write `checkpoint/` of a language model, which the harness runs as hf/./.../checkpoint.

    An adapter is written as one, its base by its absolute path; with `merge` it goes to `adapter/` and the checkpoint
    is the merged model. A 4-bit base is loaded again unquantised for that, since merging into four bits loses weights.
    What the gold score trained (`oracle`, or the base was) is marked, so that no board ranks it.
    """
    target = output / CHECKPOINT
    if isinstance(model, PeftModel):
        adapter = output / "adapter" if merge else target
        model.save_pretrained(str(adapter), safe_serialization=True)
        if merge:
            if getattr(model, "is_loaded_in_4bit", False):
                whole = hf.load_base(loaded.folder, torch.float32, "cpu")
                model = hf.with_adapter(whole, adapter)
            model = model.merge_and_unload()
            model.save_pretrained(target, safe_serialization=True)
    else:
        model.save_pretrained(target, safe_serialization=True)
    loaded.tokenizer.save_pretrained(target)
    if oracle or loaded.oracle:
        write_json(target / MARK, {"oracle": True})


def with_head(model: Any, seed: int = 0) -> Any:
    """`model`'s body under a new linear head that gives one score, at the last token. The head is drawn from `seed`."""
    config = model.config
    config.num_labels = 1
    with torch.device("meta"):
        scorer = AutoModelForSequenceClassification.from_config(config)
    setattr(scorer, scorer.base_model_prefix, model.base_model)
    torch.manual_seed(seed)
    weight = next(model.parameters())
    head = torch.nn.Linear(scorer.score.in_features, 1, bias=False)
    torch.nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
    scorer.score = head.to(weight.device, torch.float32 if weight.dtype == torch.uint8 else weight.dtype)
    return scorer


def save_reward(model: Any, loaded: Loaded, output: Path, *, oracle: bool = False) -> None:
    """Write `checkpoint/` of a reward model: the adapter (or all weights), and the head as a tensor of its own.

    One that learnt the gold score's own labels (`oracle`) is marked, and so are the policies that it trains.
    """
    target = output / CHECKPOINT
    model.save_pretrained(target, safe_serialization=True)
    loaded.tokenizer.save_pretrained(target)
    scorer = model.get_base_model() if isinstance(model, PeftModel) else model
    save_file({"weight": _head(scorer).weight.detach().cpu().contiguous()}, target / HEAD)
    if oracle:
        write_json(target / MARK, {"oracle": True})


def _head(scorer: Any) -> Any:
    """The head in use: PEFT wraps a module that is trained whole and keeps the first one beside it."""
    wrapped = getattr(scorer.score, "modules_to_save", None)
    return wrapped["default"] if wrapped is not None else scorer.score


def load_reward(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The reward model that `save_reward` wrote, merged, with its head. Raises EnvironmentProblem if it is none."""
    path = folder / HEAD
    if not path.exists():
        raise EnvironmentProblem(f"{folder} has no {HEAD}: it is no reward model. 'easyds train reward' makes one.")
    found = folders(place(str(folder)))
    tokenizer = hf.load_tokenizer(folder)
    if found.adapter is None:
        scorer: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, local_files_only=True
        ).to(device())
    else:
        kind = torch.bfloat16 if device() == "cuda" else torch.float32  # as it was trained
        scorer = with_head(hf.load_base(found.base, kind, device()))
        scorer = hf.with_adapter(scorer, found.adapter).merge_and_unload()
    with torch.no_grad():
        scorer.score.weight.copy_(load_file(path)["weight"])
    scorer.config.pad_token_id = tokenizer.pad_token_id
    model: PreTrainedModel = scorer.eval().requires_grad_(False)
    return model, tokenizer
