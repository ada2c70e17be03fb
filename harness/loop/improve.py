"""One round: served turns, people's votes, pairs, training from the serving checkpoint, benchmark, gate, package, and again.

    FOLDER/current.json          what is served now, and what was before
           campaigns/NAME-N/     turns of round N and the campaign made of them (`harness/loop/collect.py`)
           rounds/N/round.json   what was served when the round began: the round is about that, whatever comes
                    pairs.jsonl  what people preferred; beside it where each pair comes from
                    dpo-KEY/     the stage, or reward-KEY/ and ppo-KEY/; KEY is the digest of pairs, base and settings
                    result.json  written last: promoted or not, and why
           runs/ packages/       benchmark runs; packages

Every step lies at a place that its inputs determine, is written whole, and is not done again if it is there. So the same
command goes on after a kill at any moment. A round without `result.json` is the present one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import annotate, models, run, stages
from harness import task as tasks
from harness.digest import digest, file_digest
from harness.errors import GateFailed, Incomplete, UsageError
from harness.loop import collect, promotion, votes
from harness.loop.plan import Plan
from harness.loop.promotion import Decision
from harness.models.server import PACKAGE, weights_digest
from harness.paths import slug
from harness.record import Run, lock, read_json, write_json
from harness.serve import make
from harness.types import Task

ROUND, RESULT, PAIRS = "round.json", "result.json", "pairs.jsonl"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Round:
    """A round under way: its number, its folder, and the package that was served when it began."""

    number: int
    folder: Path
    serving: Path
    digest: str


def improve(plan: Plan, folder: Path, store: annotate.Store, lead: str, tell: Tell) -> dict[str, Any]:
    """Go round once, as far as it goes now, and return the result of the round.

    Raises Incomplete while people vote, or if nothing new was served; GateFailed (also again, when nothing new came) if
    people do not agree or the new model is not better, after the result is written; and what each step raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = lock(folder / ".lock", str(folder))
    try:
        number = _number(folder)
        try:
            present = _begin(plan, folder, number)
        except Incomplete:
            if number == 1:
                raise
            tell("nothing new was served since the last round, which ended so:")
            result: dict[str, Any] = read_json(folder / "rounds" / str(number - 1) / RESULT)
        else:
            result = _go_round(plan, folder, present, store, lead, tell)
    finally:
        os.close(holder)
    if not result["promoted"]:
        raise GateFailed(f"round {result['round']} promotes nothing: {result['why']}.")
    return result


def _number(folder: Path) -> int:
    """The first round that has no result."""
    number = 1
    while (folder / "rounds" / str(number) / RESULT).exists():
        number += 1
    return number


def _begin(plan: Plan, folder: Path, number: int) -> Round:
    """The present round. Its turns are taken first: a round that has none is not begun."""
    place = folder / "rounds" / str(number)
    if not (place / ROUND).exists():
        now = promotion.current(folder)
        serving = Path(now["package"]) if now else plan.start
        if not serving.is_dir():
            raise UsageError(f"{serving} is no folder: 'start' of the plan is a package or a checkpoint.")
        collect.take(_order(plan, folder, number, serving))
        place.mkdir(parents=True, exist_ok=True)
        served = {"serving": str(serving.resolve()), "digest": weights_digest(str(serving.resolve()))}
        write_json(place / ROUND, {"round": number, **served})
    found = read_json(place / ROUND)
    return Round(number, place, Path(found["serving"]), found["digest"])


def _order(plan: Plan, folder: Path, number: int, serving: Path) -> collect.Order:
    guard = tuple(tasks.load(name) for name in dict.fromkeys((plan.task, *plan.guard)))
    name = f"{plan.name}-{number}"
    return collect.Order(
        plan.log, folder / "campaigns", name, serving, guard, plan.collect, plan.campaign, plan.batch_size
    )


def _go_round(plan: Plan, folder: Path, present: Round, store: annotate.Store, lead: str, tell: Tell) -> dict[str, Any]:
    task = tasks.load(plan.task)
    try:
        pairs = _pairs(plan, folder, present, store, lead, tell)
        trained = _train(plan, present, pairs, tell)
        serving = _benchmark(plan, task, folder, present.serving, slug(present.serving.name), tell)
        key = trained.parent.name.rpartition("-")[2]
        candidate = _benchmark(plan, task, folder, trained, f"{plan.name}-{present.number}-{key}", tell)
        decision = _gate(task, candidate, serving, plan, tell)
        package = make.make(candidate, task, folder / "packages", plan.precision)
        tell(f"package: {package}")
        packaged = _benchmark(plan, task, folder, package, package.name, tell)
        decision = _gate(task, packaged, serving, plan, tell)
    except GateFailed as failed:
        return _end(present, {"promoted": False, "why": str(failed).removesuffix(".")})
    promotion.promote(folder, package, weights_digest(str(package.resolve())), present.number, plan.start)
    return _end(present, {"promoted": True, "why": "", "package": str(package), "decision": decision.as_json()})


def _end(present: Round, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write a round's result: after it the round is over."""
    write_json(present.folder / RESULT, {"round": present.number, **result})
    whole: dict[str, Any] = read_json(present.folder / RESULT)
    return whole


def _pairs(plan: Plan, folder: Path, present: Round, store: annotate.Store, lead: str, tell: Tell) -> Path:
    """What people preferred, once they have voted."""
    path = present.folder / PAIRS
    if not path.exists():
        made = collect.collect(store, lead, _order(plan, folder, present.number, present.serving))
        turns = ", ".join(f"{count} {why}" for why, count in made.reasons.items())
        tell(f"campaign {made.campaign}: {made.units} comparisons of {sum(made.reasons.values())} turns ({turns})")
        settled = votes.settle(store, lead, made.campaign)
        for person, why in settled.excluded.items():
            tell(f"votes of {person[:8]} left out: {why}")
        votes.write(settled, path, plan.pairs)
        tell(f"{len(settled.exported.rows)} pairs (people agree in {settled.agreement.value:.0%} of pairs of verdicts)")
    return path


def _train(plan: Plan, present: Round, pairs: Path, tell: Tell) -> Path:
    """The checkpoint that the last of the plan's stages makes. Each starts from what is served; PPO follows the reward
    model that the stage before it made of the same pairs."""
    base, checkpoint = trainable(present.serving), Path()
    key = digest([file_digest(pairs), present.digest, base])
    for stage, settings in plan.train.items():
        key = digest([key, stage, dict(settings)])
        output = (present.folder / f"{stage}-{key[:8]}").resolve()
        spec = {**settings, "base": base, "data": str(pairs.resolve()), "output": str(output)}
        if stage == "ppo":
            spec["reward"] = str(checkpoint)
        _stage(stages.Order(stage, spec), tell)
        checkpoint = output / "checkpoint"
    return checkpoint


def _stage(order: stages.Order, tell: Tell) -> None:
    """Run a stage and tell what it says of itself."""
    result = stages.run_when_free(
        order, waiting=lambda: tell(f"waiting for what an earlier command left at work in {order.output}")
    )
    if order.stage == "reward":
        held = result["held_out"]
        about = f"right about {held['accuracy']:.0%} of {held['n']} pairs held out"
    elif order.stage == "ppo":
        about = f"{result['iterations']} iterations, kept the state after {result['kept']['step']}"
    else:
        about = f"{result['pairs']} pairs"
    tell(f"{order.stage}: {result['seconds']:.0f} s, {about}")


def trainable(serving: Path) -> str:
    """The full-precision weights behind what is served: itself, or what it was packaged from.

    Raises UsageError for a quantised package that does not say from what it was made.
    """
    about = read_json(serving / PACKAGE) or {}
    if about.get("precision", "float32") in ("float32", "bfloat16"):
        return str(serving)
    model = str(about.get("origin", {}).get("model", ""))
    if not model.startswith("hf/"):
        raise UsageError(f"{serving} is quantised and does not say from what: 'start' from the checkpoint behind it.")
    return model.removeprefix("hf/")


def _benchmark(plan: Plan, task: Task, folder: Path, checkpoint: Path, system: str, tell: Tell) -> Run:
    """The run of a checkpoint on the task, continued if it was begun. Raises Incomplete if requests failed."""
    model = models.open_model(f"hf/{checkpoint.resolve()}", models.Options(batch_size=plan.batch_size))
    done = run.execute(run.Plan.of(task), model, folder / "runs", system=system)
    run.require_complete(done)
    tell(f"benchmarked: {system}")
    return done


def _gate(task: Task, candidate: Run, serving: Run, plan: Plan, tell: Tell) -> Decision:
    """Raises GateFailed unless the candidate is better and on no gate worse."""
    decision = promotion.decide(task, candidate, serving, plan.metric)
    tell(f"{candidate.manifest['system']} less {serving.manifest['system']}: {promotion.told(decision.comparisons)}")
    if not decision.passed:
        raise GateFailed(f"{candidate.manifest['system']}: {decision.why}.")
    return decision
