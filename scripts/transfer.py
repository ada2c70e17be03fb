"""Teaching effect on simulated students, beside guidance accuracy and the answer-giving rate.

    python scripts/transfer.py                                  # the controls on ds-trace; a Markdown table
    python scripts/transfer.py --task ds-trace-demo --runs demo/runs

For each system: guidance accuracy by the checks, the share of students who then solve a sibling exercise (transfer), who
solve this one, and who were handed the answer, over the items whose student errs; 95 % intervals clustered by problem.
Then how transfer goes with guidance accuracy: over responses, and over systems (Spearman). All of it is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from scipy.stats import spearmanr

from harness import board, task
from harness.models.control import CONTROLS
from harness.record import find_runs
from harness.scorers.checks import check
from harness.scorers.transfer import outcome
from harness.stats.intervals import Interval, clustered_rate
from harness.types import Item, Task

COLUMNS = ("guidance_accuracy", "transfer_success", "item_success", "answer_given")


def said(the_task: Task, runs: Path | None) -> dict[str, dict[str, str]]:
    """The texts of each system by item: of the runs on the task, or of the controls."""
    if runs is None:
        return {name: {item.id: say(item) for item in the_task.items} for name, say in CONTROLS.items()}
    found = [run for run in find_runs(runs) if run.manifest["task"]["digest"] == the_task.digest]
    return {run.manifest["system"]: {one.item: one.text for one in run.responses() if one.sample == 0} for run in found}


def measured(the_task: Task, item: Item, text: str) -> dict[str, float]:
    values = {name: value for name, (value, _) in check(item, text).items()}
    return {
        "guidance_accuracy": board.rate("guidance_accuracy", values, the_task.rubric) or 0.0,
        **outcome(item, 0, text),
    }


def rate(rows: Mapping[str, Mapping[str, float]], clusters: Mapping[str, str], name: str) -> Interval:
    return clustered_rate([row[name] for row in rows.values()], [clusters[item] for item in rows])


def told(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="ds-trace")
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    the_task = task.load(given.task)
    items = {item.id: item for item in the_task.items if item.misconception is not None}
    clusters = {name: item.cluster for name, item in items.items()}
    found = {
        system: {name: measured(the_task, items[name], text) for name, text in texts.items() if name in items}
        for system, texts in said(the_task, given.runs).items()
    }
    print(f"| system | {' | '.join(COLUMNS)} | n |\n| --- |{' --- |' * (len(COLUMNS) + 1)}")
    for system, rows in sorted(found.items(), key=lambda one: -rate(one[1], clusters, "transfer_success").value):
        print(f"| {system} | {' | '.join(told(rate(rows, clusters, name)) for name in COLUMNS)} | {len(rows)} |")
    every = [(one, clusters[name]) for rows in found.values() for name, one in rows.items()]
    for value, words in ((1.0, "accurate"), (0.0, "not accurate")):
        group = [(one["transfer_success"], cluster) for one, cluster in every if one["guidance_accuracy"] == value]
        if group:
            interval = clustered_rate([one for one, _ in group], [cluster for _, cluster in group])
            print(f"\ntransfer where guidance is {words}: {told(interval)} (n = {len(group)})")
    means = [[rate(rows, clusters, name).value for rows in found.values()] for name in COLUMNS[:2]]
    if len(found) > 2:
        print(f"\nSpearman over {len(found)} systems: {spearmanr(*means).statistic:.2f}")


if __name__ == "__main__":
    main()
