"""Plans: the spread seen in runs, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import BAD, GOOD, item_row, make_task, record

from harness import board, task
from harness.board.plan import Spread, needs, observed
from harness.errors import UsageError
from harness.record import find_runs
from harness.stats.intervals import clustered_error
from harness.stats.power import clusters_needed, difference_error, minimum_detectable_difference
from harness.types import Task


@pytest.fixture
def pairs(tmp_path: Path) -> Task:
    return task.load(str(make_task(tmp_path / "task", [item_row(i, cluster=f"c{i // 2}") for i in range(120)])))


def random_run(runs: Path, the_task: Task, name: str, alike: float, samples: int = 1) -> np.ndarray:
    """Pass or fail, alike within a cluster with chance `alike`; returns items x samples."""
    rng = np.random.default_rng(len(name) + ord(name[0]))
    shared = np.repeat(rng.random((60, samples)), 2, axis=0)
    own = rng.random((120, samples))
    passed = np.where(rng.random((120, samples)) < alike, shared, own) < 0.6
    record(runs, the_task, name, lambda n, s: GOOD if passed[n, s] else BAD, samples=samples)
    return passed.astype(float)


def spread_of(the_task: Task, runs: Path) -> Spread:
    return observed(the_task, *board.contestants(the_task, find_runs(runs), ["a", "b"]), "guidance_accuracy")


def test_observed_spread_gives_the_clustered_error_back(pairs: Task, runs: Path) -> None:
    gaps = (random_run(runs, pairs, "a", 0.8) - random_run(runs, pairs, "b", 0.8))[:, 0]
    spread = spread_of(pairs, runs)
    error, df = difference_error(spread.sd, 60, spread.items_per_cluster, spread.icc)
    assert spread.icc > 0.2
    assert (spread.items_per_cluster, df) == (2, 59)
    assert error == pytest.approx(clustered_error(gaps, np.arange(120) // 2, 60))


def test_several_samples_split_the_variance(pairs: Task, runs: Path) -> None:
    a, b = (random_run(runs, pairs, name, 0.0, samples=4) for name in "ab")
    spread = spread_of(pairs, runs)
    noise = a.var(axis=1, ddof=1).mean() + b.var(axis=1, ddof=1).mean()
    assert spread.samples == 4
    assert spread.noise == pytest.approx(np.sqrt(noise))
    assert (spread.sd_items or 0) ** 2 == pytest.approx(max(0, spread.sd**2 - noise / 4))
    one, many = spread.with_samples(1), spread.with_samples(1000)
    assert one.sd > spread.sd > many.sd
    assert one.icc * one.sd**2 == pytest.approx(spread.icc * spread.sd**2)


def test_one_sample_cannot_tell_noise(pairs: Task, runs: Path) -> None:
    random_run(runs, pairs, "a", 0.5)
    random_run(runs, pairs, "b", 0.5)
    spread = spread_of(pairs, runs)
    assert spread.noise is None
    with pytest.raises(UsageError, match="cannot tell noise"):
        spread.with_samples(4)


def test_equal_runs_show_no_spread(pairs: Task, runs: Path) -> None:
    for name in "ab":
        record(runs, pairs, name, lambda *_: GOOD)
    with pytest.raises(UsageError, match="no spread"):
        spread_of(pairs, runs)


def test_the_one_not_given_is_found() -> None:
    spread = Spread(0.5, 0.5, 2)
    (clusters,) = needs(spread, 0.03, None)
    assert clusters.clusters == clusters_needed(0.03, 0.5, 2, 0.5)
    assert clusters.items == 2 * (clusters.clusters or 0)
    (gap,) = needs(spread, None, 400)
    assert gap.difference == minimum_detectable_difference(0.5, 400, 2, 0.5)
    (power,) = needs(spread, gap.difference, 400)
    assert power.power == pytest.approx(0.8, abs=1e-6)


def test_seeds_limit_what_items_can_find() -> None:
    few, many, fixed = needs(Spread(), 0.03, None, [3, 40, 0], sd_seed=0.02)
    assert few.clusters is None
    assert (many.clusters or 0) > (fixed.clusters or 0) > 0


@pytest.mark.parametrize(("difference", "clusters"), [(None, None), (-0.1, None), (0.1, 1)])
def test_impossible_plans_say_why(difference: float | None, clusters: int | None) -> None:
    with pytest.raises(UsageError):
        needs(Spread(), difference, clusters)


def test_on_the_command_line(cli: Callable[..., Any], pairs: Task, tmp_path: Path, runs: Path) -> None:
    random_run(runs, pairs, "a", 0.5)
    random_run(runs, pairs, "b", 0.5)
    args = ("plan", "-x", "0.03", "--from", "a", "--from", "b", "-t", tmp_path / "task" / "task.yaml", "--runs", runs)
    done = cli(*args)
    assert done.code == 0
    assert "observed between a and b" in done.out
    found = json.loads(cli(*args, "--format", "json").out)["needs"][0]
    assert f"with {found['clusters']} clusters ({found['items']} items)" in done.out
    assert "more training seeds are needed" in cli("plan", "-x", "0.01", "--seeds", "3", "--sd-seed", "0.05").out
    assert cli("plan").code == 2
    assert cli("plan", "-x", "0.03", "--from", "a").code == 2
