"""Downloads. A spreadsheet runs what begins like a formula, so such cells are quoted in CSV; JSON holds the data as is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.words import say

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A text that a spreadsheet would run, made a text by a leading '; anything else as it is."""
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows of the same keys as CSV with a byte order mark, without which a spreadsheet garbles Chinese."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([cell(name) for name in rows[0]])
        writer.writerows([cell(value) for value in row.values()] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def offer(name: str, rows: Callable[[], Sequence[Mapping[str, Any]]], whole: Callable[[], Any], key: str) -> None:
    """Two buttons: `rows` as NAME.csv and `whole` as NAME.json. Both are made only when asked for."""

    def table() -> bytes:
        return as_csv(rows())

    def text() -> str:
        return json.dumps(whole(), ensure_ascii=False, indent=1)

    icon = ":material/download:"
    with st.container(horizontal=True):
        st.download_button(say("download.csv"), table, f"{name}.csv", "text/csv", key=f"csv {key}", icon=icon)
        st.download_button(say("download.json"), text, f"{name}.json", "application/json", key=f"json {key}", icon=icon)
