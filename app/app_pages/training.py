"""How the candidates were trained: curves of several runs, the update KL with its band, the gradient norm with its line."""

from __future__ import annotations

import streamlit as st

from app.components import charts, experiment
from app.components.charts import Line
from app.components.choice import choose_many
from app.components.experiment import Facts
from app.components.text import line
from app.components.words import known, say

BAND, NORM = (0.05, 0.2), 1.0
KEYS = ("loss", "reward", "accuracy", "margin", "reference_kl", "update_kl", "multiplier", "grad_norm", "length")


def lines(facts: Facts, key: str, arms: list[str]) -> list[Line]:
    """That column of every stage that has it, a line a stage and seed."""
    return [
        Line(line(f"{arm} {stage}"), seed, [(x, y) for x, y in zip(rows["step"], rows[key]) if y is not None])
        for arm, seeds in facts["curves"].items()
        if arm in arms
        for seed, stages in seeds.items()
        for stage, rows in stages.items()
        if key in rows
    ]


def main() -> None:
    facts = experiment.chosen()
    names = list(facts["curves"])
    if not names:
        st.info(say("training.nothing"), icon=":material/info:")
        st.stop()
    arms = choose_many(say("training.arms"), names, "arms", default=names, text=line)
    left, right = st.columns(2, gap="large")
    for number, key in enumerate(key for key in KEYS if lines(facts, key, arms)):
        with (left, right)[number % 2]:
            st.subheader(say(f"curve.{key}"), anchor=False)
            band = BAND if key == "update_kl" else (NORM, NORM) if key == "grad_norm" else None
            chart = charts.lines(
                lines(facts, key, arms), x=say("training.step"), y=known("curve", key), band=band, log=band is not None
            )
            st.altair_chart(chart, alt=known("curve", key))
            if band:
                st.caption(say(f"training.{key}"))


main()
