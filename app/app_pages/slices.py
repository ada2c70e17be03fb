"""One system's metric by topic, language, difficulty and more: where it is good, and where too little was asked to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, data, download, frame, numbers
from app.components.charts import Cell
from app.components.choice import ANY, FILTERS, choose, choose_many
from app.components.text import part
from app.components.words import known, say
from harness.board import FEW, Row, Slice
from harness.board.compare import SLICES
from harness.types import Rubric

SPEAKING = ("knowledge_point", "misconception")
"""Properties whose values need no word before them."""
TALL = 40
"""Rows of cells that are still drawn; the table holds them all."""


def metrics(row: Row) -> list[str]:
    """What of a system can be sliced: what single responses have, by its own scorers, further judges or people."""
    people = [name for name in numbers.quality([row]) if name.endswith(numbers.PEOPLE) or name == "satisfaction"]
    return [*numbers.per_response([row]), *numbers.by_judges([row]), *people]


def picture(found: Sequence[Slice], by: Sequence[str], metric: str, rubric: Rubric) -> None:
    """The first property down, the others across."""
    rows = list(dict.fromkeys(one.values[0] for one in found))
    columns = list(dict.fromkeys(sorted(one.values[1:] for one in found)))
    if len(rows) > TALL:
        st.caption(say("slices.tall", n=len(rows)))
        return
    factor = numbers.scale(metric, rubric)
    cells = [
        Cell(
            rows.index(one.values[0]),
            columns.index(one.values[1:]),
            None if one.metric is None else one.metric.value * factor,
            "–" if one.metric is None else numbers.plain(metric, one.metric.value, rubric),
            f"n {one.metric.n if one.metric else 0}",
            numbers.written(metric, one.metric, rubric) + (f" · {say('slices.few')}" if one.few else ""),
            one.few,
        )
        for one in found
    ]
    values = [cell.value for cell in cells if cell.value is not None] or [0.0]
    domain = numbers.domain(metric, rubric) or (min(values), max(max(values), min(values) + 1e-9))
    heads = [" · ".join(part(kind, level) for kind, level in zip(by[1:], group)) for group in columns]
    names = [part(by[0], row, bare=by[0] in SPEAKING) for row in rows]
    st.altair_chart(
        charts.heat(cells, names, heads if by[1:] else [numbers.title(metric)], domain=domain), alt=say("slices.alt")
    )


def note(one: Slice) -> str:
    """Why a number says little, in words."""
    if one.metric is None:
        return say("not_measured")
    if one.metric.low is None:
        return say("slices.alone")
    return say("slices.few") if one.few else ""


def table(found: Sequence[Slice], by: Sequence[str], metric: str, rubric: Rubric) -> None:
    cells = [
        {
            **{known("slice", kind): part(kind, level, bare=True) for kind, level in zip(by, one.values)},
            numbers.heading(metric, rubric): numbers.written(metric, one.metric, rubric, bare=True),
            "n": one.metric.n if one.metric else 0,
            say("slices.note"): note(one),
        }
        for one in found
    ]
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say("slices.table"))


def look(found: Sequence[Slice], by: Sequence[str], run: str) -> None:
    """A link to the items of a slice, with what the system said."""
    names = {"|".join(one.values): " · ".join(map(part, by, one.values)) for one in found}
    key = choose(say("slices.look"), list(names), "slice", text=names.__getitem__)
    values = next(one.values for one in found if "|".join(one.values) == key)
    everything = dict.fromkeys(FILTERS.values(), ANY) | {"show": ANY}
    wanted = {FILTERS[kind]: level for kind, level in zip(by, values)}
    st.page_link(
        "app_pages/samples.py",
        label=say("slices.open"),
        icon=":material/forum:",
        query_params={"a": run, **everything, **wanted},
    )


def rows_of(found: Sequence[Slice], by: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """For download: a row for each slice."""
    return [
        {"system": one.system, "run": one.run, "metric": metric, **dict(zip(by, one.values)), "items": one.items}
        | {end: getattr(one.metric, end, None) for end in ("value", "low", "high", "n")}
        | {"few": one.few}
        for one in found
    ]


def main() -> None:
    about = frame.subject()
    rubric = about.task.rubric
    rows = {row.run: row for row in about.board.rows if row.metrics and metrics(row)}
    if not rows:
        st.info(say("samples.nothing"), icon=":material/info:")
        return
    left, middle, right = st.columns(3)
    with left:
        run = choose(say("system"), list(rows), "run_of", text=lambda one: frame.label(rows[one]))
    with middle:
        metric = choose(say("metric"), metrics(rows[run]), "of", text=numbers.title)
    with right:
        usual = ["knowledge_point", "language"]
        by = choose_many(say("compare.by"), SLICES, "slice_by", default=usual, text=lambda one: known("slice", one))
    if not by:
        st.info(say("slices.none"), icon=":material/info:")
        return
    found = data.slices(about.root, about.task, run, metric, by)
    few = sum(one.few for one in found)
    st.text(say("slices.count", n=len(found), few=few, least=FEW))
    drawn, told = st.columns([5, 6], gap="large")
    with drawn:
        picture(found, by, metric, rubric)
    with told:
        table(found, by, metric, rubric)
    st.caption(say("slices.caution", least=FEW))
    look(found, by, run)
    listed = rows_of(found, by, metric)
    download.offer(f"{about.task.name}-slices", lambda: listed, lambda: listed, "slices")


main()
