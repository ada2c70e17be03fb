"""The report's figures as SVG text. Labels are in the report's language; the letters are the reader's own font."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness.errors import EnvironmentProblem
from harness.types import Language

Facts = Mapping[str, Any]
LABELS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "gold": "gold score",
        "kl": "KL to the start, nats per sequence",
        "reward": "reward",
        "step": "step",
        "cpu": "training, processor seconds",
        "latency": "response time (median), s",
        "difference": "difference",
        "update_kl": "update KL",
        "grad_norm": "gradient norm",
        "loss": "loss",
        "length": "length, tokens",
        "reference_kl": "KL to the start",
        "accuracy": "accuracy on pairs",
    },
    "zh": {
        "gold": "综合分",
        "kl": "与起点的 KL（nat/序列）",
        "reward": "奖励",
        "step": "步",
        "cpu": "训练耗时（处理器秒）",
        "latency": "响应时间中位数（秒）",
        "difference": "差值",
        "update_kl": "单次更新的 KL",
        "grad_norm": "梯度范数",
        "loss": "损失",
        "length": "长度（token）",
        "reference_kl": "与起点的 KL",
        "accuracy": "偏好对准确率",
    },
}
BAND, NORM = (0.05, 0.2), 1.0
"""Where the update KL is held, and where gradients are clipped."""


def draw(facts: Facts, language: Language) -> dict[str, str]:
    """Every figure that the facts have data for, by name. Raises EnvironmentProblem without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise EnvironmentProblem("a report needs matplotlib: pip install 'easyds-bench[report]'.") from error
    matplotlib.use("svg")
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    colours = {arm["name"]: f"C{number % 10}" for number, arm in enumerate(facts["arms"])}
    found: dict[str, str] = {}
    figures: Mapping[str, Callable[[Facts, Mapping[str, str], Mapping[str, str]], str]] = {
        "scores": scores,
        "frontier": frontier,
        "proxy": proxy,
        "control": control,
        "curves": curves,
        "pareto": pareto,
    }
    for name, make in figures.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            if svg := make(facts, LABELS[language], colours):
                found[name] = svg
    return found


@contextmanager
def axes(rows: int, columns: int, size: tuple[float, float], out: list[str]) -> Iterator[Any]:
    """Axes to draw on [rows][columns]; the SVG is appended to `out`. The same facts give the same bytes."""
    import matplotlib
    from matplotlib import pyplot

    fixed: Any = {
        "svg.hashsalt": "easyds",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "none",
    }
    with matplotlib.rc_context(fixed):
        figure, grid = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        yield grid
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    out.append(text.getvalue()[text.getvalue().index("<svg") :])


def scores(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """The headline of every arm with its interval, each seed as a point."""
    arms = [arm for arm in facts["arms"] if facts["headline"] in arm["metrics"]]
    out: list[str] = []
    with axes(1, 1, (6.4, 0.6 + 0.32 * len(arms)), out) as grid:
        axis = grid[0][0]
        for place, arm in enumerate(reversed(arms)):
            found = arm["metrics"][facts["headline"]]
            axis.plot([found["low"], found["high"]], [place, place], color=colours[arm["name"]], lw=2)
            axis.plot(found["value"], place, "o" if arm["role"] != "oracle" else "D", color=colours[arm["name"]])
            axis.plot(list(found["seeds"].values()), [place - 0.25] * len(found["seeds"]), "|", color="0.5", ms=5)
        axis.set_yticks(range(len(arms)), [arm["name"] for arm in reversed(arms)])
        axis.set_xlabel(labels["gold"])
        axis.grid(axis="x", alpha=0.3)
    return out[0]


def frontier(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """Gold score against KL on validation items: along a run where it was measured, else one point a seed."""
    return _against_kl(facts, labels, colours, "gold")


def _against_kl(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str], key: str) -> str:
    lines = _lines(facts, key)
    if not lines:
        return ""
    out: list[str] = []
    with axes(1, 1, (6.4, 3.4), out) as grid:
        axis = grid[0][0]
        for arm, each in lines.items():
            for number, points in enumerate(each):
                x, y = [p["reference_kl"] for p in points], [p[key] for p in points]
                axis.plot(x, y, "o-", ms=3, lw=1, color=colours[arm], label=arm if number == 0 else None)
        axis.set(xlabel=labels["kl"], ylabel=labels[key])
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    return out[0]


def _lines(facts: Facts, key: str) -> dict[str, list[list[dict[str, float]]]]:
    found: dict[str, list[list[dict[str, float]]]] = {}
    for arm, seeds in facts["frontier"].items():
        for points in seeds.values():
            if kept := [point for point in points if key in point]:
                found.setdefault(arm, []).append(kept)
    return found


def proxy(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """What was optimised beside what it stands for: reward and gold score of the same answers, against KL."""
    both = {arm: each for arm, each in _lines(facts, "reward").items() if all("gold" in p for run in each for p in run)}
    if not both:
        return ""
    out: list[str] = []
    with axes(1, len(both), (max(4.2, 3.4 * len(both)), 3.0), out) as grid:
        for axis, (arm, each) in zip(grid[0], both.items()):
            other = axis.twinx()
            for points in each:
                x = [point["reference_kl"] for point in points]
                axis.plot(x, [point["gold"] for point in points], "o-", ms=3, lw=1, color=colours[arm])
                other.plot(x, [point["reward"] for point in points], "s--", ms=3, lw=1, color="0.5")
            axis.set(title=arm, xlabel=labels["kl"], ylabel=f"{labels['gold']} (—)")
            other.set_ylabel(f"{labels['reward']} (- -)", color="0.4")
            other.spines["right"].set_visible(True)
    return out[0]


def control(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """The update KL with the band that it is held in, and the gradient norm with the line where it is clipped."""
    keys = ("update_kl", "grad_norm")
    lines = [
        (arm, rows)
        for arm, seeds in facts["curves"].items()
        for stages in seeds.values()
        for rows in stages.values()
        if all(key in rows for key in keys)
    ]
    if not lines:
        return ""
    out: list[str] = []
    with axes(1, 2, (7.4, 2.8), out) as grid:
        for axis, key in zip(grid[0], keys):
            for arm, rows in lines:
                axis.plot(rows["step"], _numbers(rows[key]), lw=1, color=colours[arm])
            axis.set(xlabel=labels["step"], ylabel=labels[key], yscale="log")
        grid[0][0].axhspan(*BAND, color="C2", alpha=0.15, lw=0)
        grid[0][1].axhline(NORM, color="0.5", ls="--", lw=1)
    return out[0]


def curves(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """Loss, reward, KL and length of every stage that tells them, each arm a colour, each seed a line."""
    keys = ("loss", "reward", "reference_kl", "length")
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {key: [] for key in keys}
    for arm, seeds in facts["curves"].items():
        for stages in seeds.values():
            for rows in stages.values():
                for key in keys:
                    if key in rows:
                        found[key].append((arm, rows))
    shown = {key: lines for key, lines in found.items() if lines}
    if not shown:
        return ""
    out: list[str] = []
    with axes(1, len(shown), (2.6 * len(shown), 2.5), out) as grid:
        for axis, (key, lines) in zip(grid[0], shown.items()):
            for arm, rows in lines:
                axis.plot(rows["step"], _numbers(rows[key]), lw=0.9, color=colours[arm])
            axis.set(xlabel=labels["step"], title=labels[key])
    return out[0]


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def pareto(facts: Facts, labels: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """The headline against what training cost and against how long an answer takes."""
    arms = [arm for arm in facts["arms"] if facts["headline"] in arm["metrics"] and arm["total"]]
    if not arms:
        return ""
    out: list[str] = []
    with axes(1, 2, (7.4, 2.8), out) as grid:
        for arm in arms:
            found = arm["metrics"][facts["headline"]]
            error = [[found["value"] - found["low"]], [found["high"] - found["value"]]]
            for axis, x in zip(grid[0], (arm["total"]["cpu_seconds"], arm["latency_s"])):
                if x is not None:
                    axis.errorbar(x, found["value"], _error(error), fmt="o", color=colours[arm["name"]])
                    axis.annotate(arm["name"], (x, found["value"]), xytext=(5, 3), textcoords="offset points")
        grid[0][0].set(xlabel=labels["cpu"], ylabel=labels["gold"])
        grid[0][1].set(xlabel=labels["latency"])
    return out[0]


def _error(error: list[list[float]]) -> list[list[float]]:
    """Never below 0, which rounding can make of an interval's end that is the value."""
    return [[max(0.0, one) for one in side] for side in error]
