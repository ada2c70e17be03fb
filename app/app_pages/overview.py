"""All systems on one task: who is ahead and by how sure a margin, targets, cost, and what is not ranked and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from app.components import charts, download, frame, numbers, text
from app.components.choice import choose
from app.components.text import line
from app.components.words import in_language, known, say
from harness.board import TARGETS, Board, Row
from harness.types import Rubric

MARKS = {"met": "✓", "undecided": "?", "not met": "✗"}


def lead(board: Board, ranked: Sequence[Row]) -> None:
    """The result in a sentence or two. It names systems, so it is plain text."""
    first = [line(row.system) for row in ranked if row.rank and row.rank[0] == 1]
    key = "overview.lead.one" if len(first) == 1 else "overview.lead.tied"
    text.tell(key, names=say("comma").join(first), n=len(first))
    if board.detectable is not None:
        st.caption(say("overview.detectable", points=100 * board.detectable))


def picture(ranked: Sequence[Row], rubric: Rubric) -> None:
    """The chosen metric with intervals, and beside it the rank ranges."""
    measured = numbers.quality(ranked) + [name for name in numbers.COST if any(name in row.metrics for row in ranked)]
    name = choose(say("metric"), measured, "metric", text=numbers.title)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(say("overview.intervals"), anchor=False)
        shown = [row for row in ranked if name in row.metrics]
        bars = [numbers.bar(line(row.system), name, row.metrics[name], rubric) for row in shown]
        goal = TARGETS[name][1] * numbers.scale(name, rubric) if name in TARGETS else None
        chart = charts.intervals(
            bars, axis=numbers.axis(name, rubric), domain=numbers.domain(name, rubric), target=goal
        )
        st.altair_chart(chart, alt=say("overview.intervals.alt"))
        st.caption(say("overview.intervals.note" if goal is None else "overview.intervals.note.target"))
        if missing := len(ranked) - len(shown):
            st.caption(say("overview.missing", n=missing))
    with right:
        st.subheader(say("overview.ranks"), anchor=False)
        spans = [row.rank for row in ranked if row.rank]
        labels = [f"{rank(row)} {''.join(row.groups)}" for row in ranked]
        names = [line(row.system) for row in ranked]
        st.altair_chart(charts.rank_spans(names, spans, axis=say("rank"), labels=labels), alt=say("overview.ranks.alt"))
        st.caption(say("overview.ranks.note"))


def rank(row: Row) -> str:
    if row.rank is None:
        return "–"
    best, worst = row.rank
    return str(best) if best == worst else f"{best}–{worst}"


def table(rows: Sequence[Row], names: Sequence[str], rubric: Rubric, key: str) -> None:
    """Systems by metrics, each number with its interval; a metric that nobody has is left out."""
    heads = {name: numbers.heading(name, rubric) for name in names if any(name in row.metrics for row in rows)}
    st.subheader(say(key), anchor=False)
    if not heads:
        st.caption(say("not_measured"))
        return
    system, place = say("system"), say("rank")
    cells = [
        {
            system: line(row.system),
            place: rank(row),
            "n": max(row.metrics[name].n for name in heads if name in row.metrics),
            **{head: numbers.written(name, row.metrics.get(name), rubric, bare=True) for name, head in heads.items()},
        }
        for row in rows
        if any(name in row.metrics for name in heads)
    ]
    _show(cells, say(key))
    if missing := len(rows) - len(cells):
        st.caption(say("overview.missing", n=missing))


def targets(rows: Sequence[Row], rubric: Rubric) -> None:
    """Which of the project's targets each system meets; none of it is met by a value alone, its interval must lie beyond."""
    st.subheader(say("overview.targets"), anchor=False)
    system, absent = say("system"), say("not_measured")
    words = {verdict: f"{mark} {say(f'target.{verdict}')}" for verdict, mark in MARKS.items()}
    heads = {
        name: f"{known('short', name)} {sign} {bar * numbers.scale(name, rubric):g} {numbers.unit(name, rubric)}".strip()
        for name, (sign, bar) in TARGETS.items()
    }
    cells = [
        {
            system: line(row.system),
            **{head: words.get(row.targets.get(name, ""), absent) for name, head in heads.items()},
        }
        for row in rows
    ]
    _show(cells, say("overview.targets"))
    st.caption(say("overview.targets.note"))


def _show(cells: Sequence[Mapping[str, object]], alt: str) -> None:
    pinned = {say("system"): st.column_config.TextColumn(pinned=True, width=150)}
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=alt, column_config=pinned)


def apart(board: Board, rubric: Rubric) -> None:
    """What is not ranked: oracle arms with their numbers, other runs with the reason, folders that cannot be read."""
    if oracles := [row for row in board.rows if row.oracle and row.metrics]:
        table(oracles, numbers.quality(oracles), rubric, "overview.oracles")
        st.caption(say("overview.oracles.note"))
    if others := [row for row in board.rows if not row.rank and not row.oracle]:
        st.subheader(say("overview.unranked"), anchor=False)
        _show(
            [
                {say("system"): line(row.system), say("why"): line(row.note), say("run"): line(row.run)}
                for row in others
            ],
            say("overview.unranked"),
        )
    if board.unreadable:
        st.subheader(say("overview.unreadable"), anchor=False)
        cells = [{say("run"): line(name), say("why"): line(reason)} for name, reason in board.unreadable.items()]
        st.dataframe(pd.DataFrame(cells), hide_index=True, alt=say("overview.unreadable"))


def rows_of(board: Board) -> list[dict[str, object]]:
    """For download: a row for each number."""
    return [
        {
            "task": board.task,
            "version": board.version,
            "system": row.system,
            "run": row.run,
            "rank_best": row.rank[0] if row.rank else None,
            "rank_worst": row.rank[1] if row.rank else None,
            "status": row.status,
            "note": row.note,
            "metric": name,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            "unscored": one.unscored,
        }
        for row in board.rows
        for name, one in row.metrics.items()
    ]


def main() -> None:
    about = frame.subject()
    board, rubric = about.board, about.task.rubric
    st.text(line(in_language(about.task.description)))
    ranked = [row for row in board.rows if row.rank]
    if ranked:
        lead(board, ranked)
        picture(ranked, rubric)
        targets(ranked, rubric)
        table(ranked, numbers.quality(ranked), rubric, "overview.quality")
        table(ranked, numbers.COST, rubric, "overview.cost")
    else:
        st.info(say("overview.nobody"), icon=":material/info:")
    if any(row.stale for row in board.rows):
        st.warning(say("overview.stale", n=sum(row.stale for row in board.rows)), icon=":material/history:")
    apart(board, rubric)
    about_board = {"task": board.task, "version": line(board.version), "digest": board.digest[:8]}
    text.tell("overview.facts", **about_board, items=board.items, clusters=board.clusters)
    download.offer(f"{board.task}-board", lambda: rows_of(board), board.as_json, "board")


main()
