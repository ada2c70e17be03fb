"""A report's files: facts as JSON, Markdown in Chinese and English with figures beside it, one self-contained page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, get_args

from harness.digest import digest
from harness.errors import UsageError
from harness.record import write_text
from harness.report import figures
from harness.report.facts import FILE, facts
from harness.types import Language

PAGE = "report.html"


def write(folder: Path, out: Path) -> list[Path]:
    """Write the report of the experiment in `folder` to `out`; the files that were written.

    Raises UsageError if the experiment is not done, or `out` holds another experiment's report.
    """
    found = facts(folder)
    _refuse_other(out / FILE, found)
    out.mkdir(parents=True, exist_ok=True)
    files = {FILE: json.dumps(found, ensure_ascii=False, indent=1) + "\n", **render(found)}
    for name, text in files.items():
        (out / name).parent.mkdir(exist_ok=True)
        write_text(out / name, text)
    return [out / name for name in files]


def _refuse_other(path: Path, found: Mapping[str, Any]) -> None:
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier.get("plan_digest") != found["plan_digest"]:
            raise UsageError(f"{path} is the report of another plan ({earlier.get('name')}). Choose another --out.")


def render(found: Mapping[str, Any]) -> dict[str, str]:
    """Markdown, figures and page from the facts alone, by file name. The same facts give the same bytes."""
    drawn = {language: figures.draw(found, language) for language in get_args(Language)}
    texts = {language: markdown(found, language, set(drawn[language])) for language in get_args(Language)}
    files = {f"report.{language}.md": text for language, text in texts.items()}
    for language, each in drawn.items():
        files |= {f"figures/{name}.{language}.svg": svg + "\n" for name, svg in each.items()}
    return {**files, PAGE: page(found, texts, drawn)}


def markdown(found: Mapping[str, Any], language: Language, drawn: set[str]) -> str:
    """The report as text in one language; `drawn` are the figures that there are."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; what models said stands in fences
    )
    environment.filters |= {"number": number, "signed": partial(number, sign=True), "big": big, "fence": fence}
    text = environment.get_template(f"report.{language}.md.j2").render(
        **found,
        by_name={arm["name"]: arm for arm in found["arms"]},
        drawn=drawn,
        verdict=_verdict(found),
        start=next((arm for arm in found["arms"] if arm["role"] == "ranked" and not arm["total"]), None),
        one_seed=len(found["protocol"]["seeds"]) == 1,
        facts_digest=digest(found)[:8],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _verdict(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The differences of the pair that the experiment is about, by metric."""
    rows = [row for row in found["differences"] if row["gap"] == "verdict"]
    if not rows:
        trained = [arm["name"] for arm in found["arms"] if arm["role"] == "ranked" and arm["total"]]
        rows = (
            [row for row in found["differences"] if {row["a"], row["b"]} == set(trained[:2])]
            if len(trained) > 1
            else []
        )
    return {row["metric"]: row for row in rows} or None


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """0.054, or +0.054; "-" for what was not measured."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def big(value: float | None) -> str:
    """1.2e+12 as 1.2 T; "-" for what was not measured."""
    if value is None:
        return "-"
    for size, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g}"


def fence(text: str) -> str:
    """A code block that nothing inside of it can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}text\n{text}\n{marks}"


def page(found: Mapping[str, Any], texts: Mapping[str, str], drawn: Mapping[str, Mapping[str, str]]) -> str:
    """One HTML file with both languages and every figure in it; it asks for nothing from anywhere."""
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")

    def body(language: str) -> str:
        html = renderer.render(texts[language])

        def inline(match: re.Match[str]) -> str:
            svg = drawn[language].get(match[1], "").replace('id="', f'id="{language}-{match[1]}-')
            svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{language}-{match[1]}-", svg)
            return f"<figure>{svg}<figcaption>{match[2]}</figcaption></figure>"

        return re.sub(r'<img src="figures/(\w+)\.\w+\.svg" alt="([^"]*)" />', inline, html)

    return PAGE_TEMPLATE.format(title=escape(str(found["name"])), zh=body("zh"), en=body("en"))


PAGE_TEMPLATE = """<!doctype html>
<html lang="zh">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>EasyDS Bench: {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.6 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; margin: 1rem 0; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #8884; text-align: left; white-space: nowrap; }}
pre {{ overflow-x: auto; white-space: pre-wrap; background: #8881; padding: .6rem; border-radius: .4rem; }}
figure {{ margin: 1.2rem 0; background: #fff; color: #222; padding: .6rem; border-radius: .4rem; overflow-x: auto; }}
figure svg {{ max-width: 100%; height: auto; }}
figcaption {{ font-size: .875rem; color: #444; }}
nav {{ text-align: right; }}
input[name=language] {{ position: absolute; opacity: 0; }}
label {{ cursor: pointer; padding: .1rem .6rem; border: 1px solid #8886; border-radius: 1rem; }}
input:focus-visible + label {{ outline: 2px solid; }}
#zh:checked ~ .en, #en:checked ~ .zh {{ display: none; }}
#zh:checked + label, #en:checked + label {{ background: #8883; }}
</style>
</head>
<body>
<input type="radio" name="language" id="zh" checked><label for="zh">中文</label>
<input type="radio" name="language" id="en"><label for="en">English</label>
<main class="zh" lang="zh">
{zh}
</main>
<main class="en" lang="en">
{en}
</main>
</body>
</html>
"""
