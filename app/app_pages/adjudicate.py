"""Settle what annotators disagree on: lowest agreement first, blind, their votes in view and kept."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import streamlit as st

from app.components import desk, text, work
from app.components.choice import choose, set_choice
from app.components.text import line
from app.components.words import in_language, say
from harness import annotate
from harness.annotate import Campaign, Case, Rating, Ruling
from harness.types import Rubric

VERDICTS = ("left", "right", "tie", "both_bad")


def main() -> None:
    store, me = desk.leads_desk()
    one = desk.campaign(store)
    desk.problem()
    settled = st.toggle(say("adjudicate.settled"))
    found = annotate.cases(store, me, one.id, settled)
    if not found:
        st.success(say("adjudicate.nothing"), icon=":material/task_alt:")
        return
    case = step(found)
    left, right = st.columns([3, 2], gap="large")
    with left:
        work.situation(case.item)
        texts(case)
    with right:
        votes(case, one.rubric)
        rule(store, me, one, case)
        work.guide(case.item.language)


def step(found: list[Case]) -> Case:
    """The case on the screen: the one of lowest agreement until another is chosen."""
    named = {str(case.unit): case for case in found}
    place = {name: number for number, name in enumerate(named, start=1)}
    marks = {name: " ✓" if case.ruling else "" for name, case in named.items()}
    told = {
        name: text.told(
            "adjudicate.case", n=place[name], total=len(found), share=100 * case.agreement, mark=marks[name]
        )
        for name, case in named.items()
    }
    unit = choose(say("adjudicate.cases"), list(named), "case", text=told.__getitem__)
    names = list(named)
    with st.container(horizontal=True):
        for words, key, there, icon in (
            (say("adjudicate.previous"), "ArrowLeft", place[unit] - 2, ":material/chevron_left:"),
            (say("adjudicate.next"), "ArrowRight", place[unit], ":material/chevron_right:"),
        ):
            st.button(
                words,
                icon=icon,
                shortcut=key,
                disabled=not 0 <= there < len(names),
                on_click=set_choice,
                args=("case", names[there % len(names)]),
            )
    return named[unit]


def texts(case: Case) -> None:
    """The text, or both, on the sides that the lead's verdict names."""
    shown = [case.left] if case.right is None else [case.left, case.right]
    for number, (place, reply) in enumerate(zip(st.columns(len(shown)), shown)):
        with place, st.container(border=True):
            work.side(number, len(shown))
            text.show(reply, f"case {case.unit} {number}")


def votes(case: Case, rubric: Rubric) -> None:
    """What each person answered, under a pseudonym, on what is in dispute."""
    st.subheader(say("adjudicate.votes"), anchor=False)
    rows = []
    for opinion in case.opinions:
        row = {say("lead.person"): opinion.who}
        if isinstance(opinion.answers, Rating):
            row |= {name: _label(rubric, name, opinion.answers.labels[name]) for name in case.disputed}
            row[say("adjudicate.remark")] = line(opinion.answers.note)
        else:
            row[say("adjudicate.verdict")] = say(f"work.verdict.{opinion.answers.verdict}")
            row[say("adjudicate.strength")] = _strength(opinion.answers.strength)
            row[say("adjudicate.remark")] = line(opinion.answers.rationale)
        rows.append(row)
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=say("adjudicate.votes"))


def _label(rubric: Rubric, criterion: str, label: str) -> str:
    names = {str(one["id"]): one["name"] for one in rubric.criteria[criterion].labels}
    return line(in_language(names[label])) if label in names else say("samples.not_applicable")


def _strength(strength: int | None) -> str:
    return "–" if strength is None else say(f"work.strength.{strength}")


def rule(store: annotate.Store, me: str, one: Campaign, case: Case) -> None:
    """The ruling: labels of the criteria in dispute, or a verdict; and why. An earlier one is filled in."""
    st.subheader(say("adjudicate.ruling"), anchor=False)
    before = case.ruling or Ruling()
    key = f"ruling {case.unit}"

    def settle(labels: dict[str, str] | None = None, verdict: str | None = None) -> None:
        ruling = Ruling(labels or {}, cast(Any, verdict), desk.typed(f"{key} why") or "")
        desk.act(lambda: annotate.adjudicate(store, me, case.unit, ruling))

    with st.form(
        f"{key} form", border=False, enter_to_submit=False
    ):  # a key pressed in a form takes along what is typed
        if case.kind == "rate":
            for name in case.disputed:
                work.labels_of(name, one.rubric, key, before.labels.get(name))
        st.text_area(say("adjudicate.why"), before.rationale, key=f"{key} why")
        if before.verdict:
            st.text(text.told("adjudicate.before", verdict=say(f"work.verdict.{before.verdict}")))
        for number, verdict in enumerate(VERDICTS if case.kind == "compare" else (), start=1):
            st.form_submit_button(
                say(f"work.verdict.{verdict}"),
                key=f"{key} {verdict}",
                shortcut=f"Alt+{number}",
                on_click=settle,
                kwargs={"verdict": verdict},
                width="stretch",
            )
        if case.kind == "rate":
            st.form_submit_button(
                say("adjudicate.settle"),
                type="primary",
                shortcut="Ctrl+Enter",
                key=f"{key} settle",
                on_click=lambda: settle(
                    {name: given for name in case.disputed if (given := desk.typed(f"{key} {name}"))}
                ),
            )


main()
