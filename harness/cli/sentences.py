"""Comparisons and plans as people say them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.board.compare import COSTS, Comparison
from harness.board.plan import Need, Spread
from harness.cli.show import TITLES
from harness.errors import printable
from harness.types import Rubric

CLOSING = (
    "These are verdicts on checkpoints. A verdict on a training method needs at least three seeds for each method."
)


def scale(metric: str, rubric: Rubric) -> tuple[float, str, int]:
    """How a difference of `metric` is shown: factor, unit, digits. What lies between 0 and 1 is shown in points."""
    if metric in COSTS:
        return 1.0, " s", 3
    criterion = rubric.criteria.get(metric)
    if metric == "log_perplexity" or (criterion and criterion.kind != "gate"):
        return 1.0, "", 3
    return 100.0, " points", 1


def sentence(one: Comparison, rubric: Rubric) -> str:
    """One comparison. The interval is that of this difference alone; p is corrected over all of the command."""
    factor, unit, digits = scale(one.metric, rubric)
    a, b, place = printable(one.a), printable(one.b), TITLES.get(one.metric, one.metric)
    if one.slice:
        place += f" ({printable(one.slice)})"
    if one.difference is None or one.low is None or one.high is None or one.p is None:
        return f"{place}: {a} and {b} cannot be compared: {one.n} common items in {one.clusters} clusters."

    def shown(value: float) -> str:
        return f"{factor * value:.{digits}f}"

    basis = (
        f"[{shown(one.low)}, {shown(one.high)}], p = {one.p:.2g} (Holm), n = {one.n} items in {one.clusters} clusters"
    )
    said = f"{a} and {b} are tied" if one.verdict == "tie" else f"{a} is {one.verdict} than {b}"
    text = f"{place}: {said}: {factor * one.difference:+.{digits}f}{unit} {basis}."
    if one.detectable is not None:
        text += f" Below {shown(one.detectable)}{unit} a difference would probably not be seen here."
    if one.corrected is not None:
        made = one.corrected
        text += f" With people's labels of {made.labelled} items: {factor * made.value:+.{digits}f}{unit} [{shown(made.low)}, {shown(made.high)}]."
    return text


def sentences(found: Sequence[Comparison], rubric: Rubric) -> list[str]:
    return [*(sentence(one, rubric) for one in found), CLOSING]


def plan_json(spread: Spread, found: Sequence[Need]) -> str:
    return json.dumps({"spread": asdict(spread), "needs": [asdict(one) for one in found]}, indent=1)


def planned(spread: Spread, found: Sequence[Need], origin: Sequence[str] | None) -> list[str]:
    """What was assumed, then one sentence for each number of seeds."""
    whence = f"observed between {' and '.join(map(printable, origin))}" if origin else "assumed: --sd, --icc"
    lines = [
        f"Paired differences of one item: sd {spread.sd:.3f}, correlated {spread.icc:.2f} within a cluster of {spread.items_per_cluster:.3g} items ({whence})."
    ]
    if spread.sd_items is not None and spread.noise is not None:
        lines.append(
            f"With {spread.samples} samples an item; sd of items {spread.sd_items:.3f}, of sampling {spread.noise:.3f}."
        )
    return lines + [_planned(one) for one in found]


def _planned(one: Need) -> str:
    who = f"{one.seeds} seeds a method" if one.seeds else "two fixed checkpoints"
    points = f"a difference of {100 * one.difference:.2g} points"
    if one.clusters is None:
        mend = "more training seeds are needed" if one.seeds else "ten million would not do"
        return f"{who}: {points} cannot be found with any number of problems: {mend}."
    return f"{who}: {points} is found in {100 * one.power:.0f} % of cases with {one.clusters} clusters ({one.items} items)."
