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

    # "ignore": a click that reruns the page revokes the very callable whose file it then asks for (Streamlit 1.67)
    with st.container(horizontal=True):
        for kind, data, mime in (("csv", table, "text/csv"), ("json", text, "application/json")):
            st.download_button(
                say(f"download.{kind}"),
                data,
                f"{name}.{kind}",
                mime,
                key=f"{kind} {key}",
                icon=":material/download:",
                on_click="ignore",
            )
