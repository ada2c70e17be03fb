"""CSV for people: a spreadsheet runs what begins like a formula, so such texts are quoted. JSON holds the data as is."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")


def cell(value: Any) -> Any:
    """A text that a spreadsheet would run, made a text by a leading '; anything else as it is."""
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return "'" + value
    return value


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows of the same keys as CSV with a byte order mark, without which a spreadsheet garbles Chinese.

    NUL and halves of surrogate pairs, which no CSV can hold, become U+FFFD.
    """
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([cell(name) for name in rows[0]])
        writer.writerows([cell(_plain(value)) for value in row.values()] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
