"""The right run of an exercise, as statements about it may be checked: what it starts from and what is visible when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.scorers.numerals import numbers

State = Sequence[int | None]
SORTS = frozenset(["insertion-sort", "selection-sort", "bubble-sort", "quick-partition"])
"""Families whose states are the whole array."""


@dataclass(frozen=True)
class RightRun:
    """The right run of an exercise, as statements may speak of it."""

    facts: Mapping[str, Any]
    prompt: str

    @property
    def family(self) -> str:
        return str(self.facts["family"])

    @cached_property
    def given(self) -> list[int]:
        """The numbers of the exercise's opening sentence: the array, list or keys it starts from."""
        opening = re.split(r"\. |。|: ", self.prompt.split("]", 1)[-1].split("〕", 1)[-1])[0]
        return numbers(opening)

    @cached_property
    def states(self) -> list[State | None]:
        """What is visible before the first step (None if that cannot be told) and after each."""
        return [self._initial, *self.facts["states"]]

    @property
    def _initial(self) -> State | None:
        after = self.facts["states"]
        if self.family in SORTS:
            runs = (self.given[i : i + len(after[-1])] for i in range(len(self.given)))
            return next((run for run in runs if sorted(run) == sorted(after[-1])), None)
        if self.family == "linked-list":
            return self.given
        if self.family == "union-find":
            return list(range(len(after[0])))
        if self.family == "circular-queue":
            return [0, 0, *[None] * (len(after[0]) - 2)]
        if self.family == "hash-probing":
            return [None] * len(after[0])
        return None if self.family in ("dynamic-array", "bst-delete", "hash-chaining") else []

    @cached_property
    def edges(self) -> frozenset[tuple[int, int]]:
        """The edges of a graph as the exercise lists them."""
        pairs = re.findall(r"(\d+) ?(?:→|–|->) ?(\d+)", self.prompt)
        return frozenset((int(a), int(b)) for a, b in pairs)

    @cached_property
    def searched(self) -> list[int]:
        """The sorted array of a binary search."""
        last = re.search(r"last has index (\d+)|最后一个元素的下标是 ?(\d+)", self.prompt)
        size = int(last[1] or last[2]) - self.base + 1 if last else 0
        return self.given[:size] if self.in_chinese else self.given[1 : 1 + size]

    @property
    def in_chinese(self) -> bool:
        """Whether the exercise is in Chinese, where the array stands before the number searched for."""
        return "约定" in self.prompt

    @cached_property
    def base(self) -> int:
        """Index of the first element of a binary search."""
        return 1 if re.search(r"low ?= ?1\b", self.prompt) else 0

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """(low, high) before each probe of a binary search, and after the last."""
        low, high = self.base, self.base + len(self.searched) - 1
        right, found = self.facts["right"], [(low, high)]
        if len(self.searched) <= max(right) - self.base:
            return []
        target = self.given[-1 if self.in_chinese else 0]
        for k, mid in enumerate(right):
            if k + 1 < len(right):
                low, high = (mid + 1, high) if right[k + 1] > mid else (low, mid - 1)
            else:
                low, high = (mid + 1, high) if target > self.searched[mid - self.base] else (low, mid - 1)
            found.append((low, high))
        return found

    def heads(self, done: int) -> dict[str, int | None]:
        """The foremost numbers of the left and right run of a merge once `done` elements are written."""
        length = re.search(r"length (\d+)|段长为 ?(\d+)", self.prompt)
        size = int(length[1] or length[2]) if length else 1
        start = done // (2 * size) * 2 * size
        array, written = self.given[: len(self.facts["right"])], set(self.facts["right"][start:done])
        runs = {"left": array[start : start + size], "right": array[start + size : start + 2 * size]}
        return {side: next((v for v in run if v not in written), None) for side, run in runs.items()}

    def cell(self, state: State, index: int) -> set[int | None]:
        """What may be called the content of a slot or index."""
        if self.family == "binary-search":
            state, indices = self.searched, {index - self.base}
        elif self.family in SORTS:
            indices = {index, index - 1}
        else:
            indices = {index + 2 if self.family == "circular-queue" else index}
        return {state[i] for i in indices if 0 <= i < len(state)}

    def contents(self, state: State) -> list[int]:
        """The values of a state in order."""
        if self.family == "bfs":  # what waits in the queue is always a piece of the order of visits
            state = self.facts["right"]
        elif self.family == "circular-queue":
            front, slots = int(state[0] or 0), list(state[2:])
            state = slots[front:] + slots[:front]
        elif self.family == "queue":
            state = state[1:]
        elif self.family == "hash-probing":
            state = state[:-1]
        return [value for value in state if value is not None]
