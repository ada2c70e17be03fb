"""Two systems or more, pair by pair, on the items that both answered: is the difference real, and how large is it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

import streamlit as st

from app.components import charts, data, download, frame, numbers, text
from app.components.choice import choose, choose_many
from app.components.words import known, say
from harness.board import Comparison, Row
from harness.board.compare import SLICES
from harness.types import Rubric

WHOLE = "all"
FEW = 30
"""A slice of fewer items is drawn grey."""


def systems(rows: dict[str, Row]) -> list[str]:
    """The runs to compare, by name; the two best placed if none are chosen. Stops the page below two."""
    ranked = [name for name, row in rows.items() if row.rank]
    usual = (ranked if len(ranked) > 1 else list(rows))[:2]
    chosen = choose_many(
        say("compare.systems"), list(rows), "systems", default=usual, text=lambda one: frame.label(rows[one])
    )
    if len(chosen) < 2:
        st.info(say("compare.two"), icon=":material/info:")
        st.stop()
    return chosen


def sentence(one: Comparison, names: dict[str, str], subject: str, rubric: Rubric) -> str:
    """What was found of one pair, with its interval, n and p."""
    shown: dict[str, str | float] = {
        "a": names[one.a],
        "b": names[one.b],
        "subject": subject,
        "n": one.n,
        "clusters": one.clusters,
    }
    if one.difference is None or one.low is None or one.high is None or one.p is None:
        return text.told("compare.not_compared", **shown)
    p = "< 0.001" if one.p < 0.001 else f"= {one.p:.3f}"
    if one.verdict == "tie":
        least = "" if one.detectable is None else numbers.gap(one.metric, one.detectable, rubric)
        key = "compare.tie.detectable" if least else "compare.tie"
        return text.told(key, **shown, p=p, gap=numbers.difference(one, rubric), least=least)
    high = one.difference > 0
    ends = sorted([abs(one.low), abs(one.high)]) if one.low * one.high > 0 else [one.low, one.high]
    span = " ".join(
        [
            numbers.gap(one.metric, abs(one.difference), rubric),
            f"[{numbers.plain(one.metric, ends[0], rubric)}, {numbers.plain(one.metric, ends[1], rubric)}]",
        ]
    )
    return text.told("compare.higher" if high else "compare.lower", **shown, p=p, gap=span)


def picture(found: Sequence[Comparison], subjects: Sequence[str], rubric: Rubric, axis: str) -> None:
    """The differences of one pair, with intervals around a line at zero."""
    bars = [
        numbers.difference_bar(subject, one, rubric, faint=one.n < FEW)
        for subject, one in zip(subjects, found, strict=True)
        if one.difference is not None
    ]
    if bars:
        st.altair_chart(charts.intervals(bars, axis=axis, zero=True), alt=say("compare.alt"))


def subject_of(one: Comparison) -> str:
    """What a comparison is about: its metric, or its slice."""
    if not one.slice:
        return numbers.title(one.metric)
    kind, _, level = one.slice.partition("=")
    return text.part(kind, level)


def main() -> None:
    about = frame.subject()
    rubric = about.task.rubric
    rows = {row.run: row for row in about.board.rows if row.metrics}
    chosen = systems(rows)
    left, right = st.columns(2)
    with left:
        by = choose(say("compare.by"), [WHOLE, *SLICES], "by", text=lambda one: known("slice", one))
    with right:
        metric = choose(say("metric"), measured([rows[run] for run in chosen], by == WHOLE), "of", text=metric_title)
    asked = () if metric == WHOLE else (metric,)
    found = data.compare(about.root, about.task, chosen, asked, None if by == WHOLE else by)
    names = {run: frame.label(rows[run]) for run in chosen}
    for number, (pair, members) in enumerate(groupby(sorted(found, key=lambda one: order(one, chosen)), key=pair_of)):
        some = list(members)
        if len(chosen) > 2:
            st.subheader(say("compare.pair", n=number + 1), anchor=False)
        st.text(f"{names[pair[0]]}  −  {names[pair[1]]}")
        subjects = [subject_of(one) for one in some]
        drawn, told = st.columns([1, 1], gap="large")
        with drawn:
            picture(some, subjects, rubric, say("compare.axis"))
        with told:
            for one, subject in zip(some, subjects, strict=True):
                st.text(sentence(one, names, subject, rubric))
    st.caption(say("compare.note"))
    listed = [{"a_system": rows[one.a].system, "b_system": rows[one.b].system, **asdict(one)} for one in found]
    download.offer(f"{about.task.name}-comparison", lambda: listed, lambda: listed, "compare")


def measured(rows: Sequence[Row], whole: bool) -> list[str]:
    """The metrics that can be compared: measured by every run, and known for each response. Stops the page at none."""
    common = numbers.per_response(rows)
    found = [*([WHOLE] if whole and common and common[0] in numbers.QUALITY else []), *common]
    if not found:
        st.info(say("compare.nothing"), icon=":material/info:")
        st.stop()
    return found


def metric_title(name: str) -> str:
    return say("compare.every") if name == WHOLE else numbers.title(name)


def pair_of(one: Comparison) -> tuple[str, str]:
    return one.a, one.b


def order(one: Comparison, chosen: Sequence[str]) -> tuple[int, int]:
    return chosen.index(one.a), chosen.index(one.b)


main()
