"""Reports of experiments (`easyds report`): which there are, and the one that a page is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app.components import numbers
from app.components.charts import Bar
from app.components.choice import choose
from app.components.data import Place
from app.components.text import line
from app.components.words import in_language, known, say
from harness import rubric
from harness.board import Metric
from harness.errors import EnvironmentProblem
from harness.report.facts import FILE

Facts = Mapping[str, Any]
Rows = list[Mapping[str, Any]]


def reports(place: Place) -> dict[str, Path]:
    """The facts of each experiment by name: beside the runs, in `report/` of a folder there, or published."""
    roots = [place.runs.resolve().parent, *sorted(one for one in place.runs.glob("*") if one.is_dir())]
    paths = [root / "report" / FILE for root in roots]
    paths += sorted(place.leaderboards.glob(f"*/{FILE}"))
    found: dict[str, Path] = {}
    for path in paths:
        if path.exists():
            found.setdefault(str(load(path)["name"]), path)
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(path: Path, size: int, at: int) -> Facts:
    try:
        facts: Facts = json.loads(path.read_text(encoding="utf-8"))
        return {**facts, "name": str(facts["name"]), "arms": list(facts["arms"])}
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{path} is no report of an experiment. 'easyds report' writes it again.") from error


def load(path: Path) -> Facts:
    """The facts in a file, read again when it changes. Raises EnvironmentProblem if they are none."""
    state = path.stat()
    return _load(path, state.st_size, state.st_mtime_ns)


def chosen() -> Facts:
    """The facts of the experiment chosen in the side bar. Stops the page with a hint if there is none."""
    found = reports(Place.given())
    if not found:
        st.info(say("experiment.nothing"), icon=":material/info:")
        st.code(
            "easyds experiment run experiments/demo.yaml\neasyds report out/demo\neasyds app --runs out/demo/runs",
            language="bash",
        )
        st.stop()
    name = choose(say("experiment"), list(found), "experiment", widget=st.sidebar.selectbox, everywhere=True, text=line)
    return load(found[name])


def metric(row: Mapping[str, Any]) -> Metric:
    return Metric(row["value"], row["low"], row["high"], row["n"])


def difference(label: str, row: Mapping[str, Any]) -> Bar:
    """A difference as a row of an interval chart, in points of the scale from 0 to 1."""
    factor = 50 if row["metric"].startswith("D") else 100
    value, low, high = (factor * row[end] for end in ("value", "low", "high"))
    text = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]  n = {row['n']}"
    return Bar(label, value, low, high, text, row["clusters"] < 10)


def title(name: str) -> str:
    """A metric, a criterion or a group of them in the reader's words."""
    criteria = rubric.load("guidance").criteria
    if name in criteria:
        return f"{name} {in_language(criteria[name].name)}"
    return known("group", name) if name in ("diagnosis", "manner") else numbers.title(name)
