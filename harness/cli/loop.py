"""`easyds monitor`, `easyds collect`, `easyds improve`: from what is served to the next model."""

import json
import sys
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


def collect(
    log: Log,
    into: Annotated[str, typer.Option(help="Name of the campaign; a name begun before goes on.")],
    checkpoint: Annotated[Path, typer.Option(help="The package or checkpoint that is served: it is sampled again.")],
    folder: Annotated[Path, typer.Option(help="Where the turns lie; none in it is taken twice.")] = Path("collected"),
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", "-t", help="A task that tests: its items are left out; repeat. All that ship by default."
        ),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="At most so many turns.")] = 200,
    novel: Annotated[
        float, typer.Option(min=0, max=1, help="Likeness to all known items below which one is new.")
    ] = 0.1,
    uncertain: Annotated[int, typer.Option(min=0, help="Sample so many other turns twice; take what differs.")] = 0,
    overlap: Annotated[int, typer.Option(min=1, help="Votes on each comparison.")] = 3,
    store: Annotated[str | None, typer.Option(help="A path or URL; EASYDS_DB_URL, else annotations.db.")] = None,
) -> None:
    """Make an annotation campaign of served turns that were poor, failed a gate, were new or uncertain."""
    from harness import annotate
    from harness import task as loader
    from harness.loop import collect as collecting
    from harness.loop.choose import Wanted

    guard = tuple(loader.load(name) for name in task or loader.names())
    settings = annotate.Settings(overlap=overlap)
    order = collecting.Order(log, folder, into, checkpoint, guard, Wanted(turns, novel, uncertain), settings)
    open_store = annotate.open_store(store)
    try:
        made = collecting.collect(open_store, annotate.operator(open_store).id, order)
    finally:
        open_store.close()
    told = ", ".join(f"{count} {why}" for why, count in made.reasons.items())
    print(f"campaign {made.campaign}: {made.units} comparisons of {sum(made.reasons.values())} turns ({told})")
    if made.left_out:
        print("left out: " + ", ".join(f"{count} {why}" for why, count in made.left_out.items()), file=sys.stderr)


def improve(
    plan: Annotated[Path, typer.Argument(help="The loop's plan, a YAML file (docs/loop.md).")],
    folder: Annotated[
        Path | None, typer.Option(help="Where everything goes; out/ and the plan's name by default.")
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Only take the last promotion back.")] = False,
    store: Annotated[str | None, typer.Option(help="A path or URL; EASYDS_DB_URL, else annotations.db.")] = None,
) -> None:
    """Served turns, votes, pairs, training, benchmark, gate, package. Exit 1 if nothing is promoted, 4 while votes are missing."""
    from harness import annotate
    from harness.loop import improve as improving
    from harness.loop import plan as plans
    from harness.loop import promotion

    found = plans.read(plan)
    place = folder or Path("out") / found.name
    if back:
        print(promotion.go_back(place))
        return
    open_store = annotate.open_store(store)
    try:
        lead = annotate.operator(open_store).id
        result = improving.improve(
            found, place, open_store, lead, lambda line: print(line, file=sys.stderr, flush=True)
        )
    finally:
        open_store.close()
    print(f"round {result['round']} promoted {result['package']} ({place / promotion.CURRENT})")


def _measure(name: str, one: Any) -> dict[str, Any]:
    interval = None if one.low is None else f"[{one.low:.3g}, {one.high:.3g}]"
    return {"measure": name, "value": f"{one.value:.3g}", "95 %": interval, "n": one.n}


def _drift(one: Any) -> dict[str, Any]:
    told = {"column": one.column, "test": one.test, "size": f"{one.size:.3g}", "p (Holm)": f"{one.p:.2g}"}
    return {**told, "n": one.n, "n before": one.n_before}
