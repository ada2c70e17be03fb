"""`easyds annotate …`: what a lead does at a terminal. People rate and compare in the app (`easyds app`)."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.annotate import Store
    from harness.record import Run
    from harness.types import Task

commands = typer.Typer(no_args_is_help=True, help="People rate and compare replies: campaigns, agreement, export.")

At = Annotated[str | None, typer.Option("--store", help="A path or URL; EASYDS_DB_URL, else annotations.db.")]
Name = Annotated[str, typer.Argument(help="The campaign's name.")]
TaskName = Annotated[str, typer.Option("--task", "-t", help="A task's name ('easyds tasks') or its YAML file.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--run", help="A run's or system's name; repeat. All systems' latest complete runs by default."),
]
Form = Annotated[str, typer.Option("--format", "-f", help="text or json.")]


@commands.command()
def create(
    name: Name,
    kind: Annotated[str, typer.Option(help="rate: each reply on the rubric's form. compare: two replies, blind.")],
    task: TaskName = "ds-trace",
    run: Chosen = None,
    runs: Runs = Path("runs"),
    title: Annotated[str, typer.Option(help="What annotators read in the list of campaigns.")] = "",
    items: Annotated[int | None, typer.Option(min=1, help="So many items, drawn by the seed; all by default.")] = None,
    overlap: Annotated[int, typer.Option(min=1, help="Votes on each reply or pair.")] = 2,
    against: Annotated[str | None, typer.Option(help="Compare all with this run or system only.")] = None,
    attention: Annotated[int, typer.Option(min=0, help="One attention check in so many; 0: none.")] = 25,
    gold: Annotated[int, typer.Option(min=0, help="One gold exercise in so many; 0: none.")] = 15,
    gold_file: Annotated[Path | None, typer.Option(help="Exercises with agreed labels (rubrics/README.md).")] = None,
    repeat: Annotated[int, typer.Option(min=0, help="One is shown again in so many; 0: none.")] = 20,
    qualify: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the test's labels as agreed; 0: no test.")
    ] = 0.75,
    exercises: Annotated[int | None, typer.Option(min=1, help="Exercises of the test; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of items, sides, order and checks.")] = 0,
    store: At = None,
) -> None:
    """Make a campaign from runs. Their texts are frozen in the store."""
    from harness import annotate, qualifying
    from harness import task as loader

    the_task = loader.load(task)
    settings = annotate.Settings(
        overlap=overlap,
        seed=seed,
        attention=attention,
        gold=gold,
        repeat=repeat,
        qualify=qualify or None,
        exercises=exercises,
        items=items,
        against=against,
    )
    exercises_as_gold = qualifying.load(the_task.rubric, gold_file) if gold_file else ()
    with _opened(store) as (open_store, lead):
        chosen = _chosen(the_task, runs, run or [])
        made = annotate.create(
            open_store, lead, name, kind, the_task, chosen, settings, gold=exercises_as_gold, title=title
        )
    units = ", ".join(f"{count} {purpose}" for purpose, count in made.units.items())
    print(f"campaign {made.id}: {units}; {_counted(made.languages)}")
    if made.left_out:
        print(f"left out: {_counted(made.left_out)}", file=sys.stderr)


@commands.command()
def status(
    name: Annotated[str | None, typer.Argument(help="All campaigns by default.")] = None,
    form: Form = "text",
    store: At = None,
) -> None:
    """How far campaigns are; of one, also what each annotator did and passed."""
    from dataclasses import asdict

    from harness import annotate
    from harness.cli.app import print_rows

    with _opened(store) as (open_store, lead):
        names = [name] if name else [one.id for one in annotate.listed(open_store)]
        rows = [asdict(annotate.status(open_store, lead, one)) for one in names]
        team = annotate.annotators(open_store, lead, name) if name else []
    for row in rows:
        row["skipped"] = sum(row["skipped"].values())
    columns = [
        "campaign",
        "open",
        "units",
        "wanted",
        "given",
        "extra",
        "complete",
        "stuck",
        "skipped",
        "flagged",
        "ruled",
    ]
    if form == "json":
        print_rows([*rows, *({**asdict(one), "campaign": name} for one in team)], columns, form)
        return
    print_rows(rows, columns, form)
    if team:
        print()
        print_rows([_member(one) for one in team], list(_member(team[0])), form)


def _member(one: Any) -> dict[str, Any]:
    def share(value: Any) -> str | None:
        return None if value.value is None else f"{100 * value.value:.0f} % of {value.n}"

    return {
        "id": one.id[:8],
        "name": one.name,
        "votes": one.votes,
        "extra": one.extra,
        "skips": one.skips,
        "seconds": None if one.seconds is None else round(one.seconds),
        "gold": share(one.gold),
        "attention": share(one.attention),
        "repeats": share(one.repeats),
        "hasty": share(one.hasty),
        "left": share(one.left),
        "excluded": one.excluded or None,
    }


@commands.command()
def agreement(name: Name, form: Form = "text", store: At = None) -> None:
    """How far annotators agree beyond chance, by criterion and language."""
    from dataclasses import asdict

    from harness import annotate
    from harness.cli.app import print_rows

    with _opened(store) as (open_store, lead):
        found = annotate.agreement(open_store, lead, name)
    if form == "json":
        print_rows([asdict(one) for one in found], [], form)
        return
    rows = [
        {
            "criterion": one.criterion,
            "language": one.language or "all",
            "alpha": _interval(one.alpha) if one.alpha.value is not None else one.state.replace("_", " "),
            "kappa": None if one.kappa is None else f"{_interval(one.kappa)} ({one.kappa_name})",
            "same": None if one.share is None else f"{100 * one.share:.0f} %",
            "units": one.alpha.n,
            "raters": one.raters,
        }
        for one in found
    ]
    print_rows(rows, ["criterion", "language", "alpha", "kappa", "same", "units", "raters"], form)


def _interval(one: Any) -> str:
    if one.value is None:
        return f"not defined: {one.reason}"
    limits = "" if one.low is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.value:.2f}{limits}"


@commands.command()
def judge(
    name: Name,
    run: Chosen = None,
    runs: Runs = Path("runs"),
    task: TaskName = "ds-trace",
    form: Form = "text",
    store: At = None,
) -> None:
    """How far the runs' scores (of a judge, of checks) agree with what people said."""
    from dataclasses import asdict

    from harness import annotate
    from harness import task as loader
    from harness.cli.app import print_rows

    with _opened(store) as (open_store, lead):
        found = annotate.against_people(open_store, lead, name, _chosen(loader.load(task), runs, run or []))
    rows: list[dict[str, Any]] = []
    for one in found:
        row: dict[str, Any] = {"criterion": one.criterion, "source": one.source, "n": sum(one.confusion.values())}
        if form == "json":
            confusion = [[a, b, count] for (a, b), count in one.confusion.items()]
            rows.append({**asdict(one), **row, "confusion": confusion})
        else:
            same = None if one.accuracy is None else f"{100 * one.accuracy:.0f} %"
            rows.append(
                {
                    **row,
                    "kappa": _interval(one.kappa),
                    "same": same,
                    "unscored": one.unscored,
                    "unsettled": one.unsettled,
                }
            )
    print_rows(rows, ["criterion", "source", "n", "kappa", "same", "unscored", "unsettled"], form)


@commands.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="A new file; beside it goes OUT.provenance.json.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="dpo, reward, unpaired (JSONL to train on) or csv (all votes).")
    ] = "dpo",
    store: At = None,
) -> None:
    """Write preference pairs, unpaired labels or a table of votes. A campaign with test items trains nothing."""
    from harness import annotate
    from harness.errors import UsageError, require

    require("format", form, [*annotate.FORMATS, "csv"], "--format")
    if out.exists():
        raise UsageError(f"{out} exists already. Choose another name.")
    with _opened(store) as (open_store, lead):
        if form == "csv":
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(annotate.votes_csv(open_store, lead, name))
            print(f"wrote {out}", file=sys.stderr)
            return
        made = annotate.export(open_store, lead, name, form)
    beside = annotate.write(made, out)
    left = f"; no row from {_counted(made.left_out)}" if made.left_out else ""
    print(f"wrote {len(made.rows)} rows to {out}, where they came from to {beside}{left}", file=sys.stderr)


@commands.command()
def publish(task: TaskName = "ds-trace", runs: Runs = Path("runs"), store: At = None) -> None:
    """Give the runs what people said of them: the board then shows satisfaction and corrected scores."""
    from harness import annotate
    from harness import task as loader
    from harness.record import find_runs

    with _opened(store) as (open_store, lead):
        found = annotate.publish(open_store, lead, loader.load(task), find_runs(runs))
    for run, count in found.items():
        print(f"{run}: {count} rated responses")


@commands.command()
def invite(role: Annotated[str, typer.Option(help="annotator or lead.")] = "annotator", store: At = None) -> None:
    """Print a token that makes one person who signs in an annotator or a lead, once, within a week."""
    from harness import annotate

    with _opened(store) as (open_store, lead):
        print(annotate.invite(open_store, lead, role))  # type: ignore[arg-type]


@commands.command()
def people(form: Form = "text", store: At = None) -> None:
    """List everyone the store knows."""
    from dataclasses import asdict

    from harness import annotate
    from harness.cli.app import print_rows

    with _opened(store) as (open_store, lead):
        rows = [asdict(one) for one in annotate.everyone(open_store, lead)]
    print_rows(rows, ["id", "name", "role", "issuer", "subject"], form)


@commands.command()
def role(
    person: Annotated[str, typer.Argument(help="An id ('easyds annotate people'), or its beginning.")],
    to: Annotated[str, typer.Argument(help="annotator, lead or revoked.")],
    store: At = None,
) -> None:
    """Give someone another role, or take it. Their next write sees it."""
    from harness import annotate
    from harness.errors import UsageError

    with _opened(store) as (open_store, lead):
        found = [one.id for one in annotate.everyone(open_store, lead) if one.id.startswith(person)]
        if len(found) != 1:
            raise UsageError(f"'{person}' is the beginning of {len(found)} ids: 'easyds annotate people' lists them.")
        annotate.set_role(open_store, lead, found[0], to)


@commands.command()
def close(name: Name, reopen: Annotated[bool, typer.Option(help="Open it again.")] = False, store: At = None) -> None:
    """Take no more votes in a campaign, or open it again."""
    from harness import annotate

    with _opened(store) as (open_store, lead):
        annotate.set_open(open_store, lead, name, reopen)


@contextmanager
def _opened(where: str | None) -> Iterator[tuple["Store", str]]:
    """The store, and who acts: the person at this terminal."""
    from harness import annotate

    store = annotate.open_store(where)
    try:
        yield store, annotate.operator(store).id
    finally:
        store.close()


def _chosen(task: "Task", folder: Path, names: Sequence[str]) -> list["Run"]:
    """The runs of those names (a run's, or a system's: its latest complete one); of every system if none are named."""
    from harness.errors import UsageError, unknown
    from harness.record import find_runs

    ours = [run for run in find_runs(folder) if run.manifest.get("task", {}).get("digest") == task.digest]
    latest = {run.manifest["system"]: run for run in ours if run.manifest["status"] == "complete"}
    by_id = {run.id: run for run in ours}
    if not ours:
        raise UsageError(f"{folder} holds no run on {task.name} {task.version}. 'easyds run' makes one.")
    for name in names:
        if name not in by_id and name not in latest:
            raise unknown(
                f"run, or system with a complete run, on {task.name}", name, [*latest, *by_id], "'easyds board'"
            )
    return [by_id.get(name) or latest[name] for name in names] if names else list(latest.values())


def _counted(counts: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
