"""RLHF versus DPO: an experiment's verdict, where the difference comes from, and what was bought with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, download, experiment, numbers
from app.components.charts import Line
from app.components.experiment import Facts, Rows
from app.components.text import line, part, show, tell
from app.components.words import known, say


def verdict(facts: Facts) -> Mapping[str, Any] | None:
    """The headline's difference of the pair that the experiment is about."""
    rows = [row for row in facts["differences"] if row["metric"] == facts["headline"]]
    return next((row for row in rows if row["gap"] == "verdict"), rows[0] if rows else None)


def answer(facts: Facts, main: Mapping[str, Any]) -> None:
    """The verdict as a sentence, and what kind of statement it is."""
    ahead, behind = (main["a"], main["b"]) if main["verdict"] != "worse" else (main["b"], main["a"])
    gap = f"{main['value']:+.3f} [{main['low']:+.3f}, {main['high']:+.3f}]"
    with st.container(border=True):
        if main["verdict"] == "tie":
            tell("versus.tie", a=line(main["a"]), b=line(main["b"]), gap=gap, n=main["n"])
        else:
            tell(
                "versus.better",
                a=line(ahead),
                b=line(behind),
                gap=gap,
                n=main["n"],
                first=line(main["a"]),
                second=line(main["b"]),
            )
        if len(facts["protocol"]["seeds"]) == 1:
            st.caption(say("versus.one_seed"))
        else:
            st.caption(say("versus.seeds", n=min(main["seeds"])))


def levels(facts: Facts) -> None:
    bars = [
        numbers.bar(
            f"{line(arm['name'])} · {known('role', arm['role'])}",
            facts["headline"],
            experiment.metric(arm["metrics"][facts["headline"]]),
            None,
        )
        for arm in facts["arms"]
        if facts["headline"] in arm["metrics"]
    ]
    domain = numbers.domain(facts["headline"], None)
    st.altair_chart(
        charts.intervals(bars, axis=experiment.title(facts["headline"]), domain=domain), alt=say("versus.levels")
    )


def gaps(facts: Facts) -> None:
    bars = []
    for row in facts["differences"]:
        if row["metric"] == facts["headline"]:
            named = "" if row["gap"] is None else " · " + known("gap", row["gap"])
            bars.append(experiment.difference(f"{line(row['a'])} − {line(row['b'])}{named}", row))
    st.altair_chart(charts.intervals(bars, axis=say("versus.points"), zero=True), alt=say("versus.gaps"))


def frontier(facts: Facts) -> None:
    """Gold score and reward against the KL to the start."""
    for key, heading in (("gold", "versus.frontier"), ("reward", "versus.proxy")):
        lines = [
            Line(line(arm), seed, [(point["reference_kl"], point[key]) for point in points if key in point])
            for arm, seeds in facts["frontier"].items()
            for seed, points in seeds.items()
        ]
        if any(one.points for one in lines):
            st.subheader(say(heading), anchor=False)
            st.altair_chart(charts.lines(lines, x=say("versus.kl"), y=known("curve", key)), alt=say(heading))
            st.caption(say(f"versus.help.{key}"))


def by_dimension(facts: Facts, main: Mapping[str, Any]) -> None:
    rows: Rows = [row for row in facts["differences"] if (row["a"], row["b"]) == (main["a"], main["b"])]
    bars = [experiment.difference(experiment.title(row["metric"]), row) for row in rows]
    st.altair_chart(charts.intervals(bars, axis=say("versus.points"), zero=True), alt=say("versus.dimensions"))


def by_slice(facts: Facts) -> None:
    bars = [
        experiment.difference(
            part(row["by"], row["level"]),
            row,
        )
        for row in facts["slices"]
    ]
    st.altair_chart(charts.intervals(bars, axis=say("versus.points"), zero=True), alt=say("versus.slices"))


def examples(facts: Facts) -> None:
    for number, one in enumerate(facts["examples"]):
        with st.expander(say("versus.example", n=number + 1)):
            st.caption(say("versus.asked"))
            for turn, asked in enumerate(one["asked"]):
                show(asked["content"], f"asked {number} {turn}")
            for arm, text in one["said"].items():
                score = one["scores"].get(arm)
                st.text(line(arm) + ("" if score is None else f"  {experiment.title(facts['headline'])} {score:.2f}"))
                show(text, f"said {number} {arm}")


def protocol(facts: Facts) -> None:
    told = facts["protocol"]
    cells = [
        (say("versus.budget"), known("budget", told["budget"])),
        (say("versus.training_seeds"), ", ".join(map(str, told["seeds"]))),
        (say("versus.recorded"), told["plan_recorded"]),
        (say("versus.first_test"), told["first_test"]),
        (say("versus.scorings"), str(told["test_scorings"])),
        (say("versus.plan"), facts["plan_digest"][:12]),
    ]
    st.dataframe(
        pd.DataFrame([{say("runs.entry"): name, say("runs.value"): line(str(value))} for name, value in cells]),
        hide_index=True,
        alt=say("versus.protocol"),
    )


def main() -> None:
    facts = experiment.chosen()
    found = verdict(facts)
    if found:
        answer(facts, found)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(say("versus.levels"), anchor=False)
        levels(facts)
    with right:
        st.subheader(say("versus.gaps"), anchor=False)
        gaps(facts)
        st.caption(say("versus.gaps.help"))
    frontier(facts)
    if found:
        left, right = st.columns(2, gap="large")
        with left:
            st.subheader(say("versus.dimensions"), anchor=False)
            by_dimension(facts, found)
        with right:
            if facts["slices"]:
                st.subheader(say("versus.slices"), anchor=False)
                by_slice(facts)
    if facts["examples"]:
        st.subheader(say("versus.examples"), anchor=False)
        examples(facts)
    st.subheader(say("versus.protocol"), anchor=False)
    protocol(facts)
    download.offer(f"{facts['name']}-differences", lambda: facts["differences"], lambda: facts, "versus")


main()
