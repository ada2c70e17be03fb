"""Stage `base`: a tiny Qwen2 language model trained from scratch, so that the paths a Qwen2.5 checkpoint takes run here.

Byte-level BPE (each number from 0 to 99 one token), `Qwen2Config` with random weights, the Qwen chat format, next-token
loss on the assistant's turns. It speaks the phrase banks it was trained on and nothing else: it stands in for a
checkpoint, it does not show what one can do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from harness.errors import EnvironmentProblem, UsageError
from harness.record import read_lines
from trainers.stage import CHECKPOINT, Stage, StageSpec, load_tensors, read_spec, save_tensors

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Spec(StageSpec):
    """What to train. `data` is a JSONL file of {"messages": [...]}."""

    data: str
    steps: int = 1500
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup: float = 0.05
    vocabulary: int = 2048
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    context: int = 1024
    learn_prompts: bool = True
    """Whether the loss covers the students' turns too: predicting a student's answer teaches what makes one."""
    model: dict[str, Any] = field(default_factory=dict)
    """Further Qwen2Config settings."""


def run(path: Path) -> None:
    """Train as the spec at `path` says, from where an earlier process was killed if there was one."""
    spec = read_spec(Spec, path)
    data = Path(spec.data)
    if not data.is_file():
        raise UsageError(
            f"{path}: data file {spec.data} does not exist. 'easyds simulate --teacher mixture' writes one."
        )
    with Stage("base", spec, {"data": data}) as stage:
        if stage.done:
            return
        torch.manual_seed(spec.seed)
        rows = [row["messages"] for row in read_lines(data)]
        tokenizer = train_tokenizer(rows, spec.vocabulary)
        model = new_model(tokenizer, spec)
        examples = [encode(tokenizer, messages, spec.learn_prompts) for messages in rows]
        examples = [example for example in examples if len(example[0]) <= spec.context]
        train(model, examples, spec, stage)
        model.save_pretrained(stage.folder / CHECKPOINT, safe_serialization=True)
        tokenizer.save_pretrained(stage.folder / CHECKPOINT)
        _check_reload(tokenizer, stage.folder / CHECKPOINT, rows[:50])
        stage.finish(parameters=model.num_parameters(), examples=len(examples))


def train_tokenizer(rows: Sequence[Sequence[Mapping[str, str]]], vocabulary: int) -> Qwen2Tokenizer:
    """Byte-level BPE over the conversations, with Qwen2's own way of splitting text, and a token for each number.

    Loaders give a qwen2 checkpoint Qwen2's pre-tokeniser whatever tokenizer.json says, so another one would read other
    tokens than it was trained on. The numbers are added tokens, which are matched before any splitting.
    """
    tokenizer = Tokenizer(models.BPE())
    qwen = Qwen2Tokenizer().backend_tokenizer
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = qwen.normalizer, qwen.pre_tokenizer, qwen.decoder
    trainer = BpeTrainer(
        vocab_size=vocabulary - 100,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (message["content"] for messages in rows for message in messages)
    tokenizer.train_from_iterator(chain(texts, ["system", "user", "assistant"]), trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    ready = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=cast(Any, [tuple(pair) for pair in learnt["merges"]]),
        eos_token=END,
        pad_token=PAD,
    )
    ready.add_tokens(
        [AddedToken(START, special=True), *(AddedToken(str(value), normalized=False) for value in range(100))]
    )
    ready.chat_template = TEMPLATE
    return ready


def _check_reload(tokenizer: Qwen2Tokenizer, folder: Path, rows: Sequence[Sequence[Mapping[str, str]]]) -> None:
    """Raises EnvironmentProblem if the saved tokenizer, loaded as every user loads it, reads other tokens."""
    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for messages in rows:
        for message in messages:
            if tokenizer.encode(message["content"]) != loaded.encode(message["content"]):
                raise EnvironmentProblem(
                    f"{folder}: the tokenizer reads other tokens after saving. This transformers version changed it."
                )


def new_model(tokenizer: Qwen2Tokenizer, spec: Spec) -> Qwen2ForCausalLM:
    """A Qwen2 model with random weights in float32."""
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": spec.hidden,
        "intermediate_size": 3 * spec.hidden,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "max_position_embeddings": spec.context,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **spec.model,
    }
    return Qwen2ForCausalLM(Qwen2Config(**settings))


def encode(
    tokenizer: Qwen2Tokenizer, messages: Sequence[Mapping[str, str]], learn_prompts: bool = False
) -> tuple[list[int], list[int]]:
    """(token ids, labels) of a conversation. Labels are IGNORED outside the turns to learn; a turn's end is learnt."""
    ids: list[int] = []
    labels: list[int] = []
    for message in messages:
        head = tokenizer.encode(f"{START}{message['role']}\n", add_special_tokens=False)
        body = tokenizer.encode(f"{message['content']}{END}", add_special_tokens=False)
        tail = tokenizer.encode("\n", add_special_tokens=False)
        learnt = body if learn_prompts or message["role"] == "assistant" else [IGNORED] * len(body)
        ids += head + body + tail
        labels += [IGNORED] * len(head) + learnt + [IGNORED] * len(tail)
    return ids, labels


def train(model: Qwen2ForCausalLM, examples: Sequence[tuple[list[int], list[int]]], spec: Spec, stage: Stage) -> None:
    """AdamW with warm-up and linear decay; an event every 50 steps."""
    decay = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.98))
    warmup = max(1, math.ceil(spec.warmup * spec.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, (spec.steps - step) / (spec.steps - warmup + 1)))
    )
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    tokens, losses = 0, []
    if stage.state:
        for part, loaded in zip(parts.values(), load_tensors(stage.state, *parts)):
            part.load_state_dict(loaded)
        (counts,) = load_tensors(stage.state, "counts")
        tokens, losses = counts["tokens"], counts["losses"]
    model.train()
    batches = islice(_batches(examples, spec), stage.step, None)
    for step in range(stage.step + 1, spec.steps + 1):
        ids, labels, mask = next(batches)
        loss = _loss(model, ids, labels, mask)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += int(mask.sum())
        losses.append(loss.item())
        if step % 50 == 0 or step == spec.steps:
            rate = schedule.get_last_lr()[0]
            mean = round(sum(losses) / len(losses), 4)
            stage.event(step, "base", loss=mean, learning_rate=rate, grad_norm=round(norm, 4), tokens=tokens)
            losses = []
        if step % spec.save_every == 0 and step < spec.steps:
            with stage.saving(step) as folder:
                save_tensors(folder, **{name: part.state_dict() for name, part in parts.items()})
                save_tensors(folder, counts={"tokens": tokens, "losses": losses})
    model.eval()


def _loss(model: Qwen2ForCausalLM, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss over the learnt positions; logits are computed for these alone."""
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
    learnt = labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[learnt])
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][learnt])


def _batches(
    examples: Sequence[tuple[list[int], list[int]]], spec: Spec
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless batches in a shuffled order; rows of like length stand together to save padding."""
    generator = torch.Generator().manual_seed(spec.seed)
    pool = 16 * spec.batch_size
    while True:
        order = torch.randperm(len(examples), generator=generator).tolist()
        chunks = []
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=lambda i: len(examples[i][0]))
            chunks += [near[i : i + spec.batch_size] for i in range(0, len(near), spec.batch_size)]
        for i in torch.randperm(len(chunks), generator=generator).tolist():
            yield _pad([examples[j] for j in chunks[i]])


def _pad(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
    labels = torch.tensor([row + [IGNORED] * (width - len(row)) for _, row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in rows])
    return ids, labels, mask
