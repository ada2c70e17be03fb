"""Intervals drawn: a dot for the value, a line for its 95 % interval, the name above, the number at the end.

The names stand inside the plot, so that a phone shows them whole. Labels of a chart are plain text; tooltips are
given field by field, never as HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

ROW, CELL, AXIS = 46, 64, 56
"""Height of one row, of a row of cells, and of the axis beside them, in pixels."""
_WARM = "#d0742c"


@dataclass(frozen=True)
class Bar:
    """One row of an interval chart, in the units shown. `faint` draws it grey (too few items)."""

    name: str
    value: float
    low: float | None
    high: float | None
    label: str
    faint: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table that is coloured by `value`: its number and, smaller, a note below (n)."""

    row: int
    column: int
    value: float | None
    label: str
    note: str
    tip: str
    faint: bool = False


@dataclass(frozen=True)
class Line:
    """One run's curve: lines of one `name` share a colour, `seed` tells them apart."""

    name: str
    seed: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Spot:
    """One candidate in a plane of cost and quality, with the interval of its quality."""

    name: str
    x: float
    value: float
    low: float
    high: float
    oracle: bool = False


def ink() -> str:
    """The colour of text, which a chart's text marks do not take from the theme."""
    return "#e8e8e8" if st.context.theme.type == "dark" else "#2b2f36"


def intervals(
    bars: Sequence[Bar],
    *,
    axis: str,
    domain: tuple[float, float] | None = None,
    target: float | None = None,
    zero: bool = False,
) -> alt.LayerChart:
    """A dot plot with intervals, in the order given; `target` draws a dashed line, `zero` a solid one at 0."""
    table = pd.DataFrame(
        [
            {
                "row": index,
                "name": bar.name,
                "value": bar.value,
                "low": bar.value if bar.low is None else bar.low,
                "high": bar.value if bar.high is None else bar.high,
                "label": bar.label,
                "faint": bar.faint,
            }
            for index, bar in enumerate(bars)
        ]
    )
    line = 0.0 if zero else target
    span = domain or _span(table, line)
    scale = alt.Scale(domain=span, nice=False, clamp=True)
    x = alt.X("value:Q", title=axis, scale=scale)
    y = alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    shade = alt.condition("datum.faint", alt.value("#8d939c"), alt.value(_accent()))
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("label:N", title=axis)]
    base = alt.Chart(table)
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.55, yOffset=7).encode(
            x=alt.X("low:Q", title=axis, scale=scale), x2="high:Q", y=y, color=shade, tooltip=tips
        ),
        base.mark_circle(size=90, opacity=1, yOffset=7).encode(x=x, y=y, color=shade, tooltip=tips),
        *_named(base, y),
    ]
    if line is not None:
        mark = pd.DataFrame({"value": [line]})
        layers.insert(
            0,
            alt.Chart(mark)
            .mark_rule(strokeDash=[1, 0] if zero else [5, 4], opacity=0.8, color=ink())
            .encode(x=alt.X("value:Q", scale=scale)),
        )
    return _finished(layers, len(table))


def rank_spans(
    names: Sequence[str], spans: Sequence[tuple[int, int]], *, axis: str, labels: Sequence[str]
) -> alt.LayerChart:
    """A thick line from the best to the worst rank of each system: systems whose lines overlap are not told apart."""
    table = pd.DataFrame(
        [
            {"row": index, "name": name, "best": best, "worst": worst, "label": label}
            for index, (name, (best, worst), label) in enumerate(zip(names, spans, labels, strict=True))
        ]
    )
    last = max(2, int(table["worst"].max()))
    scale = alt.Scale(domain=[0.5, last + 0.5], nice=False)
    ticks = alt.Axis(values=list(range(1, last + 1)), format="d", grid=True)
    x = alt.X("best:Q", title=axis, scale=scale, axis=ticks)
    y = alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("label:N", title=axis)]
    base = alt.Chart(table)
    layers = [
        base.mark_rule(strokeWidth=9, strokeCap="round", opacity=0.55, color=_accent(), yOffset=7).encode(
            x=x, x2="worst:Q", y=y, tooltip=tips
        ),
        base.mark_circle(size=110, opacity=1, color=_accent(), yOffset=7)
        .transform_filter("datum.best == datum.worst")
        .encode(x=x, y=y, tooltip=tips),
        *_named(base, y),
    ]
    return _finished(layers, len(table))


def heat(
    cells: Sequence[Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    domain: tuple[float, float],
    middle: bool = False,
) -> alt.LayerChart:
    """A table of coloured cells, each row's name above it; `middle`: two colours, which meet half-way.

    A cell that is faint, or has no value, is grey.
    """
    table = pd.DataFrame(
        [
            {**vars(cell), "top": cell.row + 0.36, "bottom": cell.row + 0.96, "head": columns[cell.column]}
            | {"name": rows[cell.row], "grey": cell.faint or cell.value is None}
            for cell in cells
        ]
    )
    names = pd.DataFrame([{"name": name, "y": number + 0.2} for number, name in enumerate(rows)])
    heads = alt.Axis(orient="top", labelAngle=0, labelOverlap=False, labelExpr="split(datum.label, ' · ')", ticks=False)
    x = alt.X("head:N", title=None, sort=list(columns), axis=heads, scale=alt.Scale(paddingInner=0.04))
    scale = alt.Scale(domain=[len(rows), 0], nice=False)
    y = alt.Y("top:Q", axis=None, scale=scale)
    colours = [_WARM, "#9aa3ad", _accent()] if middle else ["#9aa3ad", _accent()]
    stops = [domain[0], sum(domain) / 2, domain[1]] if middle else list(domain)
    shade = alt.Color(
        "value:Q", legend=None, scale=alt.Scale(domain=stops, range=colours, clamp=True, interpolate="rgb")
    )
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("head:N", title="  "), alt.Tooltip("tip:N", title="   ")]
    base = alt.Chart(table)
    text = {"align": "center", "baseline": "middle", "color": ink()}
    middle_y = alt.Y("y:Q", axis=None, scale=scale)
    layers = [
        base.mark_rect(opacity=0.45, cornerRadius=3).encode(
            x=x, y=y, y2="bottom:Q", color=alt.condition("datum.grey", alt.value("#9aa3ad44"), shade), tooltip=tips
        ),
        base.transform_calculate(y="datum.row + 0.57")
        .mark_text(fontSize=13, **text)
        .encode(x=x, y=middle_y, text="label:N"),
        base.transform_calculate(y="datum.row + 0.8")
        .mark_text(fontSize=10, **text)
        .encode(x=x, y=middle_y, text="note:N"),
        alt.Chart(names)
        .mark_text(align="left", baseline="middle", fontSize=13, limit=320, color=ink())
        .encode(x=alt.value(2), y=middle_y, text="name:N"),
    ]
    chart: alt.LayerChart = alt.layer(*layers).properties(height=CELL * len(rows) + AXIS).configure_view(stroke=None)
    return chart


def lines(
    found: Sequence[Line], *, x: str, y: str, band: tuple[float, float] | None = None, log: bool = False
) -> alt.LayerChart:
    """Curves over one axis. `band` is shaded, or drawn as a line where both ends are one; `log`: a logarithmic y axis,
    on which what is not above 0 has no place and is left out."""
    table = pd.DataFrame(
        [
            {"name": one.name, "seed": one.seed, "x": a, "y": b, "order": number}
            for one in found
            for number, (a, b) in enumerate(one.points)
            if b > 0 or not log
        ],
        columns=["name", "seed", "x", "y", "order"],
    )
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    layers: list[alt.Chart] = []
    if band:
        mark = pd.DataFrame([{"low": band[0], "high": band[1]}])
        under = alt.Chart(mark)
        low = alt.Y("low:Q", title=y, scale=scale)
        layers.append(
            under.mark_rule(strokeDash=[5, 4], color=ink()).encode(y=low)
            if band[0] == band[1]
            else under.mark_rect(opacity=0.18, color="#3f9a5a").encode(y=low, y2="high:Q")
        )
    tips = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("seed:N", title="seed"),
        alt.Tooltip("x:Q"),
        alt.Tooltip("y:Q"),
    ]
    layers.append(
        alt.Chart(table)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.5)
        .encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("y:Q", title=y, scale=scale),
            color=alt.Color("name:N", title=None, legend=alt.Legend(orient="bottom", columns=2, labelLimit=300)),
            detail="seed:N",
            order="order:Q",
            tooltip=tips,
        )
    )
    chart: alt.LayerChart = alt.layer(*layers).properties(height=300).configure_view(stroke=None)
    return chart


def spots(found: Sequence[Spot], *, x: str, y: str) -> alt.LayerChart:
    """Candidates by cost and quality; an oracle is a diamond: it has no place in a choice."""
    table = pd.DataFrame([vars(one) for one in found])
    across = alt.X("x:Q", title=x, scale=alt.Scale(zero=False, padding=40))
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("x:Q", title=x), alt.Tooltip("value:Q", title=y)]
    base = alt.Chart(table)
    up = alt.Scale(zero=False)
    shape = alt.condition("datum.oracle", alt.value("diamond"), alt.value("circle"))
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.55, color=_accent()).encode(
            x=across, y=alt.Y("low:Q", title=y, scale=up), y2="high:Q", tooltip=tips
        ),
        base.mark_point(size=90, filled=True, opacity=1, color=_accent()).encode(
            x=across, y=alt.Y("value:Q", scale=up), shape=shape, tooltip=tips
        ),
        base.mark_text(align="left", dx=8, dy=-8, color=ink(), fontSize=13, limit=240).encode(
            x=across, y=alt.Y("value:Q", scale=up), text="name:N"
        ),
    ]
    chart: alt.LayerChart = alt.layer(*layers).properties(height=380).configure_view(stroke=None)
    return chart


def _finished(layers: Sequence[alt.Chart], rows: int) -> alt.LayerChart:
    chart: alt.LayerChart = alt.layer(*layers).properties(height=ROW * rows + AXIS).configure_view(stroke=None)
    return chart


def _accent() -> str:
    return "#6aa9f0" if st.context.theme.type == "dark" else "#1f5fa8"


def _named(base: alt.Chart, y: alt.Y) -> list[alt.Chart]:
    """The row's name at the left and its label at the right, each on a halo that keeps it readable over lines."""
    paper = "#171614" if st.context.theme.type == "dark" else "#ffffff"
    halo = {"stroke": paper, "strokeWidth": 5, "strokeJoin": "round"}
    found = []
    for style in (halo, {"color": ink()}):
        shared: dict[str, Any] = {"baseline": "middle", "fontSize": 13, "yOffset": -11, "limit": 240, **style}
        found.append(base.mark_text(align="left", **shared).encode(x=alt.value(2), y=y, text="name:N"))
        found.append(base.mark_text(align="right", **shared).encode(x=alt.value("width"), y=y, text="label:N"))
    return found


def _span(table: pd.DataFrame, target: float | None) -> tuple[float, float]:
    low, high = float(table["low"].min()), float(table["high"].max())
    if target is not None:
        low, high = min(low, target), max(high, target)
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin
