"""Alarms: when each rises and when not, and that they stand in the events of real trainings that go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import read_jsonl

from trainers.alarms import Alarms

ASKED = "My queue gives 3 first. Why?"
LONG = ("Which end does an element leave from? " * 6, "The answer is 1, then 2, then 3, as I said. " * 6)


def raised(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """(position of the event, alarm) for each alarm."""
    alarms = Alarms()
    return [(index, one["alarm"]) for index, row in enumerate(rows) for one in alarms.see(row)]


def test_the_gradient_norm_rises_once_and_again_after_it_was_well() -> None:
    calm, wild = {"grad_norm": 0.9}, {"grad_norm": 1.1}
    assert raised([wild] * 49) == []  # not yet fifty
    assert raised([wild] * 60) == [(49, "grad_norm")]
    assert raised([calm] * 40 + [wild] * 10) == []  # exactly a fifth
    assert raised([calm] * 40 + [wild] * 11) == [(50, "grad_norm")]
    assert raised([wild] * 50 + [calm] * 50 + [wild] * 11) == [(49, "grad_norm"), (110, "grad_norm")]


def test_a_row_of_many_updates_counts_by_its_share() -> None:
    row = {"grad_norm": 0.5, "grad_norm_max": 3.0, "clipped_gradients": 0.25}
    assert raised([row] * 50) == [(49, "grad_norm")]
    assert raised([{**row, "clipped_gradients": 0.2}] * 60) == []


def test_a_number_that_is_none() -> None:
    assert raised([{"loss": 1.0}, {"loss": float("nan")}]) == [(1, "not_a_number")]
    assert raised([{"grad_norm": float("inf")}]) == [(0, "not_a_number")]


def test_the_reference_kl_per_sequence_or_from_its_mean_per_token() -> None:
    assert raised([{"reference_kl": 9.9}, {"reference_kl": 10.1}]) == [(1, "reference_kl")]
    assert raised(
        [{"reference_kl_per_token": 0.1, "length": 90.0}, {"reference_kl_per_token": 0.2, "length": 90.0}]
    ) == [(1, "reference_kl")]
    assert raised([{"reference_kl_per_token": 5.0}]) == []  # without a length the unit is another


def test_answers_without_an_end_are_a_mean_of_some_updates() -> None:
    assert raised([{"ended": 1.0}] * 4 + [{"ended": 0.0}] * 2) == []
    assert raised([{"ended": 1.0}] * 4 + [{"ended": 0.0}] * 3) == [(6, "ended")]


def test_repetition_is_held_against_the_beginning() -> None:
    assert raised([{"distinct": 0.3}, {"distinct": 0.16}]) == []
    assert raised([{"distinct": 0.8}, {"distinct": 0.5}, {"distinct": 0.39}]) == [(2, "repetition")]


def test_the_chosen_answers_become_unlikely() -> None:
    assert raised([{"chosen_drift": -19.0}] * 4 + [{"chosen_drift": -23.0}]) == []  # one batch is no collapse
    assert raised([{"chosen_drift": -19.0}] * 4 + [{"chosen_drift": -25.0}] * 2) == [(4, "chosen_drift")]


def test_alarms_depend_on_the_events_before_them_alone() -> None:
    rows: list[dict[str, Any]] = [{"grad_norm": 1.5}] * 30
    resumed = Alarms([*rows, {"phase": "alarm", "alarm": "other"}])
    assert [one["alarm"] for _ in range(20) for one in resumed.see({"grad_norm": 1.5})] == ["grad_norm"]


def train(name: str, folder: Path, rows: list[dict[str, Any]], **spec: Any) -> tuple[int, list[dict[str, Any]]]:
    """(exit code, events) of a real training."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = folder / "spec.json"
    path.write_text(json.dumps({"data": str(data), "output": str(folder / "out"), **spec}), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "trainers", name, str(path)], capture_output=True, text=True)
    events = read_jsonl(folder / "out" / "events.jsonl")
    assert events, done.stderr
    return done.returncode, events


def alarms(events: list[dict[str, Any]]) -> set[str]:
    return {row["alarm"] for row in events if row["phase"] == "alarm"}


@pytest.mark.slow
def test_a_dpo_on_contradictions_at_a_wild_rate(tiny: Path, tmp_path: Path) -> None:
    code, events = train(
        "dpo",
        tmp_path,
        [{"prompt": ASKED, "chosen": one, "rejected": other} for one, other in (LONG, LONG[::-1])] * 4,
        base=str(tiny),
        steps=55,
        batch_size=1,
        learning_rate=0.3,
        schedule="constant",
        losses=["sigmoid"],
        beta=1.0,
    )
    assert code == 0
    assert {"grad_norm", "chosen_drift"} <= alarms(events)
