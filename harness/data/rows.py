"""Rows of JSONL, CSV, Parquet and Hugging Face folders, one at a time: a file may be larger than memory.

CSV holds texts only: a cell that is a JSON list or object is read as one, and written as one.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from harness.errors import EnvironmentProblem, UsageError

Row = dict[str, Any]
BATCH = 2000
"""Rows of a Parquet file held at once."""
ENDINGS = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Broken:
    """A place that holds no row, and why."""

    why: str


Found = tuple[str, Row | Broken]
"""("FILE, line N", what stands there)"""


def scan(path: Path) -> Iterator[Found]:
    """Every row of a file or folder with its place, and what is no row in its place. Raises UsageError for a path that
    is neither, or of another kind."""
    if path.is_dir():
        yield from _folder(path)
    elif not path.exists():
        raise UsageError(f"{path} does not exist.")
    elif path.suffix in _READERS:
        yield from _READERS[path.suffix](path)
    else:
        raise UsageError(f"{path} is none of {', '.join(ENDINGS)}, nor a Hugging Face folder.")


def read(path: Path) -> Iterator[tuple[str, Row]]:
    """Every row with its place. Raises UsageError at the first that is none; 'easyds data validate' lists them all."""
    for where, row in scan(path):
        if isinstance(row, Broken):
            raise UsageError(f"{where}: {row.why}. 'easyds data validate' lists every fault.")
        yield where, row


def _jsonl(path: Path) -> Iterator[Found]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            text, where = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, f"{path}, line {number}"
            if not text.strip():
                continue
            try:
                row = json.loads(text.decode("utf-8"))
            except UnicodeDecodeError as error:
                yield where, Broken(f"not UTF-8 (byte {error.start} of the line)")
            except ValueError as error:
                yield where, Broken(f"not JSON ({error})")
            else:
                yield where, row if isinstance(row, dict) else Broken("not a JSON object")


def _csv(path: Path) -> Iterator[Found]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, None)
            if names is None:
                return
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if len(cells) != len(names):
                    yield where, Broken(f"{len(cells)} cells under {len(names)} columns")
                else:
                    yield where, {name: _cell(cell) for name, cell in zip(names, cells) if cell != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            yield f"{path}, line {reader.line_num}", Broken(f"not CSV in UTF-8 ({error})")


def _cell(text: str) -> Any:
    if text[:1] in ("[", "{") or text in ("true", "false"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _parquet(path: Path) -> Iterator[Found]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise EnvironmentProblem("Parquet needs pyarrow: pip install 'easyds-bench[data]'.") from error
    try:
        with parquet.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(BATCH))
            for number, row in enumerate(rows, start=1):
                yield f"{path}, row {number}", _without_nulls(row)
    except ArrowException as error:
        raise UsageError(f"{path} is no Parquet file ({str(error).splitlines()[0][:120]}).") from error


def _without_nulls(value: Any) -> Any:
    """Columns are shared by all rows of a table: one that a row lacks stands there as null."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _folder(path: Path) -> Iterator[Found]:
    """A folder of Dataset.save_to_disk (*.arrow), or of data files."""
    arrow = sorted(path.glob("*.arrow"))
    files = sorted(one for one in path.rglob("*") if one.suffix in _READERS and not one.name.startswith("."))
    if not arrow and not files:
        raise UsageError(f"{path} holds no data: neither *.arrow nor {', '.join('*' + one for one in ENDINGS)}.")
    for file in arrow:
        from pyarrow import ipc, memory_map

        with memory_map(str(file)) as source, ipc.open_stream(source) as batches:
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            for number, row in enumerate(rows, start=1):
                yield f"{file}, row {number}", _without_nulls(row)
    for file in files if not arrow else ():
        yield from _READERS[file.suffix](file)


_READERS: Mapping[str, Callable[[Path], Iterator[Found]]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a new file by its ending, whole or not at all; how many. Raises UsageError if it exists."""
    if path.exists():
        raise UsageError(f"{path} exists. Choose another --out or remove it; nothing was changed.")
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path}: the output must end in {', '.join(ENDINGS)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        count = _WRITERS[path.suffix](temporary, iter(rows))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write_jsonl(path: Path, rows: Iterator[Mapping[str, Any]]) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_csv(path: Path, rows: Iterator[Mapping[str, Any]]) -> int:
    """The columns are those of the first rows; a later row with another is refused by its number."""
    first = list(islice(rows, BATCH))
    names = list(dict.fromkeys(name for row in first for name in row))
    count = 0
    with _csv_file(path) as file:
        writer = csv.writer(file)  # lines end as RFC 4180 says: a lone carriage return in a text is quoted then
        writer.writerow(names)
        for count, row in enumerate(chain(first, rows), start=1):
            if strange := next((name for name in row if name not in names), None):
                raise UsageError(
                    f"row {count} has a column '{strange}' that the first {len(first)} rows lack. Use .jsonl."
                )
            writer.writerow([_text(row.get(name)) for name in names])
    return count


@contextmanager
def _csv_file(path: Path) -> Iterator[TextIO]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        yield file


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_parquet(path: Path, rows: Iterator[Mapping[str, Any]]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise EnvironmentProblem("Parquet needs pyarrow: pip install 'easyds-bench[data]'.") from error
    count, writer = 0, None
    names: list[str] = []
    try:
        while batch := list(islice(rows, 10 * BATCH)):
            found = list(dict.fromkeys(name for row in batch for name in row))
            names = names or found
            if strange := next((name for name in found if name not in names), None):
                raise UsageError(
                    f"rows from {count + 1} on have a column '{strange}' that earlier ones lack. Use .jsonl."
                )
            try:
                whole = [{name: row.get(name) for name in names} for row in batch]
                table = pyarrow.Table.from_pylist(whole, schema=writer.schema if writer else None)
            except pyarrow.ArrowException as error:
                told = str(error).splitlines()[0][:120]
                last = count + len(batch)
                raise UsageError(f"rows {count + 1} to {last} do not fit one table ({told}). Use .jsonl.") from error
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            count += len(batch)
    finally:
        if writer:
            writer.close()
    if not writer:
        parquet.write_table(pyarrow.table({}), path)
    return count


_WRITERS: Mapping[str, Callable[[Path, Iterator[Mapping[str, Any]]], int]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
