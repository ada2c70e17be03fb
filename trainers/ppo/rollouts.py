"""Episodes: the policy's answers to prompts, and what the update needs to know of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.models.engine import Row, Sampler, generate
from harness.types import Decoding
from trainers.checkpoint import Loaded
from trainers.data import Prompt
from trainers.ppo import maths
from trainers.ppo.backbone import Backbone

Pair = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of an answer to it."""


@dataclass(slots=True)
class Episode:
    """One answer. `tokens` ends with the end of turn if the policy said it (`ended`); `text` is without it."""

    index: int
    prompt: Prompt
    tokens: list[int]
    ended: bool
    text: str
    sampled: list[float] = field(default_factory=list)
    """Log-probability of each token when it was drawn."""

    @property
    def pair(self) -> Pair:
        return self.prompt.ids, self.tokens


class Recorder(Sampler):
    """A sampler that keeps the log-probability of what it picks, one number a token, and nothing of the rest."""

    def __init__(self, decoding: Decoding, stop: frozenset[int]) -> None:
        super().__init__(decoding, stop)
        self.temperature = decoding.temperature or 1.0
        self.found: dict[int, list[float]] = {}

    def pick(self, rows: Sequence[Row], logits: Tensor) -> list[int]:
        tokens = super().pick(rows, logits)
        chosen = torch.tensor(tokens, device=logits.device)[:, None]
        log_probs = (logits.float() / self.temperature).log_softmax(-1).gather(1, chosen)[:, 0].tolist()
        for row, value in zip(rows, log_probs):
            if not row.tokens:  # a row that starts, or starts again after memory ran out
                self.found[row.index] = []
            self.found[row.index].append(value)
        return tokens


def prompts_of(prompts: Sequence[Prompt], seed: int, iteration: int, count: int) -> list[Prompt]:
    """The `count` prompts of an iteration (from 0): each pass over the data is a shuffle of its own.

    A function of (seed, iteration) alone, so that the position in the data is the iteration.
    """
    found = []
    for position in range(iteration * count, (iteration + 1) * count):
        passed, place = divmod(position, len(prompts))
        found.append(prompts[_order(len(prompts), seed, passed)[place]])
    return found


def _order(count: int, seed: int, passed: int) -> list[int]:
    key = (count, seed, passed)
    if key not in _orders:
        _orders.clear()
        _orders[key] = torch.randperm(
            count, generator=torch.Generator().manual_seed(noise(seed, "order", passed))
        ).tolist()
    return _orders[key]


_orders: dict[tuple[int, int, int], list[int]] = {}


def noise(seed: int, *parts: object) -> int:
    """A seed for one purpose, from the run's seed and what names the purpose. No generator has a state to be saved."""
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def play(
    backbone: Backbone, asked: Mapping[int, Prompt], loaded: Loaded, decoding: Decoding, batch_size: int
) -> list[Episode]:
    """One answer to each prompt, in the order given. A row's noise depends on (decoding.seed, its index) alone."""
    rows = [Row(index, one.ids, decoding.max_new_tokens, noise(decoding.seed, index)) for index, one in asked.items()]
    rows.sort(key=lambda row: -len(row.prompt))
    stop = frozenset({loaded.end})
    recorder = Recorder(decoding, stop)
    found = {}
    for row in generate(
        backbone.model,
        rows,
        pad=loaded.pad,
        stop=stop,
        decoding=decoding,
        batch_size=batch_size,
        sampler=recorder,
    ):
        said = row.tokens[:-1] if row.stopped else row.tokens
        text = str(loaded.tokenizer.decode(said, skip_special_tokens=True)).strip()
        sampled = recorder.found.pop(row.index)[: len(row.tokens)]
        found[row.index] = Episode(row.index, asked[row.index], row.tokens, row.stopped, text, sampled)
    return [found[index] for index in asked]


@dataclass(slots=True)
class Batch:
    """Episodes with their tensors [episodes, tokens]: see maths. `kl` is the exact KL to the reference at each token."""

    episodes: list[Episode]
    mask: Tensor
    logp: Tensor
    reference_logp: Tensor
    kl: Tensor
    entropy: Tensor
    values: Tensor
    advantages: Tensor = field(init=False)
    returns: Tensor = field(init=False)


@dataclass(frozen=True, slots=True)
class Packed:
    """Answers with their prompts as rows of the model, each prompt once with all of its answers after it.

    Answers to one prompt do not see each other, and each is at the positions it would have alone: the states are the
    same (up to rounding), and the prompt is computed once for all of them. `allowed` is [rows, 1, length, length].
    """

    ids: Tensor
    positions: Tensor
    allowed: Tensor
    before: Tensor
    """Flat place of the state before each token of the answers, answer by answer."""
    last: Tensor
    """Flat place of each answer's last token."""


def pack(pairs: Sequence[Pair], filler: int, device: torch.device) -> Packed:
    """Pack (prompt, answer) token ids."""
    groups = list(_groups(pairs).values())
    rows = [[*pairs[group[0]][0], *(token for i in group for token in pairs[i][1])] for group in groups]
    width = max(len(row) for row in rows)
    positions, part = torch.zeros(2, len(rows), width, dtype=torch.long)
    part[:] = -1
    before, last = {}, {}
    for row, group in enumerate(groups):
        prompt = at = len(pairs[group[0]][0])
        positions[row, :prompt], part[row, :prompt] = torch.arange(prompt), 0
        for number, i in enumerate(group, start=1):
            end = at + len(pairs[i][1])
            positions[row, at:end], part[row, at:end] = torch.arange(prompt, prompt + end - at), number
            before[i] = [row * width + place for place in (prompt - 1, *range(at, end - 1))]
            last[i], at = row * width + end - 1, end
    seen = (part[:, None] == 0) | (part[:, None] == part[:, :, None])
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    ids = torch.tensor([row + [filler] * (width - len(row)) for row in rows])
    order = range(len(pairs))
    return Packed(
        ids.to(device),
        positions.to(device),
        (seen & causal)[:, None].to(device),
        torch.tensor([place for i in order for place in before[i]], device=device),
        torch.tensor([last[i] for i in order], device=device),
    )


def _groups(pairs: Sequence[Pair]) -> dict[tuple[int, ...], list[int]]:
    """Places of the answers to each prompt."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, (prompt, _) in enumerate(pairs):
        found.setdefault(tuple(prompt), []).append(place)
    return found


def micro_batches(pairs: Sequence[Pair], size: int) -> Iterator[list[int]]:
    """Places of the pairs, at most `size` at a time; answers to one prompt and rows of like length together."""
    groups = sorted(
        _groups(pairs).values(), key=lambda group: sum(len(pairs[i][1]) for i in group) + len(pairs[group[0]][0])
    )
    order = [place for group in groups for place in group]
    for start in range(0, len(order), size):
        yield order[start : start + size]


def response_states(backbone: Backbone, episodes: Sequence[Episode], filler: int) -> tuple[Tensor, Tensor]:
    """States that predict the responses' tokens, and those tokens, episode by episode: [tokens, width], [tokens]."""
    packed = pack([one.pair for one in episodes], filler, backbone.model.device)
    tokens = torch.tensor([token for one in episodes for token in one.tokens], device=packed.ids.device)
    return backbone.hidden(packed.ids, packed.positions, packed.allowed)[packed.before], tokens


@torch.no_grad()
def measure(backbone: Backbone, episodes: list[Episode], filler: int, temperature: float, size: int) -> Batch:
    """Log-probabilities under policy and reference, their exact KL, entropy and values, before the update.

    The KL over the whole vocabulary costs no model pass more than log-probabilities alone: both adapters' states are at
    hand, and the logits are made and dropped chunk by chunk.
    """
    device = backbone.model.device
    lengths = torch.tensor([len(one.tokens) for one in episodes], device=device)
    mask = torch.arange(int(lengths.max()), device=device) < lengths[:, None]
    parts = {
        name: torch.zeros(mask.shape, device=device) for name in ("logp", "reference_logp", "kl", "entropy", "values")
    }
    for places in micro_batches([one.pair for one in episodes], size):
        some = [episodes[i] for i in places]
        states, tokens = response_states(backbone, some, filler)
        with backbone.using("reference"):
            others, _ = response_states(backbone, some, filler)
        columns = []
        for part in backbone.chunks(len(tokens)):
            own, other = backbone.log_probs(states[part], temperature), backbone.log_probs(others[part], temperature)
            picked = tokens[part, None]
            columns.append(
                torch.stack(
                    [
                        own.gather(1, picked)[:, 0],
                        other.gather(1, picked)[:, 0],
                        maths.exact_kl(own, other),
                        -(own.exp() * own).sum(-1),
                        backbone.values(states[part]),
                    ]
                )
            )
        for name, flat in zip(parts, torch.cat(columns, dim=1)):
            parts[name][places] = spread(flat, mask[places])
    return Batch(episodes, mask.float(), **parts)


def spread(flat: Tensor, mask: Tensor) -> Tensor:
    """Values of responses in a row [tokens], put to their places [episodes, tokens]; 0 elsewhere."""
    return flat.new_zeros(mask.shape).masked_scatter(mask, flat)
