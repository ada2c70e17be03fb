"""A served model's log: what it does, what has changed against a run, and what is out of bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import streamlit as st

from app.components.choice import choose
from app.components.data import Place
from app.components.text import line
from app.components.words import known, say
from harness import task as tasks
from harness.board import Metric
from harness.loop import monitor
from harness.loop.drift import Drift
from harness.record import find_runs

NONE = "none"


def measure(name: str, one: Metric) -> dict[str, str]:
    interval = "–" if one.low is None else f"[{one.low:.3g}, {one.high:.3g}]"
    return {
        say("metric"): known("monitor", name),
        say("monitor.value"): f"{one.value:.3g}",
        say("monitor.interval"): interval,
        "n": str(one.n),
    }


def change(one: Drift) -> dict[str, str]:
    return {
        say("monitor.column"): known("monitor", one.column),
        say("monitor.test"): one.test,
        say("monitor.size"): f"{one.size:.3g}",
        "p": f"{one.p:.2g}",
        "n": f"{one.n} / {one.n_before}",
    }


def main() -> None:
    log = os.environ.get("EASYDS_APP_LOG", "")
    if not log:
        st.info(say("monitor.nothing"), icon=":material/info:")
        st.code("easyds serve PACKAGE --log served.jsonl\neasyds app --log served.jsonl", language="bash")
        st.stop()
    place = Place.given()
    runs = {run.id: run for run in find_runs(place.runs)}
    name = choose(
        say("monitor.against"), [NONE, *runs], "against", text=lambda one: say("none") if one == NONE else one
    )
    run = runs.get(name)
    files = {tasks.load(file).name: file for file in place.task_files} if run else {}
    task = files.get(run.manifest["task"]["name"]) if run else None
    found = monitor.watch(Path(log), run.folder if run else None, task=task)
    st.subheader(say("monitor.alarms"), anchor=False)
    if not found.alarms:
        st.success(say("monitor.well", n=found.turns), icon=":material/check:")
    for alarm in found.alarms:
        st.text(line(f"{alarm.name}: {alarm.why}"))
    st.subheader(say("monitor.measures"), anchor=False)
    cells = [measure(name, one) for name, one in found.measures.items()]
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say("monitor.measures"))
    if found.drift:
        st.subheader(say("monitor.drift"), anchor=False)
        st.dataframe(pd.DataFrame(map(change, found.drift)), hide_index=True, alt=say("monitor.drift"))
        st.caption(say("monitor.note"))


main()
