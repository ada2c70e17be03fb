"""Dividing rows: into splits by groups, and into equal parts by what they are of. Decided by hash, so by seed alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

from harness.data.rows import Row
from harness.errors import UsageError


def value_of(row: Mapping[str, Any], column: str) -> str:
    """What stands in a column, `a.b` for a nested one, as text; "none" where there is nothing."""
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "none" if value is None else str(value)


def assign(
    rows: Iterable[Row], shares: Mapping[str, float], group: str, by: tuple[str, ...], seed: int
) -> dict[str, str]:
    """The split of each group: rows of one value of `group` stay together, and each split gets its share of the rows of
    every combination of `by` (taken from a group's first row), as nearly as whole groups allow.

    Raises UsageError for shares that do not add up to 1, or rows without the column `group`.
    """
    if not shares or abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) <= 0:
        raise UsageError(
            "--share must name splits whose shares are above 0 and add up to 1, e.g. train=0.9 validation=0.1."
        )
    sizes: Counter[str] = Counter()
    strata: dict[str, tuple[str, ...]] = {}
    for row in rows:
        name = value_of(row, group)
        if name == "none":
            raise UsageError(f"a row has no '{group}' to be grouped by; it has {', '.join(row)[:120]}.")
        sizes[name] += 1
        strata.setdefault(name, tuple(value_of(row, column) for column in by))
    members: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, stratum in strata.items():
        members[stratum].append(name)
    found: dict[str, str] = {}
    for names in members.values():
        filled = dict.fromkeys(shares, 0.0)
        whole = sum(sizes[name] for name in names)
        for name in sorted(names, key=lambda one: (-sizes[one], chance(one, seed))):
            emptiest = max(shares, key=lambda split: shares[split] - filled[split] / whole)
            found[name] = emptiest
            filled[emptiest] += sizes[name]
    return found


def chance(name: str, seed: int) -> float:
    """A number in [0, 1) that a name and a seed fix."""
    return int.from_bytes(blake2b(f"{seed} {name}".encode(), digest_size=7).digest()) / 256**7


def counts(rows: Iterable[Row], by: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """Rows of each combination of the columns."""
    return Counter(tuple(value_of(row, column) for column in by) for row in rows)


def capped(
    rows: Iterable[tuple[str, Row]], by: tuple[str, ...], most: int, of: Mapping[tuple[str, ...], int], seed: int
) -> Iterator[Row]:
    """At most `most` rows of each combination (`of`: how many there are), spread over the file, each as likely."""
    left, taken = dict(of), Counter[tuple[str, ...]]()
    for where, row in rows:
        kind = tuple(value_of(row, column) for column in by)
        need = min(most, of[kind]) - taken[kind]
        if chance(where, seed) * left[kind] < need:  # selection sampling (Knuth, TAOCP 3.4.2, algorithm S)
            taken[kind] += 1
            yield row
        left[kind] -= 1
