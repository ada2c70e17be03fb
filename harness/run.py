"""A run: generate, score, record. Three steps over one folder, each of which can be repeated without the one before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import measure
from harness import task as tasks
from harness.digest import digest
from harness.errors import Incomplete, UsageError
from harness.record import JUDGEMENTS, Lines, Run, RunWriter, open_run, read_lines
from harness.scorers import open_scorer
from harness.types import Decoding, Failure, Item, Model, Recording, Request, Response, Score, Scorer, Task

Progress = Callable[[Response | Failure], None]
UNSCORED_MOST = 0.02
"""Share of its questions that a judge may leave without a verdict before a run is partial"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run: a task, its items (all, or the first `limit`), and how text is generated.

    `shard` (i, n) is the part of the requests that is asked here, every n-th from the i-th: the run is the same, unfinished.
    """

    task: Task
    items: tuple[Item, ...]
    decoding: Decoding
    limit: int | None
    shard: tuple[int, int] = (0, 1)

    @classmethod
    def of(cls, task: Task, limit: int | None = None, shard: tuple[int, int] = (0, 1), **decoding: Any) -> Plan:
        """The plan for `task`, with decoding settings other than None put in place of the task's own."""
        given = {name: value for name, value in decoding.items() if value is not None}
        settings = replace(task.decoding, **given)
        if settings.samples < 1 or settings.max_new_tokens < 1:
            raise UsageError("--samples and --max-new-tokens must be at least 1.")
        if not (0 <= settings.temperature < math.inf and 0 < settings.top_p <= 1 and settings.top_k >= 0):
            raise UsageError("--temperature must be at least 0, --top-p above 0 and at most 1, top_k at least 0.")
        if not 0 <= shard[0] < shard[1]:
            raise UsageError(f"--shard is i/n with i from 0 to n-1, not {shard[0]}/{shard[1]}.")
        return cls(task, tasks.limited(task.items, limit), settings, limit, shard)

    def requests(self) -> list[Request]:
        prompts = [(item, tasks.prompt(self.task, item)) for item in self.items]
        return [Request(item, sample, prompt) for sample in range(self.decoding.samples) for item, prompt in prompts]

    def mine(self) -> list[Request]:
        """The requests of this plan's shard."""
        return self.requests()[self.shard[0] :: self.shard[1]]

    def configuration(self, model: Model, system: str) -> dict[str, Any]:
        """All that makes this run the run it is; its digest is the run's key."""
        task = self.task
        return {
            "system": system,
            "model": model.name,
            "identity": model.identity(),
            "task": {"name": task.name, "version": task.version, "digest": task.digest, "rubric": task.rubric.digest},
            "decoding": asdict(self.decoding),
            "limit": self.limit,
            "requests": len(self.items) * self.decoding.samples,
        }


def execute(
    plan: Plan,
    model: Model,
    runs: Path,
    *,
    system: str | None = None,
    name: str | None = None,
    new: bool = False,
    scorers: Sequence[Mapping[str, Any]] | None = None,
    progress: Callable[[int, int], Progress] | None = None,
) -> Run:
    """Run `model` on `plan` and score it, continuing an unfinished run of the same configuration. A run that is
    complete and scored by these scorers is returned as it is.

    `progress` is called with (requests in all, requests done before) and returns what is told of each outcome.
    Raises EnvironmentProblem (disk, lock, memory) with everything generated so far kept.
    """
    label = system if system is not None else model.name
    if not label.strip() or label != label.encode(errors="replace").decode():
        raise UsageError("a system's name (--as) must have a visible character and be valid UTF-8.")
    judges = [open_scorer(spec) for spec in (scorers if scorers is not None else plan.task.scorers)]
    place, count = plan.shard
    part = "" if count == 1 else f"-{place}of{count}"
    with open_run(runs, name, label, plan.configuration(model, label), new=new, part=part) as run:
        if _is_done(run, judges):
            return Run(run.folder)
        if count > 1:
            run.update(shard=f"{place}/{count}")
        try:
            with recording(judges, run.folder) as recorders:
                generate(run, plan, model, progress, recorders)
                score(run, plan.task, plan.items, judges)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            run.update(status="failed", error=str(error) or type(error).__name__)
            raise
        _finish(run)
    return Run(run.folder)


@contextmanager
def recording(scorers: Sequence[Scorer], folder: Path) -> Iterator[list[Recording]]:
    """The judges among `scorers`, ready to be asked and keeping what they say in `folder`."""
    judges = [one for one in scorers if isinstance(one, Recording)]
    opened: list[Recording] = []
    try:
        for judge in judges:
            judge.open(folder)
            opened.append(judge)
        yield opened
    finally:
        for judge in opened:
            judge.close()


def _is_done(run: RunWriter, judges: Sequence[Scorer]) -> bool:
    if run.manifest["status"] != "complete" or len(run.responses()) != run.manifest["requests"]:
        return False
    return bool(run.manifest["scorers"] == [judge.source for judge in judges])


def _finish(run: RunWriter) -> None:
    missing = run.manifest["requests"] - len(run.responses())
    problems = [problem for name, one in run.manifest.get("judges", {}).items() if (problem := _failing(name, one))]
    status = "partial" if missing or problems else "complete"
    run.update(status=status, missing=missing, error="; ".join(problems) or None)
    if not missing:
        run.update(shard=None)


def _failing(judge: str, account: Mapping[str, Any]) -> str:
    """Why the scores of a judge cannot carry a run; "" if they can."""
    if account["failed"] > UNSCORED_MOST * account["asked"]:
        reasons = ", ".join(f"{name} {count}" for name, count in account["reasons"].items())
        return f"{judge} left {account['failed']} of {account['asked']} replies unscored ({reasons})"
    if len(account["models"]) > 1:
        return f"{judge} was answered by several models ({', '.join(account['models'])}): not comparable"
    return ""


def generate(
    run: RunWriter,
    plan: Plan,
    model: Model,
    progress: Callable[[int, int], Progress] | None = None,
    judges: Sequence[Recording] = (),
) -> None:
    """Ask for every response that the run does not have yet and append each as it comes; judges are offered each."""
    before = run.responses()
    items = {item.id: item for item in plan.items}
    for judge in judges:
        for response in before:
            judge.offer(items[response.item], response)
    have = {(response.item, response.sample) for response in before}
    requests = plan.mine()
    todo = [request for request in requests if (request.item.id, request.sample) not in have]
    if not todo:
        return
    tried = {(request.item.id, request.sample) for request in todo}
    measure.reset_peak_memory()
    started = time.perf_counter()
    model.load()
    loaded = time.perf_counter()
    run.update(
        status="started",
        environment={"versions": measure.versions(), "hardware": measure.hardware(), "commit": measure.git_commit()},
    )
    tell = progress(len(requests), len(requests) - len(todo)) if progress else None
    failures: list[Failure] = []
    responses = tokens = 0
    generating = time.perf_counter()
    for outcome in model.generate(todo, plan.decoding):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            run.add_response(outcome)
            for judge in judges:
                judge.offer(items[outcome.item], outcome)
            responses += 1
            tokens += outcome.completion_tokens or 0
        if tell:
            tell(outcome)
    seconds = time.perf_counter() - generating
    run.flush()
    session = {
        "load_s": round(loaded - started, 3),
        "generate_s": round(seconds, 3),
        "responses": responses,
        "completion_tokens": tokens,
        "peak_memory_bytes": measure.peak_memory(),
    }
    run.update(
        sessions=[*run.manifest.get("sessions", []), session],
        failures=[
            *(one for one in run.manifest.get("failures", []) if (one["item"], one["sample"]) not in tried),
            *(asdict(failure) for failure in failures),
        ],
    )


def score(run: RunWriter, task: Task, items: Iterable[Item], scorers: Sequence[Scorer]) -> None:
    """Score every response with every scorer and append what is new or has changed.

    The sources named by the manifest afterwards are those of this call: earlier sources stay in the file, unused.
    """
    by_id = {item.id: item for item in items}
    responses = run.responses()
    known = {(one.item, one.sample, one.criterion, one.source): one for one in run.scores()}
    for scorer in scorers:
        run.add_scores(_fresh(scorer.score(by_id, responses), known))
    accounts = {one.source: one.account() for one in scorers if isinstance(one, Recording)}
    run.update(scorers=[scorer.source for scorer in scorers], scored_task=task.digest, judges=accounts)


def _fresh(scores: Iterable[Score], known: Mapping[tuple[str, int, str, str], Score]) -> Iterable[Score]:
    for one in scores:
        if one.value is not None and not math.isfinite(one.value):
            one = replace(one, value=None, reason=f"the scorer gave {one.value}")
        before = known.get((one.item, one.sample, one.criterion, one.source))
        if before is None or before.value != one.value or before.reason != one.reason:
            yield one


def rescore(folder: Path, task: Task, specs: Sequence[Mapping[str, Any]] | None) -> Run:
    """Score the responses of an existing run again, without generating. Raises UsageError if the task has changed."""
    judges = [open_scorer(spec) for spec in (specs if specs is not None else task.scorers)]
    with RunWriter(folder) as run:
        recorded = run.manifest["task"]["digest"]
        if recorded != task.digest:
            raise UsageError(
                f"run {run.id} was made on {task.name} {run.manifest['task']['version']} ({recorded[:8]}), the task is now {task.version} ({task.digest[:8]}). Run it again."
            )
        items = tasks.limited(task.items, run.manifest["limit"])
        with recording(judges, folder):
            score(run, task, items, judges)
        _finish(run)
    return Run(folder)


def require_complete(run: Run) -> None:
    """Raises Incomplete if requests of `run` got no response, or too many responses no verdict of a judge."""
    if run.manifest["status"] == "complete" or awaited(run):
        return
    if not run.manifest["missing"]:
        raise Incomplete(f"run {run.id}: {run.manifest['error']}. The same command asks again for what failed.")
    reasons = sorted({failure["reason"] for failure in run.manifest.get("failures", [])})
    raise Incomplete(
        f"run {run.id}: {run.manifest['missing']} of {run.manifest['requests']} requests got no response ({'; '.join(reasons)}). The same command asks for them again."
    )


def awaited(run: Run) -> bool:
    """Whether all that a run lacks is for its other shards to answer."""
    failed = run.manifest.get("failures") or run.manifest.get("error")
    return bool(run.manifest.get("shard") and run.manifest.get("missing") and not failed)


def join(folder: Path, other: Run, task: Task) -> Run:
    """Take the responses of another shard of the run in `folder`, and score the whole by the task's scorers.

    What judges of both were told is kept in the journal; `rescore` with their names takes it up. Called again after a kill it
    goes on. Raises UsageError before anything is written if `other` is another run, holds what was not asked, or the task
    has changed.
    """
    with RunWriter(folder) as run:
        if run.manifest["configuration_digest"] != other.manifest["configuration_digest"]:
            raise UsageError(f"{other.id} is no shard of run {run.id}: their configurations differ.")
        if run.manifest["task"]["digest"] != task.digest:
            raise UsageError(f"run {run.id} was made on another version of {task.name} than the present.")
        samples = run.manifest["decoding"]["samples"]
        asked = {
            (item.id, sample) for item in tasks.limited(task.items, run.manifest["limit"]) for sample in range(samples)
        }
        responses = other.responses()
        if strange := next((one for one in responses if (one.item, one.sample) not in asked), None):
            raise UsageError(
                f"{other.id} holds an answer to {strange.item}, sample {strange.sample}, which run {run.id} does not ask."
            )
        kept = {digest(row) for row in read_lines(folder / JUDGEMENTS)}
        if told := [row for row in read_lines(other.folder / JUDGEMENTS) if digest(row) not in kept]:
            journal = Lines(folder / JUDGEMENTS)
            for row in told:
                journal.append(row)
            journal.close()
        have = {(one.item, one.sample) for one in run.responses()}
        for response in responses:
            if (response.item, response.sample) not in have:
                run.add_response(response)
        run.flush()
        have |= {(one.item, one.sample) for one in responses}
        run.update(
            sessions=_united(run.manifest, other.manifest, "sessions"),
            failures=[
                one
                for one in _united(run.manifest, other.manifest, "failures")
                if (one["item"], one["sample"]) not in have
            ],
        )
    return rescore(folder, task, None)


def _united(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> list[Any]:
    return [*one.get(name, []), *(row for row in other.get(name, []) if row not in one.get(name, []))]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take, from a small probe: prompt tokens are exact for local models, the rest is extrapolated."""

    items: int
    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float
    peak_memory_bytes: int


def estimate(plan: Plan, model: Model, probe: int = 8) -> Estimate:
    """Generate `probe` requests spread over the items, write nothing, and scale up."""
    requests = plan.requests()
    chosen = requests[:: max(1, len(requests) // probe)][:probe]
    measure.reset_peak_memory()
    started = time.perf_counter()
    model.load()
    loaded = time.perf_counter()
    outcomes = list(model.generate(chosen, plan.decoding))
    responses = [one for one in outcomes if isinstance(one, Response)]
    if not responses:
        reason = next((one.reason for one in outcomes if isinstance(one, Failure)), "no reason given")
        raise Incomplete(f"none of {len(chosen)} probe requests got a response ({reason}).")
    scale = len(requests) / len(responses)
    return Estimate(
        items=len(plan.items),
        requests=len(requests),
        prompt_tokens=_scaled([one.prompt_tokens for one in responses], scale),
        completion_tokens=_scaled([one.completion_tokens for one in responses], scale),
        seconds=round(loaded - started + (time.perf_counter() - loaded) * scale, 1),
        peak_memory_bytes=sum(measure.peak_memory().values()),
    )


def _scaled(counts: Sequence[int | None], scale: float) -> int | None:
    known = [count for count in counts if count is not None]
    return round(sum(known) * scale) if len(known) == len(counts) else None
