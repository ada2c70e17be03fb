"""Judge against people: how far each source's scores agree with what annotators said, and where they do not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app.components import data, desk, download, text
from app.components.choice import choose
from app.components.text import criterion_name, line
from app.components.words import in_language, say
from harness import annotate
from harness.annotate import Campaign, Match
from harness.types import Rubric

SIDES = {"x", "y", "tie", "both_bad"}


def main() -> None:
    store, me = desk.leads_desk()
    one = desk.campaign(store)
    place = data.Place.given()
    roots, _ = data.roots(place)
    root = roots.get(one.task["name"])
    ours = data.runs(root, one.task["name"]) if root else []
    found = annotate.against_people(store, me, one.id, ours)
    if not found:
        st.info(say("judged.nothing"), icon=":material/info:")
        return
    cells = [_cells(match, one.rubric) for match in found]
    st.dataframe(pd.DataFrame(cells), hide_index=True, height="content", alt=say("page.judged"))
    if any(match.kappa.value is None for match in found):
        st.caption(say("judged.undefined"))
    st.caption(say(f"judged.note.{one.kind}"))
    named = {f"{match.criterion} {match.source}": match for match in found}
    titles = {
        key: f"{criterion_name(one.rubric.criteria[match.criterion])} · {line(match.source)}"
        for key, match in named.items()
    }
    widest = max(named, key=lambda key: len(named[key].disagreements))
    match = named[choose(say("judged.match"), list(named), "match", text=titles.__getitem__, default=widest)]
    left, right = st.columns([2, 3], gap="large")
    with left:
        confusion(match, one)
    with right:
        disagreements(match, one)
    download.offer(
        f"{one.id}-judged", lambda: [row for each in found for row in _rows(each)], lambda: _whole(found), "judged"
    )


def _cells(match: Match, rubric: Rubric) -> dict[str, Any]:
    one = match.kappa
    limits = "" if one.low is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return {
        say("samples.criterion"): criterion_name(rubric.criteria[match.criterion]),
        say("samples.source"): line(match.source),
        say("judged.kappa"): say("agreement.undefined") if one.value is None else f"{one.value:.2f}{limits}",
        say("judged.accuracy"): "–" if match.accuracy is None else f"{100 * match.accuracy:.0f} %",
        "n": sum(match.confusion.values()),
        say("judged.unscored"): match.unscored,
        say("judged.unsettled"): match.unsettled,
    }


def _label(label: str, one: Campaign, criterion: str) -> str:
    if label in SIDES and criterion == "preference":
        return say(f"judged.verdict.{label}")
    names = {str(each["id"]): each["name"] for each in one.rubric.criteria[criterion].labels}
    return line(in_language(names[label])) if label in names else say("samples.not_applicable")


def confusion(match: Match, one: Campaign) -> None:
    """How often people said this and the judge that."""
    st.subheader(say("judged.confusion"), anchor=False)
    order = list(dict.fromkeys(label for pair in match.confusion for label in pair))
    ranked = [str(each["id"]) for each in one.rubric.criteria[match.criterion].labels]
    order.sort(key=lambda label: (ranked.index(label) if label in ranked else len(ranked), label))
    names = {label: _label(label, one, match.criterion) for label in order}
    rows = [
        {
            say("judged.people"): names[said],
            **{
                text.told("judged.judge.said", label=names[judged]): match.confusion.get((said, judged), 0)
                for judged in order
            },
        }
        for said in order
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=say("judged.confusion"))


def disagreements(match: Match, one: Campaign) -> None:
    """Where they differ, and the text of the one that is looked at."""
    st.subheader(say("judged.disagreements", n=len(match.disagreements)), anchor=False)
    if not match.disagreements:
        st.caption(say("none"))
        return
    rows = [
        {
            say("campaigns.item"): line(each.item),
            say("judged.people"): _label(each.people, one, each.criterion),
            say("judged.judge"): _label(each.judge, one, each.criterion),
            say("run"): line(each.run),
        }
        for each in match.disagreements
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=say("judged.disagreements", n=len(rows)))
    named = {f"{each.unit}": each for each in match.disagreements}
    titles = {key: f"{line(each.item)} · {line(each.run)}" for key, each in named.items()}
    looked = named[choose(say("judged.look"), list(named), "unit", text=titles.__getitem__)]
    with st.container(border=True):
        text.show(looked.text, f"judged {looked.unit}")


def _rows(match: Match) -> list[dict[str, Any]]:
    """For download: a row for each disagreement."""
    names = ("criterion", "source", "item", "run", "people", "judge", "text")
    return [{name: getattr(each, name) for name in names} for each in match.disagreements]


def _whole(found: list[Match]) -> list[dict[str, Any]]:
    return [
        {
            "criterion": match.criterion,
            "source": match.source,
            "kappa": {"value": match.kappa.value, "low": match.kappa.low, "high": match.kappa.high, "n": match.kappa.n},
            "accuracy": match.accuracy,
            "confusion": [[said, judged, n] for (said, judged), n in match.confusion.items()],
            "unscored": match.unscored,
            "unsettled": match.unsettled,
            "disagreements": _rows(match),
        }
        for match in found
    ]


main()
