"""The commands of `easyds`. Each is a thin layer: it reads options, calls one function of the harness, prints.

Modules of commands do not import `annotations` from `__future__`: Typer would evaluate all of these texts before `--help`.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.annotate import commands as annotate_commands
from harness.cli.data import app as data_commands
from harness.cli.deploy import loadtest, package
from harness.cli.judge import commands as judge_commands
from harness.cli.loop import collect, improve, monitor

app = typer.Typer(
    name="easyds",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="EasyDS Bench: which checkpoint guides best, is the difference real, and what does it cost?",
    epilog="Exit codes: 0 done, 1 gate failed, 2 usage, 3 environment, 4 incomplete, 130 interrupted. "
    "Options also come from EASYDS_<COMMAND>_<OPTION> and easyds.toml ('easyds config').",
)

PANELS = {
    "Begin": ("demo", "doctor", "tasks", "config"),
    "Benchmark": ("run", "score", "board", "compare", "plan", "app", "merge"),
    "Judges and people": ("judge", "annotate"),
    "Train": ("data", "simulate", "pairs", "train", "experiment", "report"),
    "Deploy and improve": ("package", "serve", "loadtest", "monitor", "collect", "improve"),
}
"""What `--help` shows, in this order"""

experiments = typer.Typer(no_args_is_help=True, help="Train candidates by seeds under one budget and benchmark them.")
app.add_typer(experiments, name="experiment")
app.add_typer(annotate_commands, name="annotate")
app.add_typer(data_commands, name="data")
app.add_typer(judge_commands, name="judge")
app.command()(package)
app.command()(loadtest)
app.command()(monitor)
app.command()(collect)
app.command()(improve)

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
TaskName = Annotated[str, typer.Option("--task", "-t", help="A task's name ('easyds tasks') or its YAML file.")]
Format = Annotated[str, typer.Option("--format", "-f", help="text, json, csv, markdown or latex.")]
FailUnder = Annotated[
    list[str] | None, typer.Option(help="METRIC=X: exit 1 if the lower end of the metric's interval is below X.")
]
Scorers = Annotated[
    list[str] | None, typer.Option("--scorer", help="name or name:option=value; replaces the task's scorers.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from harness import __version__

        print(__version__)
        raise typer.Exit()


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. May stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that belong to no command."""


@app.command()
def doctor(form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text") -> None:
    """Check that this machine can run the benchmark, and say what is missing."""
    from harness.cli.doctor import check

    report = check()
    print_rows(report, ["check", "result", "detail"], form)
    if any(row["result"] == "missing" for row in report):
        raise typer.Exit(3)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Also a local judge held against the facts; the best checkpoint packaged, served, loaded."
        ),
    ] = False,
) -> None:
    """A tiny base, SFT, then DPO and PPO on it; the board with the controls; a report. The second time takes seconds."""
    from harness.cli.demo import run_demo

    run_demo(folder, full)


@app.command()
def tasks(form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text") -> None:
    """List the tasks with their items, languages and version."""
    from harness import task as loader

    rows = []
    for name in loader.names():
        one = loader.load(name)
        languages = sorted({item.language for item in one.items})
        clusters = len({item.cluster for item in one.items})
        rows.append(
            {
                "task": one.name,
                "version": one.version,
                "items": len(one.items),
                "clusters": clusters,
                "languages": ", ".join(languages),
                "digest": one.digest[:8],
                "description": one.description["en"],
            }
        )
    print_rows(rows, ["task", "version", "items", "clusters", "languages", "digest", "description"], form)


@app.command()
def simulate(
    split: Annotated[str, typer.Option(help="train, validation, test or test-unseen.")] = "train",
    clusters: Annotated[int, typer.Option("--clusters", "-n", help="Exercises; each in every language.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    family: Annotated[list[str] | None, typer.Option(help="Only this family; repeat for several.")] = None,
    difficulty: Annotated[list[int] | None, typer.Option(min=1, max=3, help="1, 2 or 3; repeat for several.")] = None,
    hint_level: Annotated[list[int] | None, typer.Option(min=0, max=2, help="0, 1 or 2; repeat for several.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="zh or en; both by default.")] = None,
    register: Annotated[str, typer.Option(help="full, or worked (few families): short, for toy models.")] = "full",
    teacher: Annotated[
        str | None, typer.Option(help="good or mixture: write training conversations, not items.")
    ] = None,
    task: TaskName = "ds-trace",
    out: Annotated[Path | None, typer.Option(help="A new JSONL file; standard output by default.")] = None,
) -> None:
    """Write ds-trace exercises with computed facts, or training conversations, as JSONL."""
    from harness.cli.simulate import rows, write
    from harness.simulator.items import Plan

    plan = Plan(
        split,
        clusters,
        seed,
        tuple(family or ()),
        tuple(difficulty or (1, 2, 3)),
        tuple(hint_level if hint_level is not None else (0, 1, 2)),
        tuple(language or ("zh", "en")),
        register,
    )
    write(rows(plan, teacher, task), out)


@app.command()
def pairs(
    split: Annotated[str, typer.Option(help="train or validation; test items are refused.")] = "train",
    clusters: Annotated[int, typer.Option("--clusters", "-n", min=0, help="Exercises with a teacher-made pair.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the exercises.")] = 0,
    kind: Annotated[list[str] | None, typer.Option(help="Only this fault of rejected answers; repeat.")] = None,
    run: Annotated[list[Path] | None, typer.Option(help="A run folder whose answers are paired; repeat.")] = None,
    per_item: Annotated[int, typer.Option(min=1, help="Pairs from each item of a run.")] = 1,
    temperature: Annotated[float, typer.Option(help="The rater's, in units of the gold score; 0 never errs.")] = 0.2,
    flips: Annotated[float, typer.Option(help="Share of labels the rater confuses.")] = 0.02,
    length_bias: Annotated[float, typer.Option(help="Log-odds the rater gives to 100 more characters.")] = 0.0,
    task: TaskName = "ds-trace",
    run_task: Annotated[str | None, typer.Option(help="The runs' task, if it is another.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new JSONL file; standard output by default.")] = None,
) -> None:
    """Write preference pairs with labels of a simulated rater, and how well such labels can be predicted at best."""
    from harness.cli.pairs import make
    from harness.preferences import Rater

    rater = Rater(temperature, flips, length_bias)
    found = [(folder, run_task or task) for folder in run or ()]
    table = make(task, split, clusters, seed, kind or (), found, per_item, rater, out)
    print("kind              n  label agrees with gold  ceiling of accuracy", file=sys.stderr)
    for row in table:
        print(f"{row['kind']:<16}{row['n']:>4}  {row['agrees']:>22.3f}  {row['ceiling']:>19.3f}", file=sys.stderr)


@app.command()
def train(
    stage: Annotated[
        str, typer.Argument(help="base, sft, reward, dpo, rloo, ..., or a program that keeps the contract (./program).")
    ],
    spec: Annotated[Path | None, typer.Argument(help="The stage's settings, a JSON file.")] = None,
    base: Annotated[str | None, typer.Option(help="Checkpoint to begin from.")] = None,
    data: Annotated[Path | None, typer.Option(help="Training data, a JSONL file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the stage.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of adapter, data order and sampling.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the spec, e.g. steps=60 or lora.r=16; repeat.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Pass events on: tensorboard, trackio, wandb or mlflow; repeat.")
    ] = None,
    fit_batch: Annotated[
        bool, typer.Option("--fit-batch", help="Halve batch_size until it fits; accumulation grows in its place.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print how much memory it will need.")] = False,
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Train a checkpoint in a process of its own. The same command goes on after a kill, to the same weights."""
    from harness.cli.train import train as start

    given = {"base": base, "data": None if data is None else str(data), "output": output and str(output), "seed": seed}
    options = {key: value for key, value in given.items() if value is not None}
    start(stage, spec, options, settings or [], form, track or [], fit_batch, dry_run)


@experiments.command("run")
def run_experiment(
    plan: Annotated[Path, typer.Argument(help="The plan, a YAML file (docs/experiments.md).")],
    folder: Annotated[
        Path | None, typer.Option(help="Where everything goes; out/ and the plan's name by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes side by side; one a core by default.")] = None,
) -> None:
    """Carry out a plan: data, training, choice on validation, test runs. The same command goes on after a kill."""
    from harness.cli.experiment import carry_out

    print(carry_out(plan, folder, workers))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="An experiment's folder, such as out/demo.")],
    out: Annotated[Path | None, typer.Option(help="Where the report goes; report/ in the experiment's folder.")] = None,
) -> None:
    """Write an experiment's report: report.html (Chinese and English, self-contained), Markdown, figures, report.json."""
    from harness.report import write

    for path in write(folder, out or folder / "report"):
        print(path)


@app.command()
def run(
    model: Annotated[list[str], typer.Option("--model", "-m", help="provider/name; repeat for several systems.")],
    task: TaskName = "ds-trace",
    limit: Annotated[int | None, typer.Option(help="Only the first N items (never ranked).")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows generated together (hf); halved when memory runs out.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest answer; the task says how long by default.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy (the default).")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling.")] = None,
    samples: Annotated[int | None, typer.Option(help="Answers per item.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling noise.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16 (hf).")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda (hf).")] = "auto",
    base_url: Annotated[str | None, typer.Option(help="Endpoint of an OpenAI-compatible server (openai).")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once (openai).")] = 8,
    shard: Annotated[
        str | None, typer.Option(help="i/n: only every n-th request from the i-th; 'easyds merge' joins.")
    ] = None,
    scorer: Scorers = None,
    system: Annotated[str | None, typer.Option("--as", help="Name on the board; the model's name by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start a new run even if one of this configuration exists.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate items, tokens, time and memory; write nothing.")
    ] = False,
    fail_under: FailUnder = None,
    runs: Runs = Path("runs"),
    form: Format = "text",
) -> None:
    """Run models on a task, score and record them. The same command continues an unfinished run."""
    from harness import board, models, scorers
    from harness import run as runner
    from harness import task as loader
    from harness.cli import show
    from harness.errors import UsageError

    if len(model) > 1 and (name or system):
        raise UsageError("--name and --as go with one --model.")
    decoding = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "samples": samples,
        "seed": seed,
    }
    plan = runner.Plan.of(loader.load(task), limit, _shard(shard), **decoding)
    options = models.Options(batch_size, dtype, device, base_url, concurrency)
    specs = None if scorer is None else [scorers.parse(one) for one in scorer]
    bars = board.conditions(fail_under or [])
    show.require_format(form)
    opened = [models.open_model(one, options) for one in dict.fromkeys(model)]
    if dry_run:
        print_rows([_estimate(runner, plan, one) for one in opened], list(_ESTIMATE), form)
        return
    done = [_run_one(runner, plan, one, runs, system, name, new, specs) for one in opened]
    result = board.build(plan.task, done)
    print(show.render(result, form))
    for one in done:
        print(f"run folder: {one.folder}", file=sys.stderr)
    for one in done:
        runner.require_complete(one)
        board.read(one)  # refuses two sources for one criterion, which a board only lists
    for row in result.rows:
        board.gate(row, bars)


def _shard(text: str | None) -> tuple[int, int]:
    from harness.errors import UsageError

    place, _, count = (text or "0/1").partition("/")
    if not (place.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard is i/n with i from 0 to n-1 (0/2 and 1/2), not '{text}'.")
    return int(place), int(count)


def _run_one(
    runner: Any, plan: Any, model: Any, runs: Path, system: str | None, name: str | None, new: bool, specs: Any
) -> Any:
    from harness.cli.progress import Progress

    with Progress(system or model.name) as bar:
        return runner.execute(plan, model, runs, system=system, name=name, new=new, scorers=specs, progress=bar.begin)


_ESTIMATE = ("model", "items", "requests", "prompt_tokens", "completion_tokens", "seconds", "peak_memory_bytes")


def _estimate(runner: Any, plan: Any, model: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {"model": model.name, **asdict(runner.estimate(plan, model))}


@app.command()
def score(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run folder.")],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="The run's task, if it is not one of the bundled.")
    ] = None,
    scorer: Scorers = None,
    runs: Runs = Path("runs"),
    form: Format = "text",
) -> None:
    """Score the responses of a run again, without generating."""
    from harness import board, paths, scorers
    from harness import run as runner
    from harness import task as loader
    from harness.cli import show
    from harness.record import Run

    folder = runs / paths.safe_name(run_name, "run name")
    the_task = loader.load(task or Run(folder).manifest["task"]["name"])
    specs = None if scorer is None else [scorers.parse(one) for one in scorer]
    done = runner.rescore(folder, the_task, specs)
    board.read(done)  # refuses two sources for one criterion, which a board only lists
    print(show.render(board.build(the_task, [done]), form))
    if not done.manifest["missing"]:  # what is missing was not asked for again
        runner.require_complete(done)


@app.command("board")
def show_board(
    task: TaskName = "ds-trace",
    runs: Runs = Path("runs"),
    publish: Annotated[
        bool, typer.Option("--publish", help="Write the board and its packed runs to --leaderboards.")
    ] = False,
    leaderboards: Annotated[Path, typer.Option(help="Folder of published boards.")] = Path("leaderboards"),
    fail_under: FailUnder = None,
    form: Format = "text",
) -> None:
    """Show all systems on a task, with intervals, rank ranges and tie groups; or publish the board."""
    from harness import board
    from harness import task as loader
    from harness.cli import publish as publisher
    from harness.cli import show

    bars = board.conditions(fail_under or [])
    show.require_format(form)
    the_task = loader.load(task)
    result = publisher.publish(the_task, runs, leaderboards) if publish else board.from_folder(the_task, runs)
    print(show.render(result, form))
    board.gate_all(result, bars)


@app.command("app")
def serve_app(
    runs: Runs = Path("runs"),
    leaderboards: Annotated[
        Path, typer.Option(help="Folder of published boards, shown where there are no runs.")
    ] = Path("leaderboards"),
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="The YAML file of a task of your own; repeat for several.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in a browser.")] = False,
    host: Annotated[
        list[str] | None, typer.Option(help="A name under which a team's proxy reaches the app (docs/app.md); repeat.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="The gateway's log, for the page that watches it.")] = None,
) -> None:
    """Show boards, comparisons, samples, runs and the annotators' pages in the browser, on this machine only."""
    from harness.cli.web import serve

    serve(runs, leaderboards, task or [], port, browser, host or [], log)


@app.command("serve")
def serve_package(
    package: Annotated[Path, typer.Argument(help="A checkpoint's folder, with package.json or without.")],
    host: Annotated[str, typer.Option(help="Address to listen on; one that others reach needs EASYDS_SERVE_KEYS.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8080,
    engine_url: Annotated[str | None, typer.Option(help="An engine that runs already (http://.../v1).")] = None,
    engine: Annotated[str, typer.Option(help="auto, vllm or transformers: what is started.")] = "auto",
    log: Annotated[
        Path | None, typer.Option(help="Append served turns and feedback to this JSONL file, redacted.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at work at once; others get 503.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take; then 504.")] = 60.0,
) -> None:
    """Serve a checkpoint: guidance behind gates, OpenAI's chat completions, feedback, health and metrics."""
    from harness.cli.serve import serve

    serve(package, host, port, engine_url, engine, log, concurrency, timeout)


@app.command()
def compare(
    systems: Annotated[
        list[str], typer.Argument(help="Two or more systems (their latest complete runs) or run names.")
    ],
    task: TaskName = "ds-trace",
    metric: Annotated[list[str] | None, typer.Option(help="A metric of the board; repeat for several.")] = None,
    by: Annotated[
        str | None, typer.Option(help="language, knowledge_point, difficulty, hint_level or misconception.")
    ] = None,
    runs: Runs = Path("runs"),
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Say of every pair of systems whether one is better, by how much, and what could not have been seen."""
    import json

    from harness import board
    from harness import task as loader
    from harness.cli import sentences
    from harness.errors import require
    from harness.record import find_runs

    require("format", form, ["text", "json"], "--format")
    the_task = loader.load(task)
    chosen = board.contestants(the_task, find_runs(runs), systems)
    found = board.compare(the_task, chosen, metric or (), by)
    if form == "json":
        print(json.dumps(board.comparison_json(the_task, chosen, found), indent=1))
    else:
        print("\n".join(sentences.sentences(found, the_task.rubric)))


@app.command()
def plan(
    difference: Annotated[
        float | None, typer.Option("--difference", "-x", help="True difference to find, 0.03 for 3 points.")
    ] = None,
    clusters: Annotated[int | None, typer.Option("--clusters", "-n", help="Problems (clusters of items).")] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(help="Training seeds a method; repeat; 0: two fixed checkpoints.")
    ] = None,
    sd_seed: Annotated[float, typer.Option(help="sd of a method's score from seed to seed.")] = 0.0,
    sd: Annotated[float, typer.Option(help="sd of one item's paired difference, if no runs are given.")] = 0.5,
    icc: Annotated[float, typer.Option(min=0, max=1, help="How alike the differences of one cluster are.")] = 0.5,
    items_per_cluster: Annotated[float, typer.Option(min=1, help="2: each problem in zh and en.")] = 2,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Answers per item, with --from runs that have several.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option("--from", help="Two systems or runs whose differences were observed.")
    ] = None,
    metric: Annotated[str, typer.Option(help="Their metric.")] = "guidance_accuracy",
    power: Annotated[float, typer.Option(help="Probability to find the difference.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Error of the first kind of all comparisons together.")] = 0.05,
    comparisons: Annotated[int, typer.Option(min=1, help="Comparisons made together (Holm's worst case).")] = 1,
    task: TaskName = "ds-trace",
    runs: Runs = Path("runs"),
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """How many problems and seeds does a difference need? What difference can so many see?"""
    from harness.board import plan as planner
    from harness.cli import sentences
    from harness.errors import require

    require("format", form, ["text", "json"], "--format")
    spread = planner.Spread(sd, icc, items_per_cluster)
    if origin:
        spread = _observed(task, runs, origin, metric)
    spread = spread.with_samples(spread.samples if samples is None else samples)
    found = planner.needs(spread, difference, clusters, seeds or [0], sd_seed, power, alpha / comparisons)
    print(sentences.plan_json(spread, found) if form == "json" else "\n".join(sentences.planned(spread, found, origin)))


def _observed(task: str, runs: Path, names: list[str], metric: str) -> Any:
    from harness import board
    from harness import task as loader
    from harness.board import plan as planner
    from harness.errors import UsageError
    from harness.record import find_runs

    if len(names) != 2:
        raise UsageError("--from takes two systems or runs: give it twice.")
    the_task = loader.load(task)
    a, b = board.contestants(the_task, find_runs(runs), names)
    return planner.observed(the_task, a, b, metric)


@app.command()
def merge(
    source: Annotated[Path, typer.Argument(help="A folder of run folders, brought from another machine.")],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="The task of shards, if it is a file of your own.")
    ] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Copy runs from another machine, and join shards. The same run is left as it is; one of the same name with other
    content is refused."""
    from harness import board
    from harness import run as runner
    from harness import task as loader

    merged = board.merge(source, runs)
    print(f"{len(merged.copied)} runs copied to {runs}, {len(merged.known)} there already", file=sys.stderr)
    for folder, shard in merged.shards:
        name = shard.manifest["task"]["name"]
        whole = runner.join(folder, shard, loader.load(task or name))
        missing = whole.manifest["missing"]
        rest = f"{missing} requests are still missing" if missing else "it is complete"
        print(f"shard {shard.manifest['shard']} joined to run {whole.id}: {rest}", file=sys.stderr)


@app.command()
def config(
    command: Annotated[str | None, typer.Argument(help="Only this command's options.")] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Show every option's present value and where it comes from."""
    from harness.cli.config import origins

    print_rows(origins(command), ["command", "option", "value", "origin"], form)


def print_rows(rows: list[dict[str, Any]], columns: list[str], form: str) -> None:
    """Rows as an aligned table, or as JSON."""
    from harness.errors import require

    require("format", form, ["text", "json"], "--format")
    if form == "json":
        import json

        print(json.dumps(rows, ensure_ascii=False, indent=1, default=str))
    else:
        cells = [columns, *([str(row[name]) if row[name] is not None else "-" for name in columns] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            print("  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip())
