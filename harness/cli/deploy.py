"""`easyds package` and `easyds loadtest`: from a measured run to a model that runs, and what it carries."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

KEY = "EASYDS_LOADTEST_KEY"
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
TaskFile = Annotated[str | None, typer.Option("--task", "-t", help="The task, if it is a file of your own.")]


def package(
    run: Annotated[str, typer.Argument(help="A run of a checkpoint (its folder's name, or a system on the board).")],
    precision: Annotated[str, typer.Option(help="int8, bfloat16 or float32.")] = "int8",
    alias: Annotated[
        str | None, typer.Option(help="The package's name; by default the system's and the precision.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that holds the packages.")] = Path("packages"),
    licence: Annotated[str, typer.Option("--license", help="Licence of the weights, for the card.")] = "other",
    quantiser: Annotated[
        Path | None, typer.Option(help="A program PROGRAM IN OUT that quantises; --precision then only names it.")
    ] = None,
    task: TaskFile = None,
    runs: Runs = Path("runs"),
) -> None:
    """Merge, check, quantise and weigh a run's checkpoint, benchmark what came of it, and write its model card."""
    from harness import board, models
    from harness import run as runner
    from harness import task as loader
    from harness.cli import show
    from harness.cli.progress import Progress
    from harness.cli.sentences import sentences
    from harness.serve import make

    before = _run(run, runs)
    the_task = loader.load(task or before.manifest["task"]["name"])
    folder = make.make(before, the_task, out, precision, alias, quantiser)
    print(f"package: {folder}", file=sys.stderr)
    plan = runner.Plan.of(the_task, **before.manifest["decoding"])
    known = before.manifest["identity"]["batch_size"]
    dtype = "float32" if precision == "float32" else "bfloat16"
    options = models.Options(None if known == "auto" else known, dtype, "auto", None, 1)
    model = models.open_model(f"hf/{folder.resolve()}", options)
    with Progress(folder.name) as bar:
        after = runner.execute(plan, model, runs, system=folder.name, progress=bar.begin)
    result = board.build(the_task, [before, after])
    found = {row.run: row.metrics for row in result.rows}
    print(show.render(result, "text"))
    if all("guidance_accuracy" in found[one.id] for one in (before, after)):
        pair = board.contestants(the_task, [before, after], [folder.name, before.manifest["system"]])
        print("\n".join(sentences(board.compare(the_task, pair, ("guidance_accuracy", "gold_score")), the_task.rubric)))
    print(f"model card: {make.card(folder, the_task, found[before.id], found[after.id], licence)}", file=sys.stderr)
    runner.require_complete(after)


def _run(name: str, runs: Path) -> Any:
    """The run of this name, or the latest complete one of a system. Raises UsageError if there is none."""
    from harness.errors import UsageError
    from harness.record import Run, find_runs

    if (runs / name).is_dir() and "/" not in name:
        return Run(runs / name)
    found = [one for one in find_runs(runs) if one.manifest["system"] == name and one.manifest["status"] == "complete"]
    if not found:
        raise UsageError(
            f"{runs} has no run '{name}' and no complete run of a system of that name. 'easyds board' lists them."
        )
    return found[-1]


def loadtest(
    url: Annotated[str, typer.Argument(help="Where the model is served: http://127.0.0.1:8080")],
    users: Annotated[str, typer.Option(help="Closed loop: users at once, one level after the other.")] = "1,4,16",
    rate: Annotated[str, typer.Option(help="Open loop: requests a second, one level after the other.")] = "",
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of each level.")] = 10.0,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer; the task says how long by default.")] = None,
    model: Annotated[str, typer.Option(help="The name that requests carry; asked of the server by default.")] = "",
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Whose prompts are asked; the run's, or ds-trace.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="The quality run beside which the figures are kept.")] = None,
    runs: Runs = Path("runs"),
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Measure what a served model carries: first token, latency, tokens and answers a second, errors, memory."""
    from harness import task as loader
    from harness.cli.app import print_rows
    from harness.errors import Incomplete, UsageError, require
    from harness.record import LOAD, write_json
    from harness.serve import load as loads

    require("format", form, ["text", "json"], "--format")
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"'{url}' is no address of a server: write http://127.0.0.1:8080.")
    levels, arrivals = _numbers(users, int, "--users"), _numbers(rate, float, "--rate")
    if not levels and not arrivals:
        raise UsageError("nothing to do: give --users, --rate or both.")
    beside = _run(run, runs) if run else None
    the_task = loader.load(task or (beside.manifest["task"]["name"] if beside else "ds-trace"))
    prompts = [
        [{"role": turn.role, "content": turn.content} for turn in loader.prompt(the_task, item)]
        for item in the_task.items
    ]
    decoding = beside.manifest["decoding"] if beside else {}
    longest = max_tokens or decoding.get("max_new_tokens") or the_task.decoding.max_new_tokens
    place, key = url.rstrip("/").removesuffix("/v1"), os.environ.get(KEY, "")
    load = loads.Load(place, model, prompts, longest, key, temperature=decoding.get("temperature", 0.0))
    record = {
        "task": the_task.name,
        "task_digest": the_task.digest,
        **loads.test(load, levels, arrivals, seconds, _tell),
    }
    if beside and record["best"]:
        _require_served(record["model"], beside)
        write_json(beside.folder / LOAD, record)
        print(f"kept beside run {beside.id}: 'easyds board' shows it", file=sys.stderr)
    if form == "json":
        print(json.dumps(record, indent=1))
    else:
        print_rows([_row(one) for one in record["stages"]], list(_row(record["stages"][0])), "text")
        memory = record["server_memory_bytes"]
        print("server memory, peak: " + (f"{memory / 1e9:.2f} GB" if memory else "not measured"))
    if record["best"] is None:
        raise Incomplete(f"no level of load was carried: more than {loads.FAILING:.0%} of the requests failed at each.")


def _require_served(model: str, run: Any) -> None:
    """Raises UsageError if what answered is called neither like the run's system nor like its checkpoint's folder."""
    from harness.errors import UsageError
    from harness.paths import slug

    names = {run.manifest["system"], run.id, slug(run.manifest["system"]), slug(Path(run.manifest["model"]).name)}
    if model not in names:
        raise UsageError(
            f"what was served is called '{model}', run {run.id} is of '{run.manifest['system']}': nothing was kept. Name the served model's own run."
        )


def _numbers(text: str, kind: type[int] | type[float], option: str) -> list[Any]:
    from harness.errors import UsageError

    try:
        found = [kind(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"{option} is numbers with commas between (1,4,16), not '{text}'.") from error
    if any(not 0 < one < 100_000 for one in found):
        raise UsageError(f"{option}: every number must be above 0 and below 100000.")
    return found


def _tell(stage: Any) -> None:
    good = stage.figures.get("requests_per_s", {"value": 0.0})["value"]
    print(
        f"{stage.kind} {stage.level:g}: {stage.requests} requests, {good:.1f}/s, {stage.failed} failed", file=sys.stderr
    )


def _row(stage: dict[str, Any]) -> dict[str, Any]:
    """A level of load as a line of the table."""
    figures = stage["figures"]

    def told(name: str) -> str | None:
        one = figures.get(name)
        if one is None:
            return None
        return f"{one['value']:.3g}" + (f" [{one['low']:.3g}, {one['high']:.3g}]" if "low" in one else "")

    names = (
        "first_token_p50_s",
        "latency_p50_s",
        "latency_p95_s",
        "latency_p99_s",
        "requests_per_s",
        "goodput_per_s",
        "tokens_per_s",
    )
    head = {"loop": stage["kind"], "level": f"{stage['level']:g}", "n": stage["requests"], "failed": stage["failed"]}
    return head | {name: told(name) for name in names}
