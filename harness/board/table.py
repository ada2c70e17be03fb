"""The scores of one run as columns, from its JSONL files or from a Parquet cache derived from them.

The cache lies in `.cache/` beside the run folders and may be deleted at any time: it is made again. It is read only
when both JSONL files have the size and the times that it was made from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import EasyDSError, UsageError
from harness.record import RESPONSES, SCORES, Run, read_lines
from harness.stats.intervals import Floats
from harness.types import Score

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]
Key = tuple[str, int]
"""(item, sample)"""

MEASURED = ("latency_s", "first_token_s", "completion_tokens")
NOT_APPLICABLE = "not applicable"
"""The reason of a score that does not count as unscored: the criterion does not fit the item"""
CACHE = ".cache"
CACHE_FROM = 1_000_000
"""Bytes of JSONL from which on a cache pays: below, parsing takes less time than importing pyarrow."""
SETTLED_S = 2.0
"""A file that changed less than this ago is not cached: it could change again within the clock's step."""
_FORM = 1


@dataclass(slots=True)
class Table:
    """One row for each (item, sample) that has a response or a score.

    `item` and `sample` name the row; `answered` says that there is a response. `measured` holds what a response cost
    (NaN: not measured). `values[criterion]` is NaN where `applies[criterion]` is false (no score, or not applicable)
    and where the score is unscored. `whole` are the scores of the run as a whole, `sources` who gave each criterion.
    `beside`: the same rows as further judges see them, by source, where another source gave the criterion already.
    """

    items: list[str]
    item: Ints
    sample: Ints
    answered: Bools
    measured: dict[str, Floats]
    values: dict[str, Floats] = field(default_factory=dict)
    applies: dict[str, Bools] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Score] = field(default_factory=dict)
    beside: dict[str, Table] = field(default_factory=dict)


def read(run: Run, cache: bool = True) -> Table:
    """The columns of a run, from the sources that its last scoring named.

    Judges may stand beside each other and beside checks: then the first source that the run names, checks first, is
    the run's own, and the others are kept apart. Raises UsageError if two other sources fill the same criterion (the
    number would depend on their order) or a row has another form; EnvironmentProblem for a file that was changed after
    it was written.
    """
    path = _cache_path(run) if cache else None
    key = _cache_key(run) if path else None
    if path and key and (table := _load(path, key)):
        return table
    try:
        table = _parse(run)
    except EasyDSError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError) as error:
        raise UsageError(f"run {run.id} has a row of another form ({type(error).__name__}: {error}).") from error
    if path and key and not table.beside and key == _cache_key(run) and _settled(run):
        _save(table, path, key)
    return table


def voice(table: Table, metric: str) -> tuple[Table | None, str]:
    """Whose columns make a metric as the board names it, and its name there: `NAME@judge/X` is what a further judge

    says. None: that judge has not scored the run.
    """
    name, _, source = metric.partition("@")
    if not source:
        return table, name
    return next((theirs for full, theirs in table.beside.items() if full.partition("@")[0] == source), None), name


def _parse(run: Run) -> Table:
    rows: dict[Key, int] = {}
    measured: dict[str, dict[int, float]] = {name: {} for name in MEASURED}
    for row in read_lines(run.folder / RESPONSES):
        key = (row["item"], row["sample"])
        if key not in rows:  # the first response written counts
            place = rows[key] = len(rows)
            for name in MEASURED:
                if row[name] is not None:
                    measured[name][place] = float(row[name])
    answered = len(rows)
    cells: dict[str, dict[str, dict[int, float | None]]] = {}
    whole: dict[str, dict[str, Score]] = {}
    order = {source: place for place, source in enumerate(run.manifest.get("scorers", ()))}
    for row in read_lines(run.folder / SCORES):
        criterion, source = row["criterion"], row["source"]
        if source not in order:
            continue
        if row["item"] == "*":
            whole.setdefault(criterion, {})[source] = Score(**row)
            continue
        place = rows.setdefault((row["item"], row["sample"]), len(rows))
        value = row["value"]
        cell = cells.setdefault(criterion, {}).setdefault(source, {})
        if value is None and row["reason"] == NOT_APPLICABLE:
            cell.pop(place, None)
        else:  # the last score written counts
            cell[place] = None if value is None else float(value)
    own: dict[str, str] = {}
    beside: dict[str, list[str]] = {}
    filled = {name: list(by_source) for name, by_source in whole.items()}
    filled |= {name: list(by_source) for name, by_source in cells.items()}
    for criterion, sources in filled.items():
        first, *others = sorted(sources, key=lambda source: (is_judge(source), order[source]))
        if other := next((source for source in others if not is_judge(source)), None):
            raise UsageError(f"run {run.id}: {first} and {other} both fill {criterion}. Score it with one of them.")
        own[criterion] = first
        for source in others:
            beside.setdefault(source, []).append(criterion)
    chosen = {criterion: by_source[own[criterion]] for criterion, by_source in cells.items()}
    wholes = {criterion: by_source[own[criterion]] for criterion, by_source in whole.items()}
    table = _columns(rows, answered, measured, chosen, own, wholes)
    for source, criteria in sorted(beside.items()):
        theirs = {criterion: cells[criterion][source] for criterion in criteria if criterion in cells}
        table.beside[source] = _columns(rows, answered, measured, theirs, dict.fromkeys(theirs, source), {})
    return table


def is_judge(source: str) -> bool:
    """Whether a source's verdicts are a model's opinion, which must be measured against people before it counts."""
    return source.startswith(("judge/", "learned/"))


def of_scores(scores: Iterable[Score]) -> Table:
    """The columns of scores that lie outside a run's own files: what people said. Raises UsageError as `read` does."""
    rows: dict[Key, int] = {}
    sources: dict[str, str] = {}
    cells: dict[str, dict[int, float | None]] = {}
    for one in scores:
        place = rows.setdefault((one.item, one.sample), len(rows))
        sources[one.criterion] = one.source
        cell = cells.setdefault(one.criterion, {})
        if one.value is not None or one.reason != NOT_APPLICABLE:
            cell[place] = one.value
    return _columns(rows, len(rows), {name: {} for name in MEASURED}, cells, sources, {})


def _columns(
    rows: Mapping[Key, int],
    answered: int,
    measured: Mapping[str, Mapping[int, float]],
    cells: Mapping[str, Mapping[int, float | None]],
    sources: dict[str, str],
    whole: dict[str, Score],
) -> Table:
    n = len(rows)
    numbers: dict[str, int] = {}
    item = np.fromiter((numbers.setdefault(name, len(numbers)) for name, _ in rows), dtype=np.intp, count=n)
    sample = np.fromiter((sample for _, sample in rows), dtype=np.intp, count=n)
    table = Table(
        list(numbers), item, sample, np.arange(n) < answered, {name: _column(n, measured[name])[0] for name in MEASURED}
    )
    for criterion in sorted(cells):
        table.values[criterion], table.applies[criterion] = _column(n, cells[criterion])
    table.sources, table.whole = dict(sorted(sources.items())), dict(sorted(whole.items()))
    return table


def _column(n: int, cells: Mapping[int, float | None]) -> tuple[Floats, Bools]:
    places = np.fromiter(cells, dtype=np.intp, count=len(cells))
    values, applies = np.full(n, np.nan), np.zeros(n, dtype=np.bool_)
    values[places] = [np.nan if value is None else value for value in cells.values()]
    applies[places] = True
    return values, applies


def _cache_path(run: Run) -> Path | None:
    """Where the cache of `run` lies; None where none pays or pyarrow is not installed."""
    files = [run.folder / name for name in (RESPONSES, SCORES)]
    if not all(path.exists() for path in files) or find_spec("pyarrow") is None:
        return None
    if sum(path.stat().st_size for path in files) < CACHE_FROM:
        return None
    return run.folder.parent / CACHE / f"{run.id}.parquet"


def _cache_key(run: Run) -> str:
    """All that the columns depend on: which sources count, and size and times of both files."""
    files = [(run.folder / name).stat() for name in (RESPONSES, SCORES)]
    times = [[one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino] for one in files]
    return json.dumps([_FORM, run.manifest.get("scorers", []), times])


def _settled(run: Run) -> bool:
    return all((run.folder / name).stat().st_ctime < time.time() - SETTLED_S for name in (RESPONSES, SCORES))


def _save(table: Table, path: Path, key: str) -> None:
    """Write the cache whole or not at all. A folder that cannot be written has none."""
    from pyarrow import parquet

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(_to_arrow(table, key), temporary)
        os.replace(temporary, path)
    except (OSError, ValueError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _to_arrow(table: Table, key: str) -> Any:
    """A criterion's cell is null where it does not apply and NaN where it is unscored."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "item": pa.DictionaryArray.from_arrays(table.item.astype(np.int32), pa.array(table.items, pa.string())),
        "sample": table.sample,
        "answered": table.answered,
        **table.measured,
    }
    for criterion, values in table.values.items():
        columns[f"score:{criterion}"] = pa.array(values, mask=~table.applies[criterion], from_pandas=False)
    about = {"key": key, "sources": table.sources, "whole": {name: asdict(one) for name, one in table.whole.items()}}
    return pa.table(columns).replace_schema_metadata({"easyds": json.dumps(about)})


def _load(path: Path, key: str) -> Table | None:
    """The cached columns; None if there is no cache, or one of other files."""
    if not path.exists():
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            stored = file.read(use_threads=False)
        about = json.loads(stored.schema.metadata[b"easyds"])
        if about["key"] != key:
            return None
        return _from_arrow(stored, about)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):  # torn, or not ours
        return None


def _from_arrow(stored: Any, about: Mapping[str, Any]) -> Table:
    arrays = {name: stored.column(name).combine_chunks() for name in stored.column_names}
    scores = {name.removeprefix("score:"): array for name, array in arrays.items() if name.startswith("score:")}
    item = arrays["item"]
    return Table(
        item.dictionary.to_pylist(),
        _numbers(item.indices, np.int32).astype(np.intp),
        _numbers(arrays["sample"], np.int64).astype(np.intp),
        _bits(arrays["answered"], 1),
        {name: _numbers(arrays[name], np.float64) for name in MEASURED},
        {name: np.where(_bits(array, 0), _numbers(array, np.float64), np.nan) for name, array in scores.items()},
        {name: _bits(array, 0) for name, array in scores.items()},
        about["sources"],
        {name: Score(**row) for name, row in about["whole"].items()},
    )


def _numbers(array: Any, kind: type[np.generic]) -> NDArray[Any]:
    """The numbers of an Arrow array, whatever stands under its nulls. `to_numpy` would import pandas."""
    if not len(array):
        return np.zeros(0, dtype=kind)
    return np.frombuffer(array.buffers()[1], dtype=kind)[array.offset : array.offset + len(array)]


def _bits(array: Any, buffer: int) -> Bools:
    """A bitmap of an Arrow array: which are valid (buffer 0; none: all are), or the values of booleans (buffer 1)."""
    found = array.buffers()[buffer]
    if found is None:
        return np.ones(len(array), dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(found, dtype=np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(np.bool_)
