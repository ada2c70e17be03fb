"""The two catalogues, and the rule that what comes from data is never read as markup."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from app.components.words import catalogue

APP = Path(__file__).resolve().parents[2] / "app"
SOURCES = sorted(APP.rglob("*.py"))
FORBIDDEN = {"unsafe_allow_html", "unsafe_allow_javascript"}
MARKUP = {
    "html",
    "iframe",
    "markdown",
    "write",
    "write_stream",
    "latex",
    "components",
    "mermaid_chart",
    "image",
    "table",
}
MARKUP |= {"json", "metric", "badge", "help", "graphviz_chart", "MarkdownColumn", "LinkColumn", "ImageColumn"}
READS_MARKDOWN = {"title", "header", "subheader", "caption", "info", "warning", "error", "success", "toast", "expander"}
READS_MARKDOWN |= {"button", "toggle", "checkbox", "radio", "tabs", "popover", "download_button", "link_button"}


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def test_catalogues_have_the_same_messages() -> None:
    zh, en = catalogue("zh"), catalogue("en")
    assert set(zh) == set(en)
    fields = [
        {key: sorted(name for _, name, _, _ in string.Formatter().parse(text) if name) for key, text in one.items()}
        for one in (zh, en)
    ]
    assert fields[0] == fields[1]
    assert all(text.strip() for one in (zh, en) for text in one.values())


def test_chinese_messages_are_chinese() -> None:
    same = {"n", "side.A", "side.B", "download.csv", "download.json"}
    for key, text in catalogue("zh").items():
        assert key in same or re.search(r"[一-鿿、]", text), f"{key}: {text}"


def test_every_message_is_used() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    known = re.findall(r"""known\("([a-z]+)""", code)
    prefixes = (*re.findall(r"""f["']([a-z_.]+\.)\{""", code), *(f"{one}." for one in known))
    unused = [key for key in catalogue("en") if f'"{key}"' not in code and not key.startswith(prefixes)]
    assert not unused


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_reads_markup(path: Path) -> None:
    """No element that renders HTML, formulas, links or images; Markdown only from our own messages, or escaped."""
    for call in calls(path):
        where = f"{path.name}:{call.lineno}"
        assert not FORBIDDEN & {one.arg for one in call.keywords}, where
        if not isinstance(call.func, ast.Attribute):
            continue
        name, first = call.func.attr, call.args[0] if call.args else None
        owner = ast.unparse(call.func.value)
        if owner in ("st", "st.sidebar", "st.column_config"):
            assert name not in MARKUP, f"{where}: {name} reads markup"
        if owner.startswith("st") and name in READS_MARKDOWN:
            ours = isinstance(first, ast.Call) and ast.unparse(first.func) in ("say", "words", "plain")
            named = isinstance(first, ast.Name) and first.id == "words"
            assert ours or named or isinstance(first, ast.Constant), f"{where}: {name} takes our own messages only"
            assert "help" not in {one.arg for one in call.keywords}, f"{where}: a tooltip reads Markdown"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_name_shadows_the_translator(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert "say" not in names
