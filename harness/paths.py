"""Where things lie: the project's data folders (checkout or wheel), which names may become paths, and YAML files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
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


def read_yaml(path: Path) -> Any:
    """A YAML file, parsed safely. Raises UsageError with the line where it is malformed."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both safe, the first much quicker
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)}).") from error
