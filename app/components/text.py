"""The one way in which text that is not ours reaches the page: as plain characters.

Model output, item texts, system names and reasons are hostile until shown otherwise. They go through `st.text`,
`st.code`, table cells and chart labels, none of which read Markdown or HTML; never through a widget's label.
"""

from __future__ import annotations

import difflib
import re
import unicodedata

import streamlit as st

from app.components.words import LANGUAGES, catalogue, in_language, known, language, say
from harness.types import Criterion

LIMIT = 4000
"""Characters shown before the reader asks for all."""

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
_SENTENCE = re.compile(r"(?<=[。！？；!?;])\s*|(?<=[.])\s+|\n+")


def visible(text: str) -> str:
    """`text` with each character that would hide, reorder or control made readable (U+202E as ⟨202E⟩)."""
    return "".join(
        f"⟨{ord(one):04X}⟩" if unicodedata.category(one) in _HIDDEN and one not in "\n\t" else one for one in text
    )


def line(text: str) -> str:
    """`text` on one line, for a table cell, an option or a chart."""
    return visible(" ".join(text.split()))


def criterion_name(criterion: Criterion) -> str:
    """A criterion's code and name: `D3 guidance`; the name alone where the code is a word."""
    name = line(in_language(criterion.name))
    return name if criterion.id.islower() else f"{criterion.id} {name}"


def part(kind: str, level: str, bare: bool = False) -> str:
    """A slice in the reader's words: its language, or the property with its value (`bare`: the value alone)."""
    if kind == "language":
        return LANGUAGES.get(level, line(level))
    if kind == "misconception" and level == "none":
        return say("samples.student_is_right")
    return line(level) if bare else f"{known('slice', kind)} {line(level)}"


def told(key: str, **values: str | float) -> str:
    """A message that names something from data: to be shown in plain characters, as `tell` does."""
    return catalogue(language())[key].format(**values)


def tell(key: str, **values: str | float) -> None:
    """Show a message that names something from data."""
    st.text(told(key, **values))


def show(text: str, key: str) -> None:
    """A text of any length; beyond LIMIT only the beginning until the reader asks for the rest."""
    if not text.strip():
        st.caption(say("text.empty"))
        return
    whole = len(text) <= LIMIT
    if not whole:
        whole = st.toggle(say("text.all", n=len(text)), key=f"all {key}")
    st.text(visible(text if whole else text[:LIMIT] + " …"))


def differences(first: str, second: str) -> str:
    """What the second text lacks (-) and adds (+), sentence by sentence; empty if they say the same."""
    before, after = (
        [one for one in _SENTENCE.split(visible(text[: 5 * LIMIT])) if one.strip()] for text in (first, second)
    )
    if before == after:
        return ""
    found = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            found += [f"  {one}" for one in before[i:j]]
        else:
            found += [f"- {one}" for one in before[i:j]] + [f"+ {one}" for one in after[k:m]]
    return "\n".join(found)
