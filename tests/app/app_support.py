"""What the tests of the app share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from harness import models, run, task

ENTRY = Path(__file__).resolve().parents[2] / "app" / "streamlit_app.py"
PAGES = ("overview", "compare", "head_to_head", "slices", "samples", "runs")
EXPERIMENT = ("versus", "pareto", "training")
"""Pages about an experiment's report."""

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


def write_report(runs: Path, arms: tuple[str, str], said: str) -> None:
    """A report of an experiment beside the runs, of two arms that say `said`."""

    def arm(name: str, value: float, role: str = "ranked") -> dict[str, Any]:
        level = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 60, "seeds": {"0": value}}
        total = {
            "cpu_seconds": 100 * value,
            "flops": 1e12,
            "tokens": 10**6,
            "peak_memory_bytes": 10**9,
            "energy_j": None,
        }
        return {
            "name": name,
            "role": role,
            "systems": {"0": f"{name}-0"},
            "metrics": {"gold_score": level, "guidance_accuracy": level},
            "length": 30.0,
            "latency_s": 0.5,
            "total": total,
            "difficulty": {"stages": 2, "resident_models": 4, "settings": 9, "packages": 8},
        }

    first, second = arms
    gap = {"a": first, "b": second, "value": 0.2, "low": 0.1, "high": 0.3, "n": 60, "clusters": 30, "seeds": [2, 2]}
    gap |= {"verdict": "better", "gap": None}
    points = [{"step": n, "reference_kl": 0.5 * n, "gold": 0.3 + 0.1 * n, "reward": 1.0 * n} for n in range(3)]
    rows = {"step": [1, 2, 3], "update_kl": [0.01, 0.1, 0.3], "grad_norm": [0.5, 1.5, 0.7], "loss": [3.0, None, 1.0]}
    protocol = {"budget": "data", "seeds": [0, 1], "plan_recorded": "2026-01-01", "first_test": "2026-01-02"}
    found = {
        "name": "small",
        "plan_digest": "abc",
        "headline": "gold_score",
        "protocol": {**protocol, "test_scorings": 4},
        "arms": [arm(first, 0.6), arm(second, 0.4), arm("gold", 0.7, "oracle")],
        "differences": [{**gap, "metric": metric} for metric in ("gold_score", "D1", "manner")],
        "slices": [{**gap, "metric": "gold_score", "by": "language", "level": level} for level in ("zh", "en", first)],
        "frontier": {first: {"0": points}, second: {"0": points[1:]}},
        "curves": {first: {"0": {"ppo": rows}, "1": {"ppo": rows}}},
        "examples": [
            {"item": "i", "asked": [{"role": "user", "content": said}], "said": {first: said}, "scores": {first: 1.0}}
        ],
    }
    folder = runs.parent / "report"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(found), encoding="utf-8")


Open = Callable[..., AppTest]


def opened(page: str, lang: str = "en") -> AppTest:
    """A page as somebody who just came to it sees it."""
    at = AppTest.from_file(ENTRY, default_timeout=60)
    at.query_params["lang"] = lang
    return at.run().switch_page(f"app_pages/{page}.py").run()


def words_of(at: AppTest) -> str:
    """All that a page says, in one text."""
    kinds = (at.title, at.subheader, at.text, at.caption, at.code, at.info, at.warning, at.error)
    said = [str(one.value) for kind in kinds for one in kind]
    return "\n".join([*said, *(frame.value.to_csv() for frame in at.dataframe)])
