"""Run folders: what is written of a run, so that a kill at any moment loses at most the work in flight.

`manifest.json` is replaced as a whole (temporary file, fsync, rename). `responses.jsonl` and `scores.jsonl` only
grow, one write per line. A folder has one writer at a time, held by a lock the kernel drops with the process.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.digest import digest, text_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.paths import safe_name, slug
from harness.types import Response, Score

SCHEMA_VERSION = 1
RESPONSES, SCORES, MANIFEST = "responses.jsonl", "scores.jsonl", "manifest.json"
JUDGEMENTS = "judgements.jsonl"
"""Every paid reply of a judge, before anything is made of it"""
LOAD = "load.json"
"""What `easyds loadtest` measured of the served model; replaced as a whole"""
PEOPLE = "people.jsonl"
"""What people said of the responses: derived from the annotation store, replaced as a whole"""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_json(path: Path, value: Any) -> None:
    """`write_text` of `value` as JSON."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`, None where there is no file. Raises EnvironmentProblem for a file that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(f"{path} cannot be read as JSON ({error}). Restore it or delete it.") from error


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` so that a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _storage_problem(path, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_problem(path: Path, error: OSError) -> EnvironmentProblem:
    if error.errno in _NO_SPACE:
        return EnvironmentProblem(
            f"no space left to write {path}. What was written before is kept: free some space and run the same command again."
        )
    return EnvironmentProblem(
        f"cannot write {path}: {error.strerror}. Check the folder's permissions or choose another --runs."
    )


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CREAT, 0o644)
    except OSError as error:
        raise _storage_problem(path, error) from error


def _encode(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON. Half a surrogate pair has no UTF-8 form, so a row that holds one is written escaped."""
    try:
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"


class Lines:
    """An append-only JSONL file. Rows are written at once by a thread of its own and made durable per batch.

    `append` never waits for the disk. An error of the disk is raised by the next `append` or by `close`; a row that
    was only partly written is cut off again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _open(path, os.O_RDWR | os.O_APPEND)
        self._cut_torn_line()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def append(self, row: Mapping[str, Any]) -> None:
        if self._problem:
            raise _storage_problem(self.path, self._problem) from self._problem
        self._queue.put(_encode(row))

    def close(self) -> None:
        if self._descriptor < 0:
            return
        self._queue.put(None)
        self._thread.join()
        os.close(self._descriptor)
        self._descriptor = -1
        if self._problem:
            raise _storage_problem(self.path, self._problem) from self._problem

    def _write_all(self) -> None:
        """Write rows until told to end: one write per row, one fsync for the rows that waited together."""
        line: bytes | None = b""
        while line is not None:
            line = self._queue.get()
            while line is not None:
                if self._problem is None:
                    self._write(line)
                if self._queue.empty():
                    break
                line = self._queue.get()
            if self._problem is None:
                self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._problem = error

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._problem = error
            with suppress(OSError):  # a torn line that cannot be cut off now is cut off by the next writer
                os.ftruncate(self._descriptor, size)

    def _cut_torn_line(self) -> None:
        """A kill in mid-write can leave a last line without its end: that row was never complete."""
        size = os.fstat(self._descriptor).st_size
        end = size
        while end > 0:
            start = max(0, end - 65536)
            chunk = os.pread(self._descriptor, end - start, start)
            newline = chunk.rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._descriptor, end)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file that a run wrote, or of its packed form `path`.gz in a published run.

    A torn last line is passed over. Raises EnvironmentProblem on others.
    """
    packed = path.with_name(path.name + ".gz")
    if not path.exists() and not packed.exists():
        return
    with open(path, "rb") if path.exists() else gzip.open(packed) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise EnvironmentProblem(
                    f"{path}, line {number} is not JSON: the file was changed after it was written. Restore it or delete the run."
                ) from error


class Run:
    """One run folder, for reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{folder} is not a run: it has no readable {MANIFEST}. 'easyds board' lists the runs."
            ) from error
        version = self.manifest.get("schema_version") if isinstance(self.manifest, dict) else None
        if version != SCHEMA_VERSION:
            raise UsageError(
                f"run {self.id} has schema version {version}, this version reads {SCHEMA_VERSION}. Move it to another folder."
            )
        if not all(isinstance(self.manifest.get(name), str) for name in ("created", "status", "configuration_digest")):
            raise UsageError(f"{folder / MANIFEST} was changed after it was written. Restore it or move the run away.")

    def responses(self) -> list[Response]:
        """Every response, once per (item, sample); the first one written counts."""
        seen: dict[tuple[str, int], Response] = {}
        for row in read_lines(self.folder / RESPONSES):
            seen.setdefault((row["item"], row["sample"]), Response(**row))
        return list(seen.values())

    def scores(self) -> list[Score]:
        """Every score, once per (item, sample, criterion, source); the last one written counts."""
        seen: dict[tuple[str, int, str, str], Score] = {}
        for row in read_lines(self.folder / SCORES):
            seen[row["item"], row["sample"], row["criterion"], row["source"]] = Score(**row)
        return list(seen.values())

    def people(self) -> list[Score]:
        """What people said of the responses as they are now; what was said of other texts is left out."""
        rows = list(read_lines(self.folder / PEOPLE))
        texts = {(one.item, one.sample): text_digest(one.text) for one in self.responses()} if rows else {}
        return [Score(**row) for row in rows if texts.get((row["item"], row["sample"])) == row["evidence"]["text"]]


class RunWriter(Run):
    """One run folder, for writing. Use as a context manager: it holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if (folder / f"{RESPONSES}.gz").exists():
            raise UsageError(f"{folder} is a published run, which is not written to. Score the run it was made from.")
        self._lock = lock(folder / ".lock", f"run {folder.name}")
        try:
            super().__init__(folder)  # again: it may have changed before the lock was ours
            self._responses = Lines(folder / RESPONSES)
            self._scores = Lines(folder / SCORES)
        except BaseException:
            os.close(self._lock)
            raise

    def add_response(self, response: Response) -> None:
        self._responses.append(asdict(response))

    def add_scores(self, scores: Iterable[Score]) -> None:
        for score in scores:
            self._scores.append(asdict(score))

    def flush(self) -> None:
        """Wait until every response written so far is on disk, and go on writing."""
        self._responses.close()
        self._responses = Lines(self.folder / RESPONSES)

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest on disk."""
        self.manifest.update(fields)
        write_json(self.folder / MANIFEST, self.manifest)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._responses.close()
            self._scores.close()
        finally:
            os.close(self._lock)


def lock(path: Path, what: str) -> int:
    """Hold `path` as a lock until the descriptor returned is closed or the process ends; its content is our pid.

    Raises EnvironmentProblem naming the holder if another process has it.
    """
    descriptor = _open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise EnvironmentProblem(
            f"{what} is being written by another process (pid {holder}). Wait for it to end, then run the same command again."
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a process holds `path` as its lock."""
    if not path.exists():
        return False
    try:
        os.close(lock(path, str(path)))
    except EnvironmentProblem:
        return True
    return False


def find_runs(root: Path) -> list[Run]:
    """All runs below `root` that can be read, oldest first."""
    return scan(root)[0]


def scan(root: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs below `root`, oldest first, and the folders whose manifest cannot be read, with the reason."""
    found, unreadable = [], {}
    for path in sorted(root.glob(f"[!.]*/{MANIFEST}")) if root.is_dir() else ():
        try:
            found.append(Run(path.parent))
        except UsageError as error:
            unreadable[path.parent.name] = str(error)
    return sorted(found, key=lambda run: (run.manifest["created"], run.id)), unreadable


def open_run(
    root: Path, name: str | None, label: str, configuration: Mapping[str, Any], *, new: bool = False, part: str = ""
) -> RunWriter:
    """The run of `configuration`: an earlier one continued, or a fresh folder.

    A run is known by the digest of its configuration (task, weights, decoding, ...), so a changed configuration is
    always a new run. With `new` an earlier run is left as it is. `part` goes into a fresh folder's name: shards of one run
    that begin in the same second on two machines have different names. Raises UsageError if `name` is taken by another
    configuration, EnvironmentProblem if another process writes the run.
    """
    if name is not None:
        safe_name(name, "run name")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_problem(root, error) from error
    key = digest(configuration)
    guard = _open(root / ".lock", os.O_RDWR)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        folder = _choose_folder(root, name, slug(label, 32 - len(part)) + part, key, new)
        if not (folder / MANIFEST).exists():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise _storage_problem(folder, error) from error
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "id": folder.name,
                "configuration_digest": key,
                "created": datetime.now(UTC).isoformat(timespec="microseconds"),
                "status": "started",
                **configuration,
            }
            write_json(folder / MANIFEST, manifest)
        return RunWriter(folder)
    finally:
        os.close(guard)


def _choose_folder(root: Path, name: str | None, told: str, key: str, new: bool) -> Path:
    if name is not None:
        folder = root / name
        if (folder / MANIFEST).exists() and Run(folder).manifest["configuration_digest"] != key:
            raise UsageError(
                f"run '{name}' exists with another configuration (task, weights or decoding). Choose another --name; nothing was changed."
            )
        return folder
    same = [run for run in find_runs(root) if run.manifest["configuration_digest"] == key]
    if same and not new:
        return same[-1].folder
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = root / f"{stamp}-{told}-{key[:8]}"
    count = 1
    while folder.exists():
        count += 1
        folder = root / f"{stamp}-{told}-{count}-{key[:8]}"
    return folder
