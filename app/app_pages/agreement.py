"""How far annotators agree beyond chance, by criterion and language; and why a coefficient is not defined."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, desk
from app.components.choice import choose
from app.components.text import criterion_name
from app.components.words import LANGUAGES, say
from harness import annotate
from harness.annotate import Row
from harness.annotate.answers import SATISFACTION
from harness.stats.agreement import Agreement
from harness.types import Rubric

ENOUGH = 0.667
"""Krippendorff's bound for tentative conclusions"""
STATES = ("no_votes", "one_annotator", "no_overlap", "no_variation", "too_few")


def main() -> None:
    store, me = desk.leads_desk()
    one = desk.campaign(store)
    found = annotate.agreement(store, me, one.id)
    languages = list(dict.fromkeys(row.language for row in found))
    labels = {"": say("agreement.all"), **LANGUAGES}
    by = choose(say("lead.language"), languages, "language", text=labels.__getitem__) if len(languages) > 1 else ""
    rows = [row for row in found if row.language == by]
    picture([row for row in rows if row.alpha.value is not None], one.rubric)
    cells = [_cells(row, one.rubric) for row in rows]
    st.dataframe(pd.DataFrame(cells), hide_index=True, height="content", alt=say("page.agreement"))
    for state in STATES:
        if any(row.state == state for row in rows):
            st.caption(say(f"agreement.why.{state}"))
    if any(row.alpha.value is not None and row.alpha.low is None for row in rows):
        st.caption(say("agreement.no_interval"))
    st.caption(say("agreement.note"))


def picture(rows: list[Row], rubric: Rubric) -> None:
    """Alpha with its interval, criterion by criterion."""
    if len(rows) < 2:
        return
    bars = [
        charts.Bar(
            _name(row.criterion, rubric), row.alpha.value or 0.0, row.alpha.low, row.alpha.high, _interval(row.alpha)
        )
        for row in rows
    ]
    lowest = min([0.0, *(min(bar.value, bar.value if bar.low is None else bar.low) for bar in bars)])
    chart = charts.intervals(bars, axis=say("agreement.alpha"), domain=(max(-1.0, lowest), 1.0), target=ENOUGH)
    st.altair_chart(chart, alt=say("agreement.alt"))


def _name(criterion: str, rubric: Rubric) -> str:
    if criterion == SATISFACTION:
        return say("metric.satisfaction")
    return criterion_name(rubric.criteria[criterion])


def _cells(row: Row, rubric: Rubric) -> dict[str, Any]:
    kappa = "–" if row.kappa is None else _interval(row.kappa)
    if row.kappa is not None and row.kappa.value is not None:
        kappa += f" · {say(f'agreement.kappa.{row.kappa_name}')}"
    return {
        say("samples.criterion"): _name(row.criterion, rubric),
        say("agreement.alpha"): _interval(row.alpha) if row.state == "defined" else say(f"agreement.state.{row.state}"),
        say("agreement.kappa"): kappa,
        say("agreement.same"): "–" if row.share is None else f"{100 * row.share:.0f} %",
        say("agreement.units"): row.alpha.n,
        say("agreement.labels"): row.labels,
        say("agreement.raters"): row.raters,
    }


def _interval(one: Agreement) -> str:
    if one.value is None:
        return say("agreement.undefined")
    limits = "" if one.low is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.value:.2f}{limits}"


main()
