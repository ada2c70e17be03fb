"""Who wins against whom, by people's votes or by scores: pair by pair, as strengths, and which side people favour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, data, download, frame, numbers, text
from app.components.charts import Bar, Cell
from app.components.choice import choose, choose_many, switch
from app.components.text import line
from app.components.words import say
from harness import annotate
from harness.annotate import Campaign, Duel, HeadToHead

PEOPLE, SCORES = "people", "scores"
USUAL = 6
"""Systems compared by scores unless others are chosen: all pairs of twenty take seconds."""


def people(store: annotate.Store, campaigns: dict[str, Campaign]) -> HeadToHead:
    """The counted votes of the campaign that was chosen."""
    names = {name: line(one.title or name) for name, one in campaigns.items()}
    return annotate.by_people(store, choose(say("work.campaign"), list(names), "campaign", text=names.__getitem__))


def scores() -> HeadToHead:
    """A metric of the systems that were chosen. Stops the page below two."""
    about = frame.subject()
    found = [row for row in about.board.rows if row.metrics]
    of_system = {
        row.system: row for row in sorted(found, key=lambda row: row.rank is not None)
    }  # the ranked run, if any
    rows = {row.run: row for row in found if of_system[row.system] is row}
    ranked = [name for name, row in rows.items() if row.rank]
    usual = (ranked if len(ranked) > 1 else list(rows))[:USUAL]
    chosen = choose_many(
        say("compare.systems"), list(rows), "of_systems", default=usual, text=lambda one: frame.label(rows[one])
    )
    compared = [rows[one] for one in chosen]
    metrics = [*numbers.per_response(compared), *numbers.by_judges(compared)] if len(chosen) > 1 else []
    if not metrics:
        st.info(say("compare.two" if len(chosen) < 2 else "compare.nothing"), icon=":material/info:")
        st.stop()
    usual_metric = "gold_score" if "gold_score" in metrics else metrics[0]
    metric = choose(say("metric"), metrics, "of", text=numbers.title, default=usual_metric)
    return data.by_scores(about.root, about.task, chosen, metric)


def rate(duel: Duel, equal: bool) -> str:
    """How often `a` wins with its interval, or in words why that is not defined."""
    one = duel.controlled if equal else duel.rate
    if one is None:
        return say("heads.few" if duel.n else "heads.never")
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def cell(row: int, column: int, duel: Duel, equal: bool) -> Cell:
    """The row's system against the column's; grey where neither is surely ahead."""
    one = duel.controlled if equal else duel.rate
    note = f"n {duel.n}"
    counts = say("heads.tip", wins=duel.wins, losses=duel.losses, ties=duel.ties, both_bad=duel.both_bad)
    tip = f"{rate(duel, equal)} · {note} · {counts}"
    if one is None:
        return Cell(row, column, None, "–", note, tip)
    return Cell(row, column, one.value, f"{100 * one.value:.0f} %", note, tip, faint=one.low <= 0.5 <= one.high)


def matrix(duels: Sequence[Duel], names: Sequence[str], equal: bool) -> None:
    """Each system's win rate against each other one."""
    both = [one for duel in duels for one in (duel, duel.turned)]
    cells = [cell(names.index(one.a), names.index(one.b), one, equal) for one in both]
    rows = [f"{number}  {line(name)}" for number, name in enumerate(names, 1)]
    columns = [str(number) for number in range(1, len(names) + 1)]
    chart = charts.heat(cells, rows, columns, domain=(0.0, 1.0), middle=True)
    st.altair_chart(chart, alt=say("heads.matrix"))
    st.caption(say("heads.matrix.note"))


def strengths(found: HeadToHead) -> None:
    """Bradley-Terry strengths with intervals, and who surely beats whom."""
    st.subheader(say("heads.strengths"), anchor=False)
    if not found.strengths:
        st.caption(say("heads.few"))
        return
    bars = [
        Bar(line(one.system), one.value, one.low, one.high, f"{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]")
        for one in found.strengths
    ]
    st.altair_chart(charts.intervals(bars, axis=say("heads.strength"), zero=True), alt=say("heads.strengths"))
    for one in found.strengths:
        if one.surely_beats:
            text.tell("heads.beats", a=line(one.system), others=say("comma").join(map(line, one.surely_beats)))
    if not any(one.surely_beats for one in found.strengths):
        st.caption(say("heads.nobody"))
    st.caption(say("heads.strengths.note"))


def pairs(duels: Sequence[Duel], by: str) -> None:
    """Every pair in figures, the stronger system first."""
    st.subheader(say("heads.pairs"), anchor=False)
    cells = [
        {
            "A": line(one.a),
            "B": line(one.b),
            "n": one.n,
            say("heads.wins"): one.wins,
            say("heads.losses"): one.losses,
            say("heads.ties"): one.ties,
            **({say("heads.both_bad"): one.both_bad} if by == PEOPLE else {}),
            say("heads.rate"): rate(one, False),
            say("heads.controlled"): rate(one, True),
        }
        for one in duels
    ]
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say("heads.pairs"))
    st.caption(say("heads.pairs.note"))


def sides(found: HeadToHead) -> None:
    """Whether the text that stood left wins more often than chance would have it."""
    st.subheader(say("heads.sides"), anchor=False)
    one = found.left
    if one is None:
        st.caption(say("heads.sides.none"))
        return
    key = "heads.sides.even" if one.low <= 0.5 <= one.high else "heads.sides.biased"
    st.text(say(key, value=100 * one.value, low=100 * one.low, high=100 * one.high, n=one.n))


def rows_of(duels: Sequence[Duel]) -> list[dict[str, Any]]:
    """For download: a row for each pair."""
    kept = ("a", "b", "n", "wins", "losses", "ties", "both_bad")
    return [
        {name: getattr(one, name) for name in kept}
        | {
            f"{what}_{end}": getattr(rate, end, None)
            for what, rate in (("rate", one.rate), ("controlled", one.controlled))
            for end in ("value", "low", "high")
        }
        for one in duels
    ]


def main() -> None:
    store = data.votes()
    campaigns = {one.id: one for one in annotate.listed(store) if one.kind == "compare"} if store else {}
    with st.container(horizontal=True):
        by = choose(
            say("heads.by"),
            [PEOPLE, SCORES],
            "by_whom",
            text=lambda one: say(f"heads.by.{one}"),
            default=PEOPLE if campaigns else SCORES,
        )
        found = people(store, campaigns) if store and campaigns and by == PEOPLE else None
    if by == PEOPLE and found is None:
        st.info(say("heads.no_campaign"), icon=":material/info:")
        st.code("easyds annotate create duel --kind compare --task ds-trace --run ONE --run OTHER", language="bash")
        return
    found = found or scores()
    if not found.n:
        st.info(say("heads.nothing"), icon=":material/info:")
        return
    names = [one.system for one in found.strengths] or list(found.systems)
    turned = [one if names.index(one.a) < names.index(one.b) else one.turned for one in found.duels]
    duels = sorted(turned, key=lambda one: (names.index(one.a), names.index(one.b)))
    st.text(say(f"heads.count.{by}", n=found.n, systems=len(names)))
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(say("heads.matrix"), anchor=False)
        matrix(duels, names, switch(say("heads.equal"), "equal"))
    with right:
        strengths(found)
    pairs(duels, by)
    if by == PEOPLE:
        sides(found)
    download.offer("head-to-head", lambda: rows_of(duels), lambda: asdict(found), "heads")


main()
