"""`easyds judge`: attack a judge, let it compare two systems, and measure it against people."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness import types
    from harness.scorers.judge import Judge

commands = typer.Typer(no_args_is_help=True, help="Attack a judge, compare by it, measure it against people.")

JudgeSpec = Annotated[str, typer.Argument(metavar="JUDGE", help="As --scorer takes it: judge:model=...,base_url=...")]
Task = Annotated[str, typer.Option("--task", "-t", help="A task's name ('easyds tasks') or its YAML file.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
Form = Annotated[str, typer.Option("--format", "-f", help="text or json.")]


@commands.command()
def check(
    judge: JudgeSpec,
    task: Task = "ds-guidance",
    clusters: Annotated[int, typer.Option("--clusters", "-n", min=2, help="Exercises to attack it on.")] = 3,
    runs: Runs = Path("runs"),
    form: Form = "text",
) -> None:
    """Attack a judge with 68 payloads in zh and en; exit 1 if one family moves it. Without this it carries no headline."""
    from harness import scorers
    from harness import task as loader
    from harness.board import trust
    from harness.cli.app import print_rows
    from harness.errors import GateFailed

    source, result = attacked(scorers.parse(judge), loader.load(task), clusters, runs)
    columns = ["family", "language", "alone", "payloads", "n", "shift", "low", "high", "unscored", "passed"]
    print_rows([rounded(row) for row in result["families"]], columns, form)
    said = f"payloads read as a verdict: {result['parsed']}; same label when asked again: {result['retest']}"
    print(f"{said}; {trust.path(runs, source)}", file=sys.stderr)
    if not result["passed"]:
        raise GateFailed(f"{source} is moved by what replies say to it: it carries no headline.")


def attacked(spec: Mapping[str, Any], task: "types.Task", clusters: int, runs: Path) -> tuple[str, dict[str, Any]]:
    """A judge's source and what the standing attacks do to it on some exercises of a task; remembered beside the runs."""
    from harness.board import trust
    from harness.scorers.judge import attack

    chosen = list(dict.fromkeys(item.cluster for item in task.items if item.references))[:clusters]
    on = [item for item in task.items if item.cluster in chosen]
    with _opened(spec, runs / trust.FOLDER) as one:
        parsed = attack.parsed_as_verdict(one, attack.payloads(one))
        result = {**attack.as_json(one, list(attack.check(one, on)), parsed), "retest": attack.retest(one, on)}
    trust.remember(runs, one.source, check=result)
    return one.source, result


@commands.command()
def duel(
    judge: JudgeSpec,
    x: Annotated[str, typer.Argument(metavar="X", help="A system, or a run's name.")],
    y: Annotated[str, typer.Argument(metavar="Y", help="Another.")],
    task: Task = "ds-guidance",
    runs: Runs = Path("runs"),
    form: Form = "text",
) -> None:
    """Let a judge compare two systems reply by reply, in both orders. A tie where the order decides."""
    from harness import scorers
    from harness import task as loader
    from harness.board import contestants, trust
    from harness.cli.app import print_rows
    from harness.record import find_runs
    from harness.scorers.judge import duel as duels

    the_task = loader.load(task)
    first, second = contestants(the_task, find_runs(runs), [x, y])
    items = {item.id: item for item in the_task.items}
    with _opened(scorers.parse(judge), runs / trust.FOLDER) as one:
        found = duels.duel(one, items, first.run.responses(), second.run.responses())
    rows = [
        _interval("X wins (ties half)", found.wins),
        _interval("X wins at equal length", found.controlled),
        _interval("both orders agree", found.consistent),
        _interval("shown first wins", found.first_place),
    ]
    print_rows(rows, ["what", "value", "low", "high", "n"], form)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(found.counts.items()))
    print(f"X is a, Y is b: {counts}; unscored {found.unscored}", file=sys.stderr)


@commands.command()
def calibrate(
    source: Annotated[str, typer.Argument(help="A source of scores in the runs, e.g. judge/qwen2-5-72b-instruct.")],
    task: Task = "ds-guidance",
    against: Annotated[str, typer.Option(help="people, or a source: check/ds-trace has the facts.")] = "people",
    campaign: Annotated[str | None, typer.Option(help="Take people's agreement among themselves from it.")] = None,
    store: Annotated[str | None, typer.Option(help="Where the votes lie.", envvar="EASYDS_DB_URL")] = None,
    runs: Runs = Path("runs"),
    form: Form = "text",
) -> None:
    """Measure a source of scores against human labels, criterion by criterion and language by language.

    Against people the result is remembered beside the runs, and decides whether the source may carry the headline.
    """
    from harness import calibration
    from harness import task as loader
    from harness.board import trust
    from harness.cli.app import print_rows
    from harness.record import find_runs

    the_task = loader.load(task)
    ours = [run for run in find_runs(runs) if run.manifest["task"]["digest"] == the_task.digest]
    rows = calibration.labelled(the_task, ours, source, against)
    human = _among_people(store, campaign) if campaign else {}
    found = calibration.as_json(calibration.calibrate(rows, the_task.rubric), human)
    for row in found:
        row["carries"] = trust.carries(row)
    if against == calibration.PEOPLE:
        full = {
            name for run in ours for name in run.manifest.get("scorers", ()) if source in (name, name.partition("@")[0])
        }
        for name in sorted(full):
            print(trust.remember(runs, name, agreement=found), file=sys.stderr)
    columns = [
        "criterion",
        "language",
        "n",
        "unscored",
        "kappa",
        "kappa_low",
        "kappa_high",
        "weighted",
        "alpha",
        "human",
    ]
    print_rows(
        found,
        [*columns, "accuracy", "f1", "f1_lenient", "rates", "judged_rates", "bias", "carries"]
        if form == "text"
        else [],
        form,
    )
    print(f"Published beside it: {calibration.PUBLISHED}.", file=sys.stderr)


@commands.command()
def learn(
    out: Annotated[Path, typer.Argument(help="Folder for the classifier: --scorer learned:folder=OUT uses it.")],
    task: Task = "ds-guidance",
    labels: Annotated[
        Path | None, typer.Option(help="A public labelled file (MRBench) in place of the runs' people.")
    ] = None,
    against: Annotated[str, typer.Option(help="people, or a source of scores in the runs.")] = "people",
    encoder: Annotated[Path | None, typer.Option(help="A local sentence encoder's checkpoint.")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Train the scorer `learned` on human labels: votes in the runs ('easyds annotate publish'), or a public file."""
    from harness import calibration
    from harness import task as loader
    from harness.calibration import public
    from harness.errors import UsageError
    from harness.record import find_runs
    from harness.scorers.learned import train

    if labels is not None:
        examples = [one for one in map(public.example, public.read(labels)) if one.labels]
    else:
        the_task = loader.load(task)
        ours = [run for run in find_runs(runs) if run.manifest["task"]["digest"] == the_task.digest]
        examples = calibration.examples(the_task, ours, against)
    if not examples:
        raise UsageError("there are no labels to learn from: give --labels FILE, or runs with votes of people.")
    made = train(examples, out.name, str(encoder) if encoder else None)
    made.save(out)
    sure = {name: f"{head.threshold:.2f}" for name, head in made.heads.items()}
    print(f"{out}: {len(examples)} replies; abstains below {sure}", file=sys.stderr)


@commands.command()
def damr(
    file: Annotated[Path, typer.Argument(help="A file of MRBench, V1 or V2.")],
    form: Form = "text",
) -> None:
    """The share of replies with the desired label, by tutor and dimension (percent): MRBench's table, from its file."""
    from harness.calibration import damr as table
    from harness.calibration import public
    from harness.cli.app import print_rows

    found = table.damr(public.read(file))
    rows = [
        {"tutor": system, **{name: round(100 * by[name].value, 2) if name in by else None for name in table.DESIRED}}
        for system, by in sorted(found.items())
    ]
    print_rows(rows, ["tutor", *table.DESIRED], form)


def _among_people(store: str | None, campaign: str) -> dict[tuple[str, str], float]:
    from harness import annotate

    opened = annotate.open_store(store)
    try:
        rows = annotate.agreement(opened, annotate.operator(opened).id, campaign)
    finally:
        opened.close()
    return {(row.criterion, row.language): row.kappa.value for row in rows if row.kappa and row.kappa.value is not None}


@contextmanager
def _opened(spec: Mapping[str, Any], folder: Path) -> Iterator["Judge"]:
    """The judge of a specification, with its journal in `folder`."""
    from harness import scorers
    from harness.errors import UsageError
    from harness.scorers.judge import Judge

    one = scorers.open_scorer(spec)
    if not isinstance(one, Judge):
        raise UsageError(f"'{spec['name']}' is no judge: judge:model=NAME,base_url=URL.")
    folder.mkdir(parents=True, exist_ok=True)
    one.open(folder)
    try:
        yield one
    finally:
        one.close()


def _interval(what: str, found: Any) -> dict[str, Any]:
    values = {name: None if found is None else round(getattr(found, name), 3) for name in ("value", "low", "high")}
    return {"what": what, **values, "n": found.n if found else 0}


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """A row for reading: three digits."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
