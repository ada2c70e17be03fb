"""Text generation over a slot batch: a finished row leaves at once and a waiting prompt takes its slot.

`transformers.generate` runs a batch until its longest row ends, so short answers pay for long ones. Here rows are
right-aligned in one key-value cache: rows that end are dropped, new prompts are prefilled and joined, and columns
that no row needs any more are cut off. Noise for sampling comes from a generator of each row's own, so a text does
not depend on which rows it shared a batch with.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicCache, DynamicLayer

from harness.types import Decoding


@dataclass(slots=True)
class Row:
    """One prompt on its way through the batch."""

    index: int
    prompt: list[int]
    limit: int
    seed: int
    tokens: list[int] = field(default_factory=list)
    stopped: bool = False
    started: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0
    batch: int = 0
    noise: torch.Generator | None = None


class Slots:
    """The rows being generated, their shared cache (right-aligned) and its attention mask, shape [rows, length]."""

    def __init__(self, model: PreTrainedModel, pad: int, sampler: Sampler) -> None:
        self.model, self.pad, self.sampler = model, pad, sampler
        self.rows: list[Row] = []
        self.cache: DynamicCache | None = None
        self.mask = torch.empty(0, 0, dtype=torch.long, device=model.device)
        layers = DynamicCache(config=model.config).layers
        self.joinable = all(type(layer) is DynamicLayer for layer in layers)

    def admit(self, rows: Sequence[Row]) -> None:
        """Prefill `rows` as one left-padded batch, take their first tokens and join them to the running rows.

        A prompt that several rows share (samples of one item) is computed once.
        """
        places: dict[tuple[int, ...], int] = {}
        index = [places.setdefault(tuple(row.prompt), len(places)) for row in rows]
        width = max(map(len, places))
        device = self.model.device
        ids = torch.tensor([[self.pad] * (width - len(one)) + [*one] for one in places], device=device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in places], device=device)
        started = time.perf_counter()
        for row in rows:
            row.started = started
        cache = DynamicCache(config=self.model.config)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        out = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        logits = out.logits[:, -1]
        if len(places) < len(rows):
            of_row = torch.tensor(index, device=device)
            cache.batch_select_indices(of_row)
            logits, mask = logits[of_row], mask[of_row]
        self._take(rows, logits)
        now = time.perf_counter()
        for row in rows:
            row.first_token = now - started
        self._join(rows, cache, mask)

    def step(self) -> None:
        """One token for every row."""
        device = self.model.device
        ids = torch.tensor([[row.tokens[-1]] for row in self.rows], device=device)
        positions = torch.tensor([[len(r.prompt) + len(r.tokens) - 1] for r in self.rows], device=device)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        out = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            logits_to_keep=1,
        )
        self._take(self.rows, out.logits[:, -1])

    def release(self) -> list[Row]:
        """Remove and return the rows that have ended, and cut off columns that no remaining row uses."""
        ended = [row for row in self.rows if row.stopped or len(row.tokens) >= row.limit]
        if not ended or not (self.joinable or len(ended) == len(self.rows)):
            return []
        now = time.perf_counter()
        for row in ended:
            row.ended = now
        keep = [i for i, row in enumerate(self.rows) if row not in ended]
        self.rows = [self.rows[i] for i in keep]
        if not keep:
            self.cache, self.mask = None, self.mask[:0, :0]
            return ended
        index = torch.tensor(keep, device=self.mask.device)
        cut = self.mask.shape[1] - max(len(r.prompt) + len(r.tokens) - 1 for r in self.rows)
        self.mask = self.mask[index, cut:]
        assert self.cache is not None
        layers: Any = self.cache.layers
        for layer in layers:
            layer.keys, layer.values = layer.keys[index, :, cut:], layer.values[index, :, cut:]
        return ended

    def _take(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        for row, token in zip(rows, self.sampler.pick(rows, logits)):
            if not (row.stopped or len(row.tokens) >= row.limit):
                row.tokens.append(token)
                row.stopped = token in self.sampler.stop
            row.batch = max(row.batch, len(self.rows) + (0 if self.rows and rows is self.rows else len(rows)))

    def _join(self, rows: Sequence[Row], cache: DynamicCache, mask: torch.Tensor) -> None:
        if self.cache is None:
            self.rows, self.cache, self.mask = list(rows), cache, mask
            return
        width = max(self.mask.shape[1], mask.shape[1])
        self.mask = torch.cat([_pad_left(self.mask, width, 1), _pad_left(mask, width, 1)])
        layers: Any = zip(self.cache.layers, cache.layers)
        for old, new in layers:
            old.keys = torch.cat([_pad_left(old.keys, width, 2), _pad_left(new.keys, width, 2)])
            old.values = torch.cat([_pad_left(old.values, width, 2), _pad_left(new.values, width, 2)])
        self.rows = [*self.rows, *rows]


class Sampler:
    """Picks the next token of every row: the most likely one, or a draw by the Gumbel-max trick on the row's own noise."""

    def __init__(self, decoding: Decoding, stop: frozenset[int]) -> None:
        self.stop = stop
        self.greedy = decoding.temperature == 0
        self.warpers = LogitsProcessorList()
        if not self.greedy:
            self.warpers.append(TemperatureLogitsWarper(decoding.temperature))
            if decoding.top_k:
                self.warpers.append(TopKLogitsWarper(decoding.top_k))
            if decoding.top_p < 1:
                self.warpers.append(TopPLogitsWarper(decoding.top_p))

    def pick(self, rows: Sequence[Row], logits: torch.Tensor) -> list[int]:
        """Next tokens, one per row. `logits` has shape [rows, vocabulary]."""
        if self.greedy:
            return logits.argmax(-1).tolist()
        scores = self.warpers(None, logits.float())  # type: ignore[arg-type]
        noise = torch.stack([self._exponential(row, scores) for row in rows])
        return (scores - noise.log()).argmax(-1).tolist()

    @staticmethod
    def _exponential(row: Row, scores: torch.Tensor) -> torch.Tensor:
        if row.noise is None:
            row.noise = torch.Generator(device=scores.device).manual_seed(row.seed)
        return torch.empty_like(scores[0]).exponential_(generator=row.noise)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    rows: Sequence[Row],
    *,
    pad: int,
    stop: frozenset[int],
    decoding: Decoding,
    batch_size: int,
    sampler: Sampler | None = None,
) -> Iterator[Row]:
    """Generate every row and yield each as it ends; rows enter in the order given (sort long prompts first).

    `sampler` may be one that watches what is picked; by default tokens are picked as `decoding` and `stop` say.

    On running out of memory the batch is halved and the rows in flight start again (their noise restarts with them,
    so their texts do not change). Raises torch.OutOfMemoryError when a single row does not fit.
    """
    waiting = deque(rows)
    slots = Slots(model, pad, sampler or Sampler(decoding, stop))
    while waiting or slots.rows:
        entering: list[Row] = []
        try:
            free = batch_size - len(slots.rows)
            if waiting and (not slots.rows or (slots.joinable and free >= max(1, batch_size // 4))):
                entering = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                slots.admit(entering)
            else:
                slots.step()
            exhausted = False
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            exhausted = True
        if exhausted:  # outside of the handler: until it is left, its traceback keeps the failed step's tensors
            batch_size = max(1, batch_size // 2)
            waiting.extendleft(_restarted(row) for row in reversed([*slots.rows, *entering]))
            slots = Slots(model, pad, slots.sampler)
            _free_memory()
            continue
        yield from slots.release()


def _restarted(row: Row) -> Row:
    return Row(row.index, row.prompt, row.limit, row.seed)


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _pad_left(tensor: torch.Tensor, width: int, dim: int) -> torch.Tensor:
    missing = width - tensor.shape[dim]
    if missing == 0:
        return tensor
    shape: list[Any] = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim=dim)
