"""Texts that are the same or nearly: within a file, between files, and between training data and a task's items.

Exact copies are found by hash. Near ones by MinHash (Broder 1997) of 3-grams, of characters for Chinese and of words for
other text, looked up by locality-sensitive hashing (datasketch), then confirmed by the shingles' own Jaccard similarity.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, islice
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np

from harness.errors import EnvironmentProblem

PERMUTATIONS = 64
NEAR = 0.7
"""Jaccard similarity from which two texts are near-duplicates."""
WIDTH = 8
"""Texts of one bucket that each is compared with. In a longer bucket all are like its first, or they are no copies."""
SLACK = 0.2
"""How far below `near` the similarity of two sketches may lie (three standard deviations of 64 draws at 0.7)."""
CHUNK = 50_000
"""Pairs of sketches compared at once."""
BATCH = 64
"""Texts encoded at once."""
R = TypeVar("R", bound=Mapping[str, object])
_HAN = re.compile(r"[一-鿿]")
_UNIT = re.compile(r"[一-鿿]|[^\W_一-鿿]+")


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


@dataclass(frozen=True, slots=True)
class Copy:
    """A text that was there before: where it stands, where its like stands, and how alike (1: the same)."""

    where: str
    like: str
    similarity: float


class Copies:
    """Texts, added one after the other; then the copies among them. Sketches and shingles lie in temporary files, so that
    a million texts take some 600 bytes of memory each, whatever their length."""

    def __init__(self, near: float = NEAR) -> None:
        """`near` above 1 finds exact copies only. Raises EnvironmentProblem without datasketch."""
        self.near = near
        self._places: list[str] = []
        self._first: dict[bytes, int] = {}
        self._same: dict[int, int] = {}
        self._drawn, self._hashed = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (they live as long as this object)
        self._members: list[int] = []
        self._ends = array("q", [0])
        if near <= 1:
            try:
                from datasketch import MinHash, MinHashLSH
            except ImportError as error:
                raise EnvironmentProblem(
                    "near-duplicates need datasketch: pip install 'easyds-bench[data]'."
                ) from error
            # recall before precision: what the sketches find too much, the shingles' own similarity drops
            lsh = MinHashLSH(threshold=near, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
            self._bands, self._rows = lsh.b, lsh.r
            self._empty = MinHash(num_perm=PERMUTATIONS, hashfunc=_hash32)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, where: str, text: str) -> None:
        """Remember a text and its place."""
        number = len(self._places)
        self._places.append(where)
        first = self._first.setdefault(blake2b(normalised(text).encode(), digest_size=12).digest(), number)
        if first != number:
            self._same[number] = first
        elif self.near <= 1:
            own = [one.encode() for one in shingles(text)]
            sketch = self._empty.copy()
            sketch.update_batch(own)
            self._drawn.write(sketch.hashvalues.astype(np.uint32).tobytes())
            hashes = np.unique(np.fromiter(map(_hash32, own), np.uint32, len(own)))
            self._hashed.write(hashes.tobytes())
            self._members.append(number)
            self._ends.append(self._ends[-1] + len(hashes))

    def found(self, since: int = 0) -> dict[int, Copy]:
        """The texts from the number `since` on that copy an earlier one which is no copy itself: the likest of those."""
        near: dict[int, list[tuple[int, float]]] = {}
        for earlier, later, similarity in self._alike(since):
            near.setdefault(later, []).append((earlier, similarity))
        result: dict[int, Copy] = {}
        for number in sorted({*near, *self._same}):
            if number < since:
                continue
            like = self._same.get(number)
            if like is not None and like in result:  # the first of these is a copy of a third, and so is this one
                result[number] = Copy(self._places[number], result[like].like, result[like].similarity)
            elif like is not None:
                result[number] = Copy(self._places[number], self._places[like], 1.0)
            else:
                left = [one for one in near[number] if one[0] not in result]
                if left:
                    like, similarity = max(left, key=lambda one: one[1])
                    result[number] = Copy(self._places[number], self._places[like], similarity)
        return result

    def _alike(self, since: int) -> Iterator[tuple[int, int, float]]:
        """(earlier, later, similarity) of pairs that share a band of their sketches and are as alike as asked."""
        if not self._members:
            return
        for file in (self._drawn, self._hashed):
            file.flush()
        sketches = np.memmap(self._drawn, np.uint32, "r").reshape(-1, PERMUTATIONS)
        hashes, members = np.memmap(self._hashed, np.uint32, "r"), np.array(self._members)
        seen: set[tuple[int, int]] = set()
        for band in range(self._bands):
            columns = np.ascontiguousarray(sketches[:, band * self._rows : (band + 1) * self._rows])
            keys = columns.view([("", np.uint32)] * self._rows).ravel()
            order = np.argsort(keys, kind="stable")
            ordered = keys[order]
            starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
            first = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
            for back in range(WIDTH + 1):  # each with those before it in its bucket, and with the bucket's first
                at = np.arange(len(order))
                other = first if back == WIDTH else at - 1 - back
                inside = (other >= first) & (other < at)
                earlier, later = order[other[inside]], order[at[inside]]
                wanted = members[later] >= since
                for x, y in _likely(sketches, earlier[wanted], later[wanted], self.near - SLACK):
                    if (x, y) in seen:
                        continue
                    seen.add((x, y))
                    own, like = (hashes[self._ends[one] : self._ends[one + 1]] for one in (y, x))
                    shared = len(np.intersect1d(own, like, assume_unique=True))
                    similarity = shared / (len(own) + len(like) - shared)
                    if similarity >= self.near:
                        yield int(members[x]), int(members[y]), similarity


def _likely(sketches: np.ndarray, earlier: np.ndarray, later: np.ndarray, least: float) -> Iterator[tuple[int, int]]:
    """The pairs whose sketches agree in at least the share `least`."""
    for start in range(0, len(earlier), CHUNK):
        x, y = earlier[start : start + CHUNK], later[start : start + CHUNK]
        kept = (sketches[x] == sketches[y]).mean(axis=1) >= least
        yield from zip(x[kept].tolist(), y[kept].tolist())


def _hash32(part: bytes) -> int:
    return zlib.crc32(part)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training row that holds much of a task's item: the share of the item's n-grams that stand in the row."""

    where: str
    item: str
    share: float


class Items:
    """The n-grams of a task's items: what a training row is held against (Brown et al. 2020, appendix C)."""

    def __init__(self, texts: Mapping[str, str], n: int = 8) -> None:
        """`texts` by item id; `n` words, or 2 n characters of Chinese, which say about as much. What stands around an item
        does not matter, in whatever language.

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
    """From each word or Chinese character on, as many as weigh n words, two characters weighing one; a shorter text is one."""
    units = _UNIT.findall(normalised(text))
    whole = " ".join(units)
    starts = [0, *accumulate(len(unit) + 1 for unit in units)]
    weights = [0, *accumulate(1 if "一" <= unit <= "鿿" else 2 for unit in units)]
    if weights[-1] <= 2 * n:
        yield whole
        return
    place = {weight: at for at, weight in enumerate(weights)}
    for start, weight in zip(starts, weights):
        end = place.get(weight + 2 * n) or place.get(weight + 2 * n + 1)
        if end:
            yield whole[start : starts[end] - 1]


@dataclass(frozen=True, slots=True)
class Reworded:
    """A training row whose prompt means what a task's item means, as an encoder sees it."""

    where: str
    item: str
    cosine: float


def meaning(
    rows: Iterable[tuple[str, R]],
    text: Callable[[R], str],
    items: Mapping[str, str],
    encode: Callable[[Sequence[str]], np.ndarray],
    least: float,
) -> Iterator[tuple[str, R, Reworded | None]]:
    """Each row in turn with the item nearest to its text, if their cosine is at least `least`; `BATCH` rows at once.

    `encode`: n texts to n vectors of length 1. The bar is the encoder's own: print a few clean rows' cosines first.
    """
    names, whole = list(items), list(items.values())
    known = np.concatenate([encode(whole[at : at + BATCH]) for at in range(0, len(whole), BATCH)])
    stream = iter(rows)
    while batch := list(islice(stream, BATCH)):
        cosines = encode([text(row) for _, row in batch]) @ known.T
        for (where, row), own, at in zip(batch, cosines, cosines.argmax(axis=1)):
            value = float(own[at])
            yield where, row, Reworded(where, names[at], value) if value >= least else None
