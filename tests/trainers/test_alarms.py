"""Alarms: when each rises and when not, and that they stand in the events of real trainings that go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import read_jsonl
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.__main__ import main
from trainers.alarms import Alarms
from trainers.ppo.maths import distinct

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
    return main([name, str(path)]), read_jsonl(folder / "out" / "events.jsonl")


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


@pytest.mark.slow
def test_an_rloo_that_leaves_the_reference_and_never_ends(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some_tokens(prompts: Any, completions: Any) -> list[float]:
        return [float(sum(10 <= token < 60 for token in one)) for one in completions]

    monkeypatch.setattr("trainers.rloo.open_reward", lambda name, tokenizer: some_tokens)
    code, events = train(
        "rloo",
        tmp_path,
        [{"prompt": f"{ASKED} ({number})"} for number in range(8)],
        base=str(tiny),
        reward="gold",
        steps=8,
        batch_size=16,
        max_new_tokens=12,
        learning_rate=0.03,
        beta=0.0001,
    )
    assert code == 0
    assert alarms(events) == {"ended", "reference_kl"}
    assert all(0 < row["distinct"] <= 1 for row in events if row["phase"] == "rloo")


def test_a_model_that_says_one_thing(tiny: Path) -> None:
    """The same model sampled, then greedy: eight answers become one."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    torch.manual_seed(0)
    ids = tokenizer([ASKED] * 8, return_tensors="pt")
    told = [
        {"distinct": distinct(model.generate(**ids, do_sample=sample, max_new_tokens=12)[:, -12:].tolist())}
        for sample in (True, False)
    ]
    assert raised(told) == [(1, "repetition")]


@pytest.mark.slow
def test_an_sft_that_overflows(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": ASKED, "response": "Look."}]
    code, events = train("sft", tmp_path, rows * 8, base=str(tiny), steps=8, batch_size=1, learning_rate=1e30)
    assert code == 3
    assert "became nan at step" in capsys.readouterr().err
    assert events[-1]["alarm"] == "not_a_number"
    assert not (tmp_path / "out" / "result.json").exists()
