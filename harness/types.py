"""The vocabulary of the benchmark: every other module speaks in these words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Language = Literal["zh", "en"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class KeyPoints:
    """What good guidance on an item must rest on; a judge and an annotator see it, a system never does."""

    diagnosis: str
    location: str
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One learner situation. `messages` ends with the student's turn; items of one `cluster` share a problem."""

    id: str
    cluster: str
    language: Language
    knowledge_point: str
    difficulty: int
    split: str
    hint_level: int
    messages: tuple[Message, ...]
    key_points: KeyPoints
    answer: str
    misconception: str | None = None
    claims: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked: the chat of one item, for one sample. Controls may look at the item; systems see `messages`."""

    item: Item
    sample: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """What a system said to one item in one sample.

    Token counts are exact (attention mask; up to and including the end-of-turn token) or None where the
    provider does not tell. Times are in seconds, from the moment the request entered its batch.
    """

    item: str
    sample: int
    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int | None
    completion_tokens: int | None
    first_token_s: float | None
    latency_s: float | None
    batch: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no response. It is counted and asked again by the next run, never scored."""

    item: str
    sample: int
    reason: str


@dataclass(frozen=True, slots=True)
class Score:
    """One criterion's value for one response, by one source (a check, a judge, a reference metric, a person).

    `value` is None when the source could not judge: then `reason` says why, and the score counts as unscored,
    never as 0. `item` is "*" for a score of the whole run (a diversity measure).
    """

    item: str
    sample: int
    criterion: str
    source: str
    value: float | None
    reason: str = ""
    evidence: Any = None


@dataclass(frozen=True, slots=True)
class Decoding:
    """How text is generated. Temperature 0 is greedy. Noise depends on (seed, item, sample) alone."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question of a rubric. `kind`: gate (1 pass, 0 fail), graded (2/1/0), nominal or pairwise (labels only)."""

    id: str
    kind: Literal["gate", "graded", "nominal", "pairwise"]
    name: Mapping[str, str]
    definition: Mapping[str, str]
    labels: tuple[Mapping[str, Any], ...]
    not_applicable: Mapping[str, str] | None
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rubric:
    """What good guidance is: criteria and the gold score built from them."""

    name: str
    version: str
    criteria: Mapping[str, Criterion]
    gold: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Task:
    """Items, rubric, scorers and generation settings under one version; `digest` covers all of them."""

    name: str
    version: str
    items: tuple[Item, ...]
    rubric: Rubric
    scorers: tuple[Mapping[str, Any], ...]
    decoding: Decoding
    system: Mapping[str, str]
    digest: str
    description: Mapping[str, str]
    license: str


class Model(Protocol):
    """A system that answers. `identity()` is everything that, when changed, makes its answers another system's."""

    name: str

    def identity(self) -> dict[str, Any]: ...

    def load(self) -> None:
        """Make ready to generate, so that loading is not counted as generating."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Response | Failure]: ...


class Scorer(Protocol):
    """Turns responses into scores. `source` names it with its version; `criteria` are those that it fills."""

    source: str
    criteria: tuple[str, ...]

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]: ...


@runtime_checkable
class Recording(Scorer, Protocol):
    """A scorer whose scores cost time or money (a judge): it works while answers still come, and keeps what it was told.

    `open` before `offer` and `score`; `close` in any case. `account` says what was asked, failed and spent.
    """

    def open(self, folder: Path | None) -> None: ...

    def offer(self, item: Item, response: Response) -> None: ...

    def account(self) -> dict[str, Any]: ...

    def close(self) -> None: ...
