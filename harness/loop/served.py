"""The gateway's log (`harness/serve/log.py`) read back: served turns of guidance, each with the feedback on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.record import read_lines
from harness.types import Language, Message

Verdicts = Mapping[str, bool | None]
"""Gates of one answer of the model: passed, failed, or not checked"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One piece of guidance as it was served. `gates`: of each answer of the model, the first one first; `at`: seconds.

    `rating` (1 to 5) and `thumbs` (up or down) are the last that came for it.
    """

    id: str
    at: float
    digest: str
    language: Language
    knowledge_point: str
    hint_level: int
    messages: tuple[Message, ...]
    guidance: str
    seconds: float
    gates: tuple[Verdicts, ...]
    regenerated: bool
    fallback: bool
    rating: int | None = None
    thumbs: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the model's first answer failed a gate."""
        return False in self.gates[0].values() if self.gates else False

    @property
    def satisfied(self) -> bool | None:
        """Whether the feedback is good: 4 and 5, or a thumb up; None without feedback."""
        if self.rating is not None:
            return self.rating >= 4
        return None if self.thumbs is None else self.thumbs == "up"


def read(path: Path) -> list[Turn]:
    """The turns of guidance in a log, each once, oldest first. A torn last line is passed over, and so are other routes.

    Raises UsageError for a file that is none, or naming the row that is no row of a log.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file. 'easyds serve --log FILE' writes one.")
    turns: dict[str, Turn] = {}
    feedback: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(read_lines(path), start=1):
        try:
            if row["kind"] == "guidance":
                turns.setdefault(row["id"], _turn(row))
            elif row["kind"] == "feedback":
                feedback[row["id"]] = row
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path}, row {number} is no row of a gateway's log ({type(error).__name__}: {error})."
            ) from error
    if not turns:
        raise UsageError(f"{path} holds no turn of guidance.")
    return [_with(turn, feedback.get(turn.id)) for turn in turns.values()]


def _turn(row: Mapping[str, Any]) -> Turn:
    messages = tuple(Message(one["role"], str(one["content"])) for one in row["messages"])
    if not messages or messages[-1].role != "user" or row["language"] not in ("zh", "en"):
        raise ValueError("a turn is in zh or en and ends with what the student said")
    return Turn(
        id=str(row["id"]),
        at=datetime.fromisoformat(row["at"]).timestamp(),
        digest=str(row["digest"]),
        language=row["language"],
        knowledge_point=str(row["knowledge_point"]),
        hint_level=int(row["hint_level"]),
        messages=messages,
        guidance=str(row["guidance"]),
        seconds=float(row["seconds"]),
        gates=tuple(dict(one) for one in row["gates"]),
        regenerated=bool(row["regenerated"]),
        fallback=bool(row["fallback"]),
    )


def _with(turn: Turn, feedback: Mapping[str, Any] | None) -> Turn:
    return turn if feedback is None else replace(turn, rating=feedback["rating"], thumbs=feedback["thumbs"])
