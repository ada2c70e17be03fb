"""Texts that are the same or nearly: within a file, between files, and between training data and a task's items.

Exact copies are found by hash. Near ones by MinHash (Broder 1997) of 3-grams, of characters for Chinese and of words for
other text, looked up by locality-sensitive hashing (datasketch), then confirmed by the shingles' own Jaccard similarity.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from harness.errors import EnvironmentProblem

PERMUTATIONS = 64
NEAR = 0.7
"""Jaccard similarity from which two texts are near-duplicates."""
_HAN = re.compile(r"[一-鿿]")


def normalised(text: str) -> str:
    """NFKC, lower case, digits kept, punctuation and space folded to single spaces."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).strip()


def shingles(text: str) -> frozenset[str]:
    """Character 3-grams of a text that is Chinese by a fifth, else word 3-grams; a shorter text is one shingle."""
    plain = normalised(text)
    if len(_HAN.findall(plain)) * 5 >= len(plain.replace(" ", "")):
        whole = plain.replace(" ", "")
        return frozenset(whole[at : at + 3] for at in range(max(1, len(whole) - 2)))
    words = plain.split()
    return frozenset(" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second) if first or second else 1.0


@dataclass(frozen=True, slots=True)
class Copy:
    """A text that was there before: where it stands, where its like stands, and how alike (1: the same)."""

    where: str
    like: str
    similarity: float


class Index:
    """Texts by what they are like. Holds a hash and a sketch of each text, and the shingles of those it may confirm."""

    def __init__(self, near: float = NEAR) -> None:
        """`near` above 1 finds exact copies only. Raises EnvironmentProblem without datasketch."""
        self.near = near
        self._exact: dict[bytes, str] = {}
        self._shingles: dict[str, frozenset[str]] = {}
        self._lsh: Any = None
        if near <= 1:
            try:
                from datasketch import MinHashLSH
            except ImportError as error:
                raise EnvironmentProblem(
                    "near-duplicates need datasketch: pip install 'easyds-bench[data]'."
                ) from error
            # recall before precision: what the sketch finds too much, the shingles' own similarity drops
            self._lsh = MinHashLSH(threshold=near, num_perm=PERMUTATIONS, weights=(0.2, 0.8))

    def like(self, text: str) -> tuple[str, float] | None:
        """(where, similarity) of an indexed text that `text` copies, the likest one; None if there is none."""
        if same := self._exact.get(_hash(text)):
            return same, 1.0
        if self._lsh is None:
            return None
        own = shingles(text)
        alike = [(where, jaccard(own, self._shingles[where])) for where in self._lsh.query(_sketch(own))]
        best = max(alike, key=lambda one: one[1], default=None)
        return best if best and best[1] >= self.near else None

    def add(self, where: str, text: str) -> None:
        """Remember a text under its place, which no other text has."""
        self._exact.setdefault(_hash(text), where)
        if self._lsh is not None and where not in self._shingles:
            self._shingles[where] = shingles(text)
            self._lsh.insert(where, _sketch(self._shingles[where]))


def _hash(text: str) -> bytes:
    return blake2b(normalised(text).encode(), digest_size=12).digest()


def _sketch(of: frozenset[str]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch([one.encode() for one in of])
    return sketch


def copies(texts: Iterable[tuple[str, str]], index: Index) -> Iterator[tuple[str, Copy | None]]:
    """(place, copy or None) of each text in turn; one that copies none is remembered."""
    for where, text in texts:
        found = index.like(text)
        if found is None:
            index.add(where, text)
        yield where, Copy(where, *found) if found else None


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training row that holds much of a task's item: the share of the item's n-grams that stand in the row."""

    where: str
    item: str
    share: float


class Items:
    """The n-grams of a task's items: what a training row is held against (Brown et al. 2020, appendix C)."""

    def __init__(self, texts: Mapping[str, str], n: int = 8) -> None:
        """`texts` by item id; `n` words, or 2 n characters of Chinese, which say about as much.

        An n-gram of more than a twentieth of the items is the task's manner of speaking, and is no sign of an item that
        has others.
        """
        self.n = n
        whole = {name: frozenset(_grams(text, n)) for name, text in texts.items()}
        often = Counter(gram for grams in whole.values() for gram in grams)
        most = max(2, len(texts) // 20)
        self._of = {name: frozenset(g for g in grams if often[g] <= most) or grams for name, grams in whole.items()}
        self._items: dict[str, list[str]] = {}
        for name, grams in self._of.items():
            for gram in grams:
                self._items.setdefault(gram, []).append(name)

    def overlap(self, where: str, text: str, least: float) -> Overlap | None:
        """The item of which most stands in `text`, if at least the share `least` does."""
        shared: dict[str, int] = {}
        for gram in set(_grams(text, self.n)):
            for name in self._items.get(gram, ()):
                shared[name] = shared.get(name, 0) + 1
        shares = {name: count / len(self._of[name]) for name, count in shared.items()}
        best = max(shares, key=lambda name: shares[name], default=None)
        return Overlap(where, best, shares[best]) if best is not None and shares[best] >= least else None


def _grams(text: str, n: int) -> Iterator[str]:
    """Word n-grams, or 2n-grams of characters where a fifth is Chinese; a shorter text is one."""
    plain = normalised(text)
    if len(_HAN.findall(plain)) * 5 >= len(plain.replace(" ", "")):
        whole = plain.replace(" ", "")
        yield from (whole[at : at + 2 * n] for at in range(max(1, len(whole) - 2 * n + 1)))
    else:
        words = plain.split()
        yield from (" ".join(words[at : at + n]) for at in range(max(1, len(words) - n + 1)))
