"""`easyds data …`: one command for each tool of harness.data. Rows are streamed; exit code 1 where a tool found a fault."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from harness.cli.progress import EVERY_S

app = typer.Typer(
    no_args_is_help=True, help="Check, convert, clean and divide training data (JSONL, CSV, Parquet, HF folders)."
)
File = Annotated[Path, typer.Argument(help="A .jsonl, .csv or .parquet file, or a Hugging Face folder.")]
Out = Annotated[
    Path | None, typer.Option(help="A new file for the rows that are kept; by its ending .jsonl, .csv or .parquet.")
]
Format = Annotated[str, typer.Option("--format", "-f", help="text or json (one object a line).")]
SHOWN = 20
"""Findings that are printed as text; json prints all."""
T = TypeVar("T")


def metered(rows: Iterable[T], label: str) -> Iterator[T]:
    """`rows`, with their number and speed on stderr every ten seconds and at the end."""
    started = spoken = time.monotonic()
    count = 0
    for count, row in enumerate(rows, start=1):
        yield row
        if (now := time.monotonic()) - spoken >= EVERY_S:
            spoken = now
            print(f"{label}: {count:,} rows, {count / (now - started):,.0f} rows/s", file=sys.stderr, flush=True)
    seconds = max(time.monotonic() - started, 1e-6)
    print(f"{label}: {count:,} rows in {seconds:.1f} s, {count / seconds:,.0f} rows/s", file=sys.stderr, flush=True)


class Findings:
    """Prints findings as they come: as text the first of each kind, as JSON all. `exit` ends the command by them."""

    def __init__(self, form: str) -> None:
        from harness.errors import require

        require("format", form, ["text", "json"], "--format")
        self.form, self.count = form, Counter[str]()

    def add(self, kind: str, line: str, found: Any) -> None:
        self.count[kind] += 1
        if self.form == "json":
            print(json.dumps({"kind": kind, **asdict(found)}, ensure_ascii=False))
        elif self.count[kind] <= SHOWN:
            from harness.errors import printable

            print(printable(line))

    def exit(self, nothing: str) -> None:
        """Raises typer.Exit(1) if there was a finding."""
        if not self.count:
            print(nothing, file=sys.stderr)
            return
        if self.form == "text":
            print(", ".join(f"{kind} {number:,}" for kind, number in self.count.most_common()))
        raise typer.Exit(1)


@app.command()
def validate(
    file: File,
    language: Annotated[str | None, typer.Option(help="zh or en: every answer must be in it.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint whose tokenizer and template count tokens.")] = None,
    limit: Annotated[int, typer.Option(help="Most tokens of a row, with --model.")] = 2048,
    form: Format = "text",
) -> None:
    """List every fault with its line: broken rows, columns, roles, empty, special tokens, encoding, language, length."""
    from harness.data.faults import faults
    from harness.data.rows import scan

    findings = Findings(form)
    length = _length(model) if model else None
    for fault in faults(metered(scan(file), "validate"), language=language, length=length, limit=limit):
        findings.add(fault.kind, f"{fault.where}: {fault.kind}: {fault.told}", fault)
    findings.exit("no faults")


def _length(model: str) -> Any:
    from harness.models import hf
    from harness.models.checkpoint import folders

    tokenizer = hf.load_tokenizer(folders(model).tokenizer)
    return lambda turns: len(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"])


@app.command()
def convert(
    file: File,
    out: Annotated[Path, typer.Option(help="A new file; by its ending .jsonl, .csv or .parquet.")],
    to: Annotated[str, typer.Option(help="sft, messages, preference, unpaired or prompt.")],
    column: Annotated[list[str] | None, typer.Option(help="THEIRS=OURS: rename a column first; repeat.")] = None,
) -> None:
    """Turn rows into another form of TRL's; what would invent or lose an answer is refused by its line."""
    from harness.data import forms, rows

    found = metered(rows.read(file), "convert")
    placed = forms.renamed(found, _pairs(column or [], "--column")) if column else found
    print(f"{rows.write(out, forms.convert(placed, to)):,} rows written to {out}", file=sys.stderr)


def _pairs(given: list[str], option: str) -> dict[str, str]:
    from harness.errors import UsageError

    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option} must be NAME=VALUE, not '{one}'.")
        found[name] = value
    return found


@app.command()
def dedupe(
    file: File,
    against: Annotated[
        list[Path] | None, typer.Option(help="Files whose rows must not come again (other splits).")
    ] = None,
    near: Annotated[
        float, typer.Option(help="Similarity from which texts are the same; above 1: exact copies only.")
    ] = 0.7,
    out: Out = None,
    form: Format = "text",
) -> None:
    """Find rows that say what an earlier row, or a row of another file, says already; --out keeps the others."""
    from harness.data import rows
    from harness.data.faults import text_of
    from harness.data.likeness import Copies

    findings, texts = Findings(form), Copies(near)
    for other in against or ():
        for where, row in metered(rows.read(other), f"reading {other.name}"):
            texts.add(where, text_of(row))
    since = len(texts)
    for where, row in metered(rows.read(file), "dedupe"):
        texts.add(where, text_of(row))
    copies = texts.found(since)
    for copy in copies.values():
        kind = "exact" if copy.similarity == 1 else "near"
        findings.add(kind, f"{copy.where}: like {copy.like} ({copy.similarity:.2f})", copy)
    if out is not None:
        _keep((row for number, (_, row) in enumerate(rows.read(file), start=since) if number not in copies), out)
    findings.exit("no copies")


def _keep(rows: Iterator[Any], out: Path | None) -> None:
    """Write what is kept, or only go through it."""
    from harness.data import rows as files

    if out is None:
        for _ in rows:
            pass
    else:
        print(f"{files.write(out, rows):,} rows written to {out}", file=sys.stderr)


@app.command()
def contamination(
    file: File,
    task: Annotated[
        list[str], typer.Option("--task", "-t", help="A task whose items must not be in the file; repeat.")
    ],
    share: Annotated[float, typer.Option(help="Share of an item's n-grams from which a row holds it.")] = 0.5,
    n: Annotated[int, typer.Option("--n", min=2, help="Words of an n-gram (Chinese: twice as many characters).")] = 8,
    encoder: Annotated[
        Path | None, typer.Option(help="Folder of a sentence encoder (safetensors): finds reworded items too.")
    ] = None,
    alike: Annotated[
        float, typer.Option(help="With --encoder: cosine from which a row's prompt says what an item says.")
    ] = 0.9,
    out: Out = None,
    form: Format = "text",
) -> None:
    """Find rows that hold items of a task, word for word or (--encoder) by meaning; --out keeps the others."""
    from harness import task as tasks
    from harness.data import rows
    from harness.data.faults import prompt_of, text_of
    from harness.data.likeness import Items, Reworded, meaning

    findings = Findings(form)
    texts = {
        f"{name}: {item.id}": "\n".join(turn.content for turn in item.messages)
        for name in task
        for item in tasks.load(name).items
    }
    items = Items(texts, n)

    def kept() -> Iterator[rows.Row]:
        read = metered(rows.read(file), "contamination")
        placed: Iterable[tuple[str, rows.Row, Reworded | None]] = ((where, row, None) for where, row in read)
        if encoder is not None:
            from harness.models.encoder import encoder as load

            placed = meaning(read, prompt_of, texts, load(encoder), alike)
        for where, row, like in placed:
            if found := items.overlap(where, text_of(row), share):
                findings.add("contaminated", f"{where}: holds {found.share:.0%} of {found.item}", found)
            elif like:
                findings.add("reworded", f"{where}: says what {like.item} says (cosine {like.cosine:.2f})", like)
            else:
                yield row

    _keep(kept(), out)
    findings.exit("no item found")


@app.command()
def leak(
    file: File,
    column: Annotated[
        str, typer.Option(help="Column of the answer that must not be given, of the row or its item.")
    ] = "answer",
    form: Format = "text",
) -> None:
    """Find rows whose good answer gives away what was to be withheld (hint levels below 3)."""
    from harness.data import rows
    from harness.data.leaks import leaks

    findings = Findings(form)
    for found in leaks(metered(rows.read(file), "leak"), column):
        findings.add("leak", f"{found.where}: gives away {found.answer!r}", found)
    findings.exit("no answer given away")


@app.command()
def redact(
    file: File,
    names: Annotated[Path | None, typer.Option(help="A roster: one name a line, found wherever it stands.")] = None,
    out: Out = None,
    form: Format = "text",
) -> None:
    """Find names, phone numbers, ids, mail addresses and accounts; --out writes all rows with [NAME], [PHONE], ..."""
    from harness.data import private, rows

    findings = Findings(form)
    find = private.finder(names.read_text(encoding="utf-8").splitlines() if names else ())

    def clean() -> Iterator[rows.Row]:
        for row, found in private.redacted(metered(rows.read(file), "redact"), find):
            for one in found:
                findings.add(one.kind, f"{one.where}: {one.kind} ({one.count})", one)
            yield row

    _keep(clean(), out)
    findings.exit("no personal data found")


@app.command()
def report(
    file: File,
    out: Annotated[Path, typer.Option(help="A new Markdown file; its figure is put beside it.")],
    by: Annotated[list[str] | None, typer.Option(help="Column whose values are counted; repeat.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A checkpoint whose tokens lengths are in; characters without.")
    ] = None,
) -> None:
    """One page on a file: forms, languages, turns, lengths with a figure, columns, faults with the first of each kind."""
    from harness.data import report as page
    from harness.data import rows
    from harness.errors import UsageError

    figure = out.with_suffix(".svg")
    for one in (out, figure):
        if one.exists():
            raise UsageError(f"{one} exists. Choose another --out or remove it; nothing was changed.")
    out.parent.mkdir(parents=True, exist_ok=True)
    told = page.summary(metered(rows.scan(file), "report"), tuple(by or ()), _tokens(model) if model else len)
    unit = "tokens" if model else "characters"
    if told.lengths:
        figure.write_text(page.histogram(told.lengths, unit), encoding="utf-8")
    text = page.markdown(told, file.name, unit, figure.name if told.lengths else None)
    out.write_text(text, encoding="utf-8")
    print(f"{out} written", file=sys.stderr)


def _tokens(model: str) -> Any:
    from harness.models import hf
    from harness.models.checkpoint import folders

    tokenizer = hf.load_tokenizer(folders(model).tokenizer)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


@app.command()
def pairs(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one or several systems on one task.")],
    out: Annotated[Path, typer.Option(help="A new file for the pairs; by its ending .jsonl, .csv or .parquet.")],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="The runs' task, if it is not one of the bundled.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="gold_score, or a criterion that the runs were scored on (by checks or a judge).")
    ] = "gold_score",
    margin: Annotated[float, typer.Option(min=0, help="Least difference between the two answers.")] = 0.0,
) -> None:
    """Preference pairs from scored runs: each item's best answer over its worst. Test items are refused."""
    from harness import preferences
    from harness import task as tasks
    from harness.data import rows
    from harness.record import Run

    runs = [Run(folder) for folder in run]
    the_task = tasks.load(task or runs[0].manifest["task"]["name"])
    found = metered(preferences.scored_pairs(runs, the_task, by, margin), "pairs")
    print(f"{rows.write(out, found):,} pairs written to {out}", file=sys.stderr)


@app.command()
def split(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder of the new files, one a split.")],
    share: Annotated[list[str], typer.Option(help="SPLIT=SHARE, e.g. train=0.9; repeat; they add up to 1.")],
    group: Annotated[str, typer.Option(help="Column whose equal rows stay together (item.cluster for a nested one).")],
    by: Annotated[list[str] | None, typer.Option(help="Column to be spread evenly over the splits; repeat.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same splits.")] = 0,
) -> None:
    """Divide rows into splits, groups kept whole and columns spread evenly."""
    from harness import paths
    from harness.data import parts, rows
    from harness.errors import UsageError

    try:
        shares = {paths.safe_name(name, "split"): float(value) for name, value in _pairs(share, "--share").items()}
    except ValueError as error:
        raise UsageError(f"--share must be SPLIT=NUMBER ({error}).") from error
    only = (row for _, row in metered(rows.read(file), "counting"))
    where = parts.assign(only, shares, group, tuple(by or ()), seed)
    ending = file.suffix if file.suffix in rows.ENDINGS else ".jsonl"
    for name in shares:
        kept = (row for _, row in rows.read(file) if where[parts.value_of(row, group)] == name)
        print(f"{name}: {rows.write(out / f'{name}{ending}', kept):,} rows", file=sys.stderr)


@app.command()
def balance(
    file: File,
    by: Annotated[list[str], typer.Option(help="Column to count by; repeat for combinations.")],
    most: Annotated[
        int | None, typer.Option(min=1, help="Keep at most so many rows of each combination, with --out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed keeps the same rows.")] = 0,
    out: Out = None,
    form: Format = "text",
) -> None:
    """Count rows by columns; with --most and --out, keep at most so many of each."""
    from harness.data import parts, rows
    from harness.errors import UsageError, require

    require("format", form, ["text", "json"], "--format")
    if (most is None) != (out is None):
        raise UsageError("--most goes with --out.")
    columns = tuple(by)
    found = parts.counts((row for _, row in metered(rows.read(file), "balance")), columns)
    for kind, number in sorted(found.items()):
        cells = dict(zip(columns, kind))
        print(
            json.dumps({**cells, "rows": number}, ensure_ascii=False)
            if form == "json"
            else f"{number:>9,}  {', '.join(kind)}"
        )
    if out is not None and most is not None:
        kept = parts.capped(rows.read(file), columns, most, found, seed)
        print(f"{rows.write(out, kept):,} rows written to {out}", file=sys.stderr)
