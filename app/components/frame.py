"""What surrounds every page: navigation, language and task in the side bar, and what to say when there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app.components import data
from app.components.choice import arrive, choose
from app.components.data import Place
from app.components.text import line
from app.components.words import LANGUAGES, browser_language, say
from harness import __version__
from harness.board import Board, Row
from harness.errors import EasyDSError
from harness.types import Task

PAGES = {
    "results": (
        ("overview", ":material/leaderboard:"),
        ("compare", ":material/compare_arrows:"),
        ("head_to_head", ":material/sports_score:"),
        ("slices", ":material/grid_view:"),
        ("samples", ":material/forum:"),
        ("runs", ":material/inventory_2:"),
    ),
    "experiments": (
        ("versus", ":material/balance:"),
        ("pareto", ":material/scatter_plot:"),
        ("training", ":material/show_chart:"),
    ),
    "annotation": (
        ("rate", ":material/star_rate:"),
        ("duel", ":material/thumbs_up_down:"),
    ),
    "lead": (
        ("campaigns", ":material/assignment:"),
        ("team", ":material/group:"),
        ("agreement", ":material/handshake:"),
        ("adjudicate", ":material/gavel:"),
        ("judged", ":material/rule:"),
        ("export", ":material/outbox:"),
    ),
    "service": (("monitor", ":material/monitor_heart:"),),
}
"""Sections and their pages: `app_pages/NAME.py`, with messages `page.NAME` and `page.NAME.help`."""


def navigate() -> None:
    """The side bar, then the chosen page. An error that a user can act on is shown as its one line."""
    lang = choose(
        "语言 / Language",
        list(LANGUAGES),
        "lang",
        default=browser_language(),
        text=LANGUAGES.__getitem__,
        widget=st.sidebar.selectbox,
        everywhere=True,
    )
    st.session_state["lang"] = lang
    page = st.navigation(
        {
            say(f"section.{section}"): [
                st.Page(
                    f"app_pages/{name}.py",
                    title=say(f"page.{name}"),
                    icon=icon,
                    url_path=name,
                    help=say(f"page.{name}.help"),
                    default=name == "overview",
                )
                for name, icon in pages
            ]
            for section, pages in PAGES.items()
        },
        expanded=True,
    )
    arrive(page.url_path)
    st.title(say(f"page.{page.url_path or 'overview'}"))
    try:
        page.run()
    except EasyDSError as error:
        problem(error)
    st.sidebar.text(f"EasyDS Bench {__version__}")


def problem(error: EasyDSError) -> None:
    """An error's one line, as plain text: it may quote names from files."""
    st.error(say("problem"), icon=":material/error:")
    st.code(line(str(error)), language=None, wrap_lines=True)


@dataclass(frozen=True)
class Subject:
    """What a page is about: a task, its board, and the folder of its runs."""

    task: Task
    board: Board
    root: Path


def subject() -> Subject:
    """The task chosen in the side bar. Stops the page with a hint if there is nothing to show."""
    place = Place.given()
    roots, published = data.roots(place)
    if not roots:
        nothing(place)
    name = choose(say("task"), list(roots), "task", widget=st.sidebar.selectbox, everywhere=True)
    if published:
        st.caption(say("published"))
    the_task = data.task(place, name)
    return Subject(the_task, data.board(roots[name], the_task), roots[name])


def label(row: Row) -> str:
    """A system's name; with its run if that is not the ranked one."""
    return line(row.system) if row.rank else f"{line(row.system)} ({row.run})"


def nothing(place: Place) -> None:
    """What to do when there is neither a run nor a published board."""
    st.info(say("nothing"), icon=":material/info:")
    st.caption(say("nothing.looked"))
    for folder in (place.runs, place.leaderboards):
        st.text(line(str(folder.resolve())))
    st.caption(say("nothing.next"))
    st.code("easyds run -t ds-trace-demo -m control/reference -m control/prior\neasyds app", language="bash")
    st.stop()
