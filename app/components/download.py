"""Downloads as CSV (which a spreadsheet cannot run) and as JSON (the data as is)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.words import say
from harness.spreadsheet import as_csv


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
