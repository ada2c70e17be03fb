"""Choices that live in the address, so that every view has a permanent link.

Streamlit's own `bind="query-params"` writes the *shown* label into the address, which changes with the language;
here the address holds the option itself, and it is the one truth: a widget is set from it and writes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.components.words import language

ANY = "any"
FILTERS = {
    "language": "language",
    "knowledge_point": "topic",
    "difficulty": "difficulty",
    "hint_level": "hint",
    "misconception": "misconception",
}
"""Properties of items that Samples filters by, and their keys in its address."""


def choose(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    text: Callable[[str], str] = str,
    default: str | None = None,
    widget: Callable[..., Any] = st.selectbox,
    everywhere: bool = False,
) -> str:
    """One of `options` (not empty), kept under `?key=`. An address that names none of them gives the default.

    `everywhere`: the choice belongs to the whole app and holds until it is changed.
    """
    usual = options[0] if default is None else default
    kept = st.query_params.get(key, _kept(key, everywhere))
    value = kept if kept in options else usual
    _remember(key, value, value == usual)
    state = f"{key} {language()}"
    st.session_state[state] = value
    labels = {one: text(one) for one in options}
    widget(label, options, key=state, format_func=labels.__getitem__, on_change=_store, args=(key, state, usual))
    return str(value)


def choose_many(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    text: Callable[[str], str] = str,
    default: Sequence[str] = (),
) -> list[str]:
    """Any of `options`, kept as repeated `?key=`."""
    usual = list(default)
    kept = st.query_params.get_all(key) or _kept(key)
    value = [one for one in kept if one in options] if kept is not None else usual
    _remember(key, value, value == usual)
    state = f"{key} {language()}"
    st.session_state[state] = value
    labels = {one: text(one) for one in options}
    st.multiselect(
        label, options, key=state, format_func=labels.__getitem__, on_change=_store, args=(key, state, usual)
    )
    return value


def switch(words: str, key: str) -> bool:
    """Yes or no, kept as `?key=yes`; no by default."""
    on = st.query_params.get(key, _kept(key)) == "yes"
    _remember(key, "yes" if on else "no", not on)
    state = f"{key} {language()}"
    st.session_state[state] = on

    def store() -> None:
        _remember(key, "yes" if st.session_state[state] else "no", not st.session_state[state])

    st.toggle(words, key=state, on_change=store)
    return on


def arrive(page: str) -> None:
    """Note which page is open. Streamlit empties the address when the page changes: then, and only then, a page's
    choices come back from the session. Otherwise an address without them means the defaults, as after 'back'."""
    st.session_state["arrived"] = st.session_state.get("page") != page
    st.session_state["page"] = page


def _kept(key: str, everywhere: bool = False) -> Any:
    return st.session_state.get(f"kept {key}") if everywhere or st.session_state.get("arrived") else None


def set_choice(key: str, value: str) -> None:
    """Change a choice from a callback (a 'next' button)."""
    _remember(key, value, False)


def _store(key: str, state: str, usual: Any) -> None:
    value = st.session_state[state]
    _remember(key, value, value is None or value == usual)


def _remember(key: str, value: Any, is_usual: bool) -> None:
    st.session_state[f"kept {key}"] = value
    if is_usual:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get_all(key) != (value if isinstance(value, list) else [value]):
        st.query_params[key] = value
