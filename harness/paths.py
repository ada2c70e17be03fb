"""Where things lie: the project's data folders (checkout or wheel), which names may become paths, and YAML files."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NODES = 100_000
"""Values in a YAML file, its aliases written out"""
_PACKAGE = Path(__file__).resolve().parent


def data_root() -> Path:
    """The folder that holds rubrics/, datasets/ and experiments/: `harness/_data` in a wheel, the checkout otherwise."""
    bundled = _PACKAGE / "_data"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def rubrics() -> Path:
    return data_root() / "rubrics"


def datasets() -> Path:
    return data_root() / "datasets"


def experiments() -> Path:
    return data_root() / "experiments"


def safe_name(name: str, kind: str) -> str:
    """`name` if it may become a path component. Raises UsageError otherwise: this is the only gate for such names."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{kind} '{name}' is not allowed: use 1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit."
        )
    return name


def slug(text: str, length: int = 32) -> str:
    """`text` reduced to the characters that a name may have."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-") or "run"


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """Nodes from `node` on, its aliases written out; infinite if it holds itself. `known` by identity."""
    if id(node) not in known:
        known[id(node)] = inf
        values = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (one for each in values for one in (each if isinstance(each, tuple) else (each,)))
        known[id(node)] = 1 + sum(_size(one, known) for one in parts)
    return known[id(node)]


def read_yaml(path: Path) -> Any:
    """A YAML file, parsed safely. Raises UsageError with the line where it is malformed, and if it stands for more than
    NODES values once its aliases are written out: few lines can stand for billions."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text(encoding="utf-8"))  # the first is quicker
        try:
            node = loader.get_single_node()
            if node is not None and _size(node, {}) > NODES:
                raise UsageError(
                    f"{path}: its aliases (*name) stand for more than {NODES:,} values. Write it out, shorter."
                )
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)}).") from error
