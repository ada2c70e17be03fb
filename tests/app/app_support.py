"""What the tests of the app share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from harness import models, run, task

ENTRY = Path(__file__).resolve().parents[2] / "app" / "streamlit_app.py"
PAGES = ("overview", "compare", "samples", "runs")

IMAGE = "http://evil.example/seen.png"
HOSTILE = (
    f"<script>fetch('{IMAGE}')</script><img src='{IMAGE}' onerror='alert(1)'> ![seen]({IMAGE}) "
    f"[link](javascript:alert(1)) <{IMAGE}> $\\href{{{IMAGE}}}{{x}}$ $$\\includegraphics{{{IMAGE}}}$$ "
    ":material/bug_report: :red[red] <style>body{display:none}</style>\n```mermaid\ngraph TD\n```\n=1+1 \u202e abc"
)
"""What a hostile model could say: each part would load, run or hide something if it were read as markup."""
HOSTILE_NAME = f"=HYPERLINK(1)![seen]({IMAGE})<img src='{IMAGE}'>:red[x] $x$"


def execute(runs: Path, file: Path, control: str, name: str | None = None, limit: int | None = None) -> None:
    """One control system on the task of that file, as `easyds run` does it."""
    model = models.open_model(f"control/{control}", models.Options())
    run.execute(run.Plan.of(task.load(str(file)), limit), model, runs, system=name)


Open = Callable[..., AppTest]


def words_of(at: AppTest) -> str:
    """All that a page says, in one text."""
    kinds = (at.title, at.subheader, at.text, at.caption, at.code, at.info, at.warning, at.error)
    said = [str(one.value) for kind in kinds for one in kind]
    return "\n".join([*said, *(frame.value.to_csv() for frame in at.dataframe)])
