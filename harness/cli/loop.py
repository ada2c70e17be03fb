"""`easyds monitor`, `easyds collect`, `easyds improve`: from what is served to the next model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Log = Annotated[Path, typer.Argument(metavar="LOG", help="The gateway's log ('easyds serve --log').")]


def monitor(
    log: Log,
    against: Annotated[Path | None, typer.Option(help="A run folder or another log: what it should be like.")] = None,
    alarms: Annotated[Path | None, typer.Option(help="Thresholds of your own (harness/loop/alarms.yaml).")] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="The run's task, if it is a file of your own.")
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Watch a served model: latency, throughput, gates, satisfaction, drift. Exit 1 if an alarm is raised."""
    from harness.cli.app import print_rows
    from harness.errors import GateFailed, require
    from harness.loop import monitor as watching

    require("format", form, ["text", "json"], "--format")
    found = watching.watch(log, against, alarms or watching.ALARMS, task)
    if form == "json":
        print(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
    else:
        print_rows(
            [_measure(name, one) for name, one in found.measures.items()], ["measure", "value", "95 %", "n"], form
        )
        if found.drift:
            print()
            columns = ["column", "test", "size", "p (Holm)", "n", "n before"]
            print_rows([_drift(one) for one in found.drift], columns, form)
    if found.alarms:
        raise GateFailed("; ".join(f"{one.name}: {one.why}" for one in found.alarms) + ".")


def _measure(name: str, one: Any) -> dict[str, Any]:
    interval = None if one.low is None else f"[{one.low:.3g}, {one.high:.3g}]"
    return {"measure": name, "value": f"{one.value:.3g}", "95 %": interval, "n": one.n}


def _drift(one: Any) -> dict[str, Any]:
    told = {"column": one.column, "test": one.test, "size": f"{one.size:.3g}", "p (Holm)": f"{one.p:.2g}"}
    return {**told, "n": one.n, "n before": one.n_before}
