"""Quality against what it costs: training, memory, response time. A candidate is out if another is better and cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, download, experiment, numbers
from app.components.charts import Spot
from app.components.choice import choose
from app.components.experiment import Facts
from app.components.text import line
from app.components.words import known, say

COSTS = ("cpu_seconds", "flops", "peak_memory_bytes", "tokens", "energy_j", "latency_s", "length")


def cost(arm: Mapping[str, Any], name: str) -> float | None:
    """A cost of an arm in the units shown; None where it was not measured."""
    value = arm[name] if name in ("latency_s", "length") else (arm["total"] or {}).get(name)
    factor = {"peak_memory_bytes": 1e-9, "flops": 1e-12, "tokens": 1e-6, "energy_j": 1e-3}.get(name, 1)
    return None if value is None else value * factor


def measured(facts: Facts) -> list[str]:
    return [name for name in COSTS if any(cost(arm, name) is not None for arm in facts["arms"])]


def table(facts: Facts, names: list[str]) -> list[dict[str, Any]]:
    found = []
    for arm in facts["arms"]:
        level = arm["metrics"].get(facts["headline"])
        row = {say("experiment.arm"): line(arm["name"]), say("experiment.role"): known("role", arm["role"])}
        row[experiment.title(facts["headline"])] = (
            numbers.written(facts["headline"], experiment.metric(level), None) if level else say("not_measured")
        )
        for name in names:
            value = cost(arm, name)
            row[known("cost", name)] = "–" if value is None else f"{value:.4g}"
        for name in ("stages", "resident_models", "settings", "packages"):
            value = (arm["difficulty"] or {}).get(name)
            row[known("effort", name)] = "–" if value is None else str(value)
        found.append(row)
    return found


def main() -> None:
    facts = experiment.chosen()
    names = measured(facts)
    metrics = [name for name in numbers.QUALITY if any(name in arm["metrics"] for arm in facts["arms"])]
    left, right = st.columns(2)
    with left:
        by = choose(say("pareto.cost"), names, "cost", text=lambda one: known("cost", one))
    with right:
        metric = choose(say("metric"), metrics, "quality", text=numbers.title, default=facts["headline"])
    scale = numbers.scale(metric, None)
    spots = []
    for arm in facts["arms"]:
        level, x = arm["metrics"].get(metric), cost(arm, by)
        if level and x is not None:
            value, low, high = (level[end] * scale for end in ("value", "low", "high"))
            spots.append(Spot(line(arm["name"]), x, value, low, high, arm["role"] == "oracle"))
    if spots:
        st.altair_chart(charts.spots(spots, x=known("cost", by), y=numbers.axis(metric, None)), alt=say("page.pareto"))
    st.caption(say("pareto.help"))
    rows = table(facts, names)
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=say("page.pareto"))
    download.offer(f"{facts['name']}-costs", lambda: rows, lambda: facts["arms"], "pareto")


main()
