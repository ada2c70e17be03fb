"""Every attempt on a task, why it is not ranked, how it was made, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import data, download, frame
from app.components.choice import choose
from app.components.text import line
from app.components.words import known, say
from harness.board import Board
from harness.record import Run

NONE = "none"
PARTS = {
    "configuration": ("system", "model", "identity", "task", "decoding", "limit", "requests", "configuration_digest"),
    "environment": ("environment",),
    "record": (),
}
"""What of a manifest goes where; the last part takes the rest."""


def attempts(board: Board, runs: list[Run]) -> None:
    """All runs, newest first."""
    rows = {row.run: row for row in board.rows}
    cells = []
    for run in reversed(runs):
        row, manifest = rows[run.id], run.manifest
        ranks = [str(one) for one in dict.fromkeys(row.rank or ())]
        missing = manifest.get("missing")  # not known before a run has ended
        answered = "–" if missing is None else str(manifest["requests"] - missing)
        cells.append(
            {
                say("runs.created"): manifest["created"][:16].replace("T", " "),
                say("system"): line(manifest["system"]),
                say("runs.status"): known("status", manifest["status"]),
                say("rank"): "–".join(ranks) or "–",
                say("why"): line(row.note),
                say("runs.answered"): f"{answered} / {manifest['requests']}",
                say("runs.failures"): len(manifest.get("failures", ())),
                say("run"): run.id,
            }
        )
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say("runs.attempts"))
    download.offer(f"{board.task}-runs", lambda: cells, lambda: [run.manifest for run in runs], "runs")


def flat(value: Any, name: str = "") -> dict[str, str]:
    """A manifest's part as dotted names and texts."""
    inner: dict[str, Any] = {}
    if isinstance(value, Mapping):
        inner = {f"{name}.{key}" if name else str(key): one for key, one in value.items()}
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        inner = {f"{name}[{number}]": one for number, one in enumerate(value)}
    if inner:
        return {key: text for part, one in inner.items() for key, text in flat(one, part).items()}
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def parts(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    named = {key for keys in PARTS.values() for key in keys}
    rest = tuple(key for key in manifest if key not in named)
    return {part: flat({key: manifest[key] for key in keys or rest if key in manifest}) for part, keys in PARTS.items()}


def one_run(run: Run) -> None:
    for part, entries in parts(run.manifest).items():
        st.subheader(say(f"runs.{part}"), anchor=False)
        cells = [{say("runs.entry"): line(key), say("runs.value"): line(value)} for key, value in entries.items()]
        st.dataframe(
            pd.DataFrame(cells), hide_index=True, alt=say(f"runs.{part}"), column_config=_widths(say("runs.value"))
        )


def two_runs(first: Run, second: Run) -> None:
    """Both manifests side by side; by default only the entries that differ."""
    only = st.toggle(say("runs.only_differences"), value=True, key="only differences")
    for part, entries in parts(first.manifest).items():
        other = parts(second.manifest)[part]
        names = list(dict.fromkeys([*entries, *other]))
        shown = [name for name in names if not only or entries.get(name) != other.get(name)]
        st.subheader(say(f"runs.{part}"), anchor=False)
        if not shown:
            st.caption(say("runs.no_difference"))
            continue
        absent = say("runs.absent")
        cells = [
            {
                say("runs.entry"): line(name),
                "A": line(entries.get(name, absent)),
                "B": line(other.get(name, absent)),
            }
            for name in shown
        ]
        st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say(f"runs.{part}"), column_config=_widths("A", "B"))


def _widths(*names: str) -> dict[str, Any]:
    return {name: st.column_config.TextColumn(width="medium") for name in names}


def main() -> None:
    about = frame.subject()
    shown = {row.run for row in about.board.rows}
    runs = {run.id: run for run in data.runs(about.root, about.task.name) if run.id in shown}
    st.subheader(say("runs.attempts"), anchor=False)
    attempts(about.board, list(runs.values()))
    names = list(reversed(runs))
    left, right = st.columns(2)
    with left:
        first = choose(say("runs.look"), names, "run")
    with right:
        others = [NONE, *(name for name in names if name != first)]
        second = choose(say("runs.against"), others, "against", text=lambda name: say("none") if name == NONE else name)
    if second == NONE:
        one_run(runs[first])
    else:
        two_runs(runs[first], runs[second])


main()
