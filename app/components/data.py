"""Where the pages' data comes from. Each loader is cached under the state of the files it read, so that a run that
grows, finishes or is added shows on the next click and nothing is read twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from harness import annotate, paths
from harness import task as tasks
from harness.board import HEADLINE, Board, Comparison, Slice, contestants, from_folder, read, rubric_values
from harness.board import compare as board_compare
from harness.board import slices as board_slices
from harness.digest import digest
from harness.record import MANIFEST, PEOPLE, RESPONSES, SCORES, Run, scan
from harness.types import Response, Rubric, Score, Task

DATABASE = "annotations.db"
Key = tuple[str, int]
"""(item, sample)"""


@dataclass(frozen=True)
class Place:
    """Where the app looks: run folders, published boards (a folder of packed runs for each task), task files."""

    runs: Path
    leaderboards: Path
    task_files: tuple[str, ...]

    @classmethod
    def given(cls) -> Place:
        """As EASYDS_APP_RUNS, EASYDS_APP_LEADERBOARDS and EASYDS_APP_TASK say (`easyds app` sets them)."""
        files = os.environ.get("EASYDS_APP_TASK", "").split(os.pathsep)
        return cls(
            Path(os.environ.get("EASYDS_APP_RUNS", "runs")),
            Path(os.environ.get("EASYDS_APP_LEADERBOARDS", "leaderboards")),
            tuple(one for one in files if one),
        )


def stamp(root: Path) -> str:
    """Changes whenever a run below `root` does: a digest of names, sizes and times, not of contents."""
    found = []
    for manifest in sorted(root.glob(f"*/{MANIFEST}")) if root.is_dir() else ():
        for name in (MANIFEST, *(f"{one}{end}" for one in (RESPONSES, SCORES, PEOPLE) for end in ("", ".gz"))):
            path = manifest.with_name(name)
            if path.exists():
                state = path.stat()
                found.append([str(path), state.st_size, state.st_mtime_ns])
    return digest(found)


@st.cache_resource(max_entries=32, show_spinner=False)
def _scan(root: Path, at: str) -> tuple[list[Run], dict[str, str]]:
    return scan(root)


def runs(root: Path, task: str) -> list[Run]:
    """Every readable run of a task, oldest first."""
    return [run for run in _scan(root, stamp(root))[0] if _task_name(run) == task]


def roots(place: Place) -> tuple[dict[str, Path], bool]:
    """The folder of runs of each task, most runs first, and whether these are published boards.

    Published boards are shown only where there are no run folders.
    """
    count = Counter(_task_name(run) for run in _scan(place.runs, stamp(place.runs))[0])
    names = [name for name, _ in sorted(count.items(), key=lambda one: (-one[1], one[0])) if name]
    if names:
        return dict.fromkeys(names, place.runs), False
    folders = sorted({path.parent.parent for path in place.leaderboards.glob(f"*/*/{MANIFEST}")})
    return {folder.name: folder for folder in folders}, True


def _task_name(run: Run) -> str:
    about = run.manifest.get("task")
    return str(about.get("name", "")) if isinstance(about, Mapping) else ""


@st.cache_resource(max_entries=16, show_spinner=False)
def _task(name: str) -> Task:
    return tasks.load(name)


def task(place: Place, name: str) -> Task:
    """The task of that name: from the given task files, else a bundled one. Raises UsageError if there is none."""
    for file in place.task_files:
        if (found := _task(file)).name == name:
            return found
    return _task(name)


@st.cache_resource(max_entries=16, show_spinner=False)
def _board(root: Path, at: str, name: str, task_digest: str, _task: Task) -> Board:
    return from_folder(_task, root)


def board(root: Path, the_task: Task) -> Board:
    """The board of all runs below `root`."""
    return _board(root, stamp(root), the_task.name, the_task.digest, the_task)


@st.cache_resource(max_entries=64, show_spinner=False)
def _compare(
    root: Path, at: str, runs: tuple[str, ...], task_digest: str, _task: Task, metrics: tuple[str, ...], by: str | None
) -> list[Comparison]:
    return board_compare(_task, contestants(_task, _scan(root, at)[0], runs), metrics, by)


def compare(
    root: Path, the_task: Task, runs: Sequence[str], metrics: tuple[str, ...], by: str | None
) -> list[Comparison]:
    """Every pair of runs on every metric (all that all measured, if none are named) and slice, Holm-corrected."""
    return _compare(root, stamp(root), tuple(runs), the_task.digest, the_task, metrics, by)


@st.cache_resource(max_entries=64, show_spinner=False)
def _slices(
    root: Path, at: str, run: str, task_digest: str, _task: Task, metric: str, by: tuple[str, ...]
) -> list[Slice]:
    return board_slices(_task, [Run(root / run)], metric, by)


def slices(root: Path, the_task: Task, run: str, metric: str, by: Sequence[str]) -> list[Slice]:
    """A metric of one run in each slice of the task's items."""
    return _slices(root, stamp(root), paths.safe_name(run, "run name"), the_task.digest, the_task, metric, tuple(by))


@st.cache_resource(max_entries=16, show_spinner=False)
def _by_scores(
    root: Path, at: str, runs: tuple[str, ...], task_digest: str, _task: Task, metric: str
) -> annotate.HeadToHead:
    return annotate.by_scores(_task, [Run(root / run) for run in runs], metric)


def by_scores(root: Path, the_task: Task, runs: Sequence[str], metric: str) -> annotate.HeadToHead:
    """Who wins by a metric of those runs."""
    names = tuple(paths.safe_name(run, "run name") for run in runs)
    return _by_scores(root, stamp(root), names, the_task.digest, the_task, metric)


@st.cache_resource
def _store(url: str) -> annotate.Store:
    return annotate.open_store(url)


def votes() -> annotate.Store | None:
    """The store of annotations, to read what it says of everyone; None where there is none yet: looking makes none."""
    url = os.environ.get("EASYDS_DB_URL", "")
    if not url and not Path(DATABASE).exists():
        return None
    return _store(url or str(Path(DATABASE).resolve()))


def new_votes() -> None:
    """Make the store where there is none."""
    _store(str(Path(DATABASE).resolve()))


@dataclass(frozen=True)
class Answers:
    """What one run says and how it was scored, by (item, sample); `headline` is 1, 0 or absent (not known)."""

    responses: Mapping[Key, Response]
    scores: Mapping[Key, list[Score]]
    headline: Mapping[Key, float]


@st.cache_resource(max_entries=4, show_spinner=False)
def _answers(folder: Path, at: str, rubric: str, _rubric: Rubric) -> Answers:
    run = Run(folder)
    sources = set(run.manifest.get("scorers", ()))
    scores: dict[Key, list[Score]] = {}
    for score in run.scores():
        if score.source in sources and score.item != "*":
            scores.setdefault((score.item, score.sample), []).append(score)
    table = read(run)
    values = rubric_values(table, _rubric).get(HEADLINE)
    keys = ((table.items[item], int(sample)) for item, sample in zip(table.item, table.sample))
    headline = {} if values is None else {key: float(one) for key, one in zip(keys, values) if one == one}
    return Answers({(one.item, one.sample): one for one in run.responses()}, scores, headline)


def answers(root: Path, the_task: Task, run: str) -> Answers:
    """Responses and scores of the run of that name. Raises UsageError if it cannot be read."""
    return _answers(root / paths.safe_name(run, "run name"), stamp(root), the_task.rubric.digest, the_task.rubric)
