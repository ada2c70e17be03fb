"""The app's own words in Chinese and English. Streamlit's own widget texts stay English."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import streamlit as st

LANGUAGES = {"zh": "中文", "en": "English"}
_FOLDER = Path(__file__).resolve().parent.parent / "messages"


@cache
def catalogue(language: str) -> dict[str, str]:
    """All messages of one language by key."""
    messages: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return messages


def browser_language() -> str:
    """Chinese for a Chinese browser, else English."""
    return "zh" if (st.context.locale or "").lower().startswith("zh") else "en"


def language() -> str:
    """The reader's language, as the side bar has set it for this session."""
    return str(st.session_state.get("lang") or browser_language())


def say(key: str, **values: float) -> str:
    """The message `key` in the reader's language. It is shown as Markdown, so only numbers may be put into it:
    a message that names something from data is told by `components.text`."""
    return catalogue(language())[key].format(**values)


def known(prefix: str, name: str) -> str:
    """The word for `name`, or the name itself if the catalogue has none (a metric of somebody's own scorer)."""
    return catalogue(language()).get(f"{prefix}.{name}", name)


def in_language(texts: Mapping[str, str]) -> str:
    """The reader's language of a text that comes in both (a rubric's names, a task's description)."""
    return texts.get(language()) or next(iter(texts.values()), "")
