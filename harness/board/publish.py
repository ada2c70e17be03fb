"""Run folders carried elsewhere: packed for a published board, or copied from another machine."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.board import trust
from harness.board.table import is_judge, read
from harness.digest import digest, file_digest
from harness.errors import EasyDSError, UsageError
from harness.paths import safe_name
from harness.record import LOAD, MANIFEST, PEOPLE, RESPONSES, SCORES, Run, read_json, read_lines, scan, write_json
from harness.types import Task


def publish_runs(task: Task, runs: Iterable[Run], folder: Path) -> list[str]:
    """Pack every ended run on this version of `task` into `folder`; returns the names of those new or changed.

    A packed run is a run folder that `Run` reads: the manifest, and responses and scores as .jsonl.gz without the
    evidence (which scoring the texts again brings back). Runs published before stay; a run that cannot be read is
    passed over. Raises UsageError if one of another configuration has the same name; then nothing was written.
    """
    ours = [run for run in runs if _is_of(run, task) and _is_readable(run)]
    for run in ours:
        _refuse_other(run, folder / safe_name(run.id, "run name"))
    for run in ours:
        for source in filter(is_judge, run.manifest.get("scorers", ())):
            if found := trust.known(run.folder.parent, source):
                trust.remember(folder, **found)
    return [run.id for run in ours if _pack(run, folder / run.id)]


def _is_of(run: Run, task: Task) -> bool:
    made_on = run.manifest.get("task")
    if not isinstance(made_on, dict) or run.manifest["status"] == "started":
        return False
    return bool(made_on.get("name") == task.name and made_on.get("digest") == task.digest)


def _is_readable(run: Run) -> bool:
    try:
        read(run)
    except EasyDSError:
        return False
    return True


def _refuse_other(run: Run, target: Path) -> None:
    if target.exists() and Run(target).manifest["configuration_digest"] != run.manifest["configuration_digest"]:
        raise UsageError(
            f"{target} is another run of the same name (weights, task or decoding differ). Rename one of them; nothing was changed."
        )


def _pack(run: Run, target: Path) -> bool:
    """Write the packed run; True if it differs from what was there. The same run gives the same bytes."""
    sources = set(run.manifest.get("scorers", ()))
    scores = [row for row in read_lines(run.folder / SCORES) if row["source"] in sources]
    for row in scores:
        if row["item"] != "*":  # a score of the whole run keeps its n and limits there
            row["evidence"] = None
    files = {f"{RESPONSES}.gz": list(read_lines(run.folder / RESPONSES)), f"{SCORES}.gz": scores}
    if people := list(read_lines(run.folder / PEOPLE)):
        files[f"{PEOPLE}.gz"] = people
    target.mkdir(parents=True, exist_ok=True)
    changed = False
    for name, rows in files.items():
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        packed = gzip.compress(text.encode(), mtime=0)
        if not (target / name).exists() or (target / name).read_bytes() != packed:
            (target / name).write_bytes(packed)
            changed = True
    if load := read_json(run.folder / LOAD):
        load = {**load, "model": Path(str(load.get("model"))).name}
        if read_json(target / LOAD) != load:
            write_json(target / LOAD, load)
            changed = True
    manifest = {**run.manifest, "model": without_place(run.manifest["model"])}
    if not (target / MANIFEST).exists() or Run(target).manifest != manifest:
        write_json(target / MANIFEST, manifest)
        changed = True
    return changed


def without_place(model: str) -> str:
    """A model's name without where a local checkpoint lies: its last two folders stay. Others' disks are not ours to tell.

    >>> without_place("hf//home/ann/out/dpo-0/checkpoint")
    'hf/./dpo-0/checkpoint'
    """
    found = re.match(r"(.+?/)([/.~].*)$", model)
    return found[1] + "./" + "/".join(Path(found[2]).parts[-2:]) if found else model


@dataclass(frozen=True, slots=True)
class Merged:
    """Names of the runs that were copied, that were there already, and shards: (the run they belong to, the shard)."""

    copied: list[str]
    known: list[str]
    shards: list[tuple[Path, Run]]


def merge(source: Path, root: Path) -> Merged:
    """Copy the runs of folder `source` into `root`.

    A run with the same name and the same content is left as it is. A shard of a run whose other shard is in `root` is not
    copied but named: `run.join` takes it in. Raises UsageError if a run has the same name and other content, or cannot be
    read; then nothing was copied.
    """
    runs, unreadable = scan(source)
    if unreadable:
        raise UsageError(f"{next(iter(unreadable.values()))} Nothing was copied.")
    if not runs:
        raise UsageError(f"{source} holds no run folder.")
    fresh: list[Run] = []
    merged = Merged([], [], [])
    there = scan(root)[0]
    for run in runs:
        place = root / safe_name(run.id, "run name")
        whole, known = _whole(run, there)
        if whole and not known:
            merged.shards.append((whole.folder, run))
        elif whole or (place.exists() and content(run.folder) == content(place)):
            merged.known.append(run.id)
        elif place.exists():
            raise UsageError(
                f"run {run.id} exists in {root} with other content. Rename one of the two folders; nothing was copied."
            )
        else:
            fresh.append(run)
    for run in fresh:
        if link := next((path for path in run.folder.rglob("*") if path.is_symlink()), None):
            raise UsageError(f"{link} is a link, which a run folder never holds. Nothing was copied.")
    root.mkdir(parents=True, exist_ok=True)
    for run in fresh:
        whole, _ = _whole(run, there)
        if whole:  # a shard whose other shard has just been copied
            merged.shards.append((whole.folder, run))
            continue
        temporary = root / f".{run.id}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(run.folder, temporary, ignore=shutil.ignore_patterns(".lock"))
        temporary.rename(root / run.id)
        merged.copied.append(run.id)
        there.append(Run(root / run.id))
    return merged


def _whole(shard: Run, there: Iterable[Run]) -> tuple[Run | None, bool]:
    """The run that a shard is a part of, and whether it was taken into it; (None, False) for what is no shard."""
    if not shard.manifest.get("shard"):
        return None, False
    key = shard.manifest["configuration_digest"]
    same = [run for run in there if run.manifest["configuration_digest"] == key]
    if taken := next((run for run in same if _holds(run, shard)), None):
        return taken, True
    return next((run for run in same if run.manifest.get("shard")), None), False


def _holds(whole: Run, shard: Run) -> bool:
    """Whether a shard was taken into a run to the end: its responses, its sessions, and the count of what is missing."""
    mine, theirs = ({(one.item, one.sample, one.text) for one in run.responses()} for run in (whole, shard))
    sessions = whole.manifest.get("sessions", [])
    counted = whole.manifest.get("missing") == whole.manifest["requests"] - len(mine)
    return theirs <= mine and counted and all(one in sessions for one in shard.manifest.get("sessions", []))


def content(folder: Path) -> str:
    """The digest of all that a run folder holds, its lock aside, and what is measured or said of it elsewhere (people, load)."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", PEOPLE, LOAD)))
    files = sorted(found)
    return digest([[str(path.relative_to(folder)), file_digest(path)] for path in files])
