"""One digest for everything that identifies a result: configurations, tasks, rubrics, files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """SHA-256 of a JSON value (dataclasses and mappings included), independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else asdict(value)


def text_digest(text: str) -> str:
    """SHA-256 of a text, halves of surrogate pairs included, which UTF-8 alone does not know."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and the bytes of files. Files are read side by side: hashing releases the interpreter."""
    ordered = sorted(paths)
    with ThreadPoolExecutor(max_workers=8) as pool:
        digests = list(pool.map(file_digest, ordered))
    return digest([[path.name, value] for path, value in zip(ordered, digests)])
