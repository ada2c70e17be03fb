"""Campaigns: how far each is, what was flagged, who passes the silent checks; and a form that makes one from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import data, desk
from app.components.choice import choose
from app.components.text import line, tell
from app.components.words import LANGUAGES, say
from harness import annotate
from harness.annotate import Annotator, Campaign, Share
from harness.record import Run
from harness.types import Task

COUNTS = ("units", "wanted", "given", "complete", "extra", "stuck", "flagged", "ruled", "gold", "attention")


def main() -> None:
    store, me = desk.leads_desk()
    desk.problem()
    if annotate.listed(store):
        one = desk.campaign(store)
        progress(store, me, one)
        annotators(store, me, one)
        flags(store, me, one)
    else:
        st.info(say("lead.no_campaign"), icon=":material/info:")
    st.divider()
    st.subheader(say("campaigns.new"), anchor=False)
    new(store, me)


def progress(store: annotate.Store, me: str, one: Campaign) -> None:
    """What the campaign is, its counts in one row, and whether it takes votes."""
    found = annotate.status(store, me, one.id)
    about = {"id": one.id, "task": line(f"{one.task['name']} {one.task['version']}")}
    tell(f"campaigns.about.{one.kind}", **about, overlap=one.settings.overlap, seed=one.settings.seed)
    st.progress(
        min(1.0, found.given / max(1, found.wanted)),
        text=say("campaigns.progress", given=found.given, wanted=found.wanted),
    )
    with st.container(horizontal=True, gap="medium"):
        for name in COUNTS:
            with st.container(width=110, gap=None):
                st.caption(say(f"campaigns.{name}"))
                st.text(f"{getattr(found, name):,}")
    if found.stuck:
        st.caption(say("campaigns.stuck.note", n=found.stuck))
    for reason, n in found.skipped.items():
        tell("campaigns.skipped.of", n=n, reason=say(f"reason.skip.{reason}"))
    st.button(
        say("campaigns.close" if one.open else "campaigns.open"),
        icon=":material/pause:" if one.open else ":material/play_arrow:",
        on_click=lambda: desk.act(lambda: annotate.set_open(store, me, one.id, not one.open)),
    )


def annotators(store: annotate.Store, me: str, one: Campaign) -> None:
    """Who did what, how they passed the silent checks, and whose votes are left out of analyses."""
    st.subheader(say("campaigns.annotators"), anchor=False)
    team = annotate.annotators(store, me, one.id)
    if not team:
        st.caption(say("campaigns.nobody"))
        return
    table([_member(each) for each in team], say("campaigns.annotators"))
    st.caption(say("campaigns.annotators.note"))
    with st.expander(say("campaigns.exclude"), icon=":material/filter_alt:"):
        named, names = {each.id: each for each in team}, {each.id: _named(each) for each in team}
        who = st.selectbox(say("lead.person"), list(named), format_func=names.__getitem__, key="exclude who")
        st.text_input(say("lead.reason"), key="exclude why")
        out = not named[who].excluded
        st.button(
            say("campaigns.exclude.do" if out else "campaigns.exclude.undo"),
            on_click=lambda: desk.act(
                lambda: annotate.exclude(store, me, one.id, who, desk.typed("exclude why") or "", out)
            ),
        )


def _named(each: Annotator) -> str:
    """Two people may have one name."""
    return f"{line(each.name)} ({each.id[:6]})"


def _member(each: Annotator) -> dict[str, Any]:
    row: dict[str, Any] = {say("lead.person"): _named(each)}
    row |= {say(f"campaigns.person.{name}"): getattr(each, name) for name in ("votes", "extra", "skips", "flags")}
    row[say("campaigns.person.seconds")] = None if each.seconds is None else round(each.seconds)
    shares = ("gold", "attention", "repeats", "hasty", "left")
    row |= {say(f"campaigns.person.{name}"): _share(getattr(each, name)) for name in shares}
    return {**row, say("campaigns.person.excluded"): line(each.excluded)}


def _share(share: Share) -> str:
    return "–" if share.value is None else f"{100 * share.value:.0f} % ({share.hits}/{share.n})"


def flags(store: annotate.Store, me: str, one: Campaign) -> None:
    """Items that someone found at fault."""
    if found := annotate.flags(store, me, one.id):
        st.subheader(say("campaigns.flags"), anchor=False)
        rows = [
            {
                say("campaigns.item"): line(each.item),
                say("lead.why"): say(f"reason.flag.{each.reason}"),
                say("campaigns.comment"): line(each.comment),
                say("campaigns.at"): pd.Timestamp(each.at, unit="s").strftime("%Y-%m-%d %H:%M"),
            }
            for each in found
        ]
        table(rows, say("campaigns.flags"))


def table(rows: Sequence[Mapping[str, Any]], alt: str) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=alt)


def new(store: annotate.Store, me: str) -> None:
    """A form that makes a campaign from runs of a task."""
    place = data.Place.given()
    roots, published = data.roots(place)
    if published or not roots:
        st.caption(say("campaigns.no_runs"))
        return
    task = data.task(place, choose(say("task"), list(roots), "task"))
    ours = [run for run in data.runs(roots[task.name], task.name) if run.manifest["task"]["digest"] == task.digest]
    names = {run.id: f"{line(run.manifest['system'])} · {run.id}" for run in ours}
    if not ours:
        st.caption(say("campaigns.no_runs"))
        return
    with st.form("new campaign"):
        left, right = st.columns(2)
        name = left.text_input(say("campaigns.name"))
        title = right.text_input(say("campaigns.title"))
        kinds = {one: say(f"campaigns.kind.{one}") for one in ("rate", "compare")}
        kind = st.radio(say("campaigns.kind"), list(kinds), format_func=kinds.__getitem__)
        chosen = st.multiselect(say("campaigns.runs"), list(names), format_func=names.__getitem__)
        settings = _settings(task, names)
        if st.form_submit_button(say("campaigns.make"), type="primary"):
            runs = [run for run in ours if run.id in chosen]
            make(store, me, (name, title, kind), task, runs, settings)


def _settings(task: Task, names: Mapping[str, str]) -> dict[str, Any]:
    """The settings as typed; 0 items are all items, 0 % is no test."""
    usual = annotate.Settings()
    first, second, third = st.columns(3)
    found: dict[str, Any] = {
        "overlap": first.number_input(say("campaigns.overlap"), 1, 50, usual.overlap),
        "items": second.number_input(say("campaigns.items"), 0, len(task.items), min(100, len(task.items))) or None,
        "qualify": third.number_input(say("campaigns.qualify"), 0, 100, round(100 * (usual.qualify or 0))) / 100
        or None,
    }
    with st.expander(say("campaigns.more")):
        found["against"] = st.selectbox(
            say("campaigns.against"), list(names), index=None, format_func=names.__getitem__
        )
        columns = st.columns(4)
        for column, name in zip(columns, ("attention", "gold", "repeat", "seed")):
            found[name] = column.number_input(say(f"campaigns.one_in.{name}"), 0, 10**6, getattr(usual, name))
    return found


def make(
    store: annotate.Store,
    me: str,
    words: tuple[str, str, str],
    task: Task,
    runs: Sequence[Run],
    settings: Mapping[str, Any],
) -> None:
    """Make the campaign, and say what it holds."""
    name, title, kind = words
    made = desk.attempt(
        lambda: annotate.create(store, me, name, kind, task, runs, annotate.Settings(**settings), title=title)
    )
    if made is None:
        desk.problem()
        return
    st.success(say("campaigns.made", real=made.units.get("real", 0)), icon=":material/task_alt:")
    languages = say("comma").join(f"{LANGUAGES[tongue]} {count}" for tongue, count in made.languages.items())
    tell("campaigns.made.of", name=made.id, languages=languages, left_out=sum(made.left_out.values()))


main()
