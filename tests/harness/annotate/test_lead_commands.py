"""`easyds annotate …`: a lead's whole way at a terminal, from runs to a trained checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from annotate_support import Office, record_texts
from support import GOOD, item_row, make_task, read_jsonl

from harness import annotate, task
from harness.cli import main


@pytest.fixture
def easyds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs the command in this process on one store; what it printed. Fails if the exit code is not the one wanted."""

    def run(*args: str | Path, code: int = 0, store: bool = True) -> str:
        at = ["--store", str(tmp_path / "annotations.db")] if store else []
        with pytest.raises(SystemExit) as ended:
            main([*map(str, args), *at])
        told = capsys.readouterr()
        assert ended.value.code == code, told.err
        return told.out if code == 0 else told.err

    return run


@pytest.fixture
def task_path(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task", [item_row(i, split="train") for i in range(12)])


def made_runs(task_path: Path, runs: Path) -> None:
    the_task = task.load(str(task_path))
    for name, d3 in (("good", 2.0), ("poor", 0.0)):
        record_texts(runs, the_task, name, values=lambda *_, d3=d3: {**GOOD, "D3": d3})


def at_work(tmp_path: Path, task_path: Path, runs: Path, campaign: str) -> Office:
    """The people of a campaign that the command made."""
    store = annotate.open_store(tmp_path / "annotations.db")
    lead = annotate.operator(store).id
    return Office(store, task.load(str(task_path)), runs, campaign, lead, None)  # type: ignore[arg-type]


def test_from_runs_to_agreement_export_and_board(easyds: Any, task_path: Path, runs: Path, tmp_path: Path) -> None:
    made_runs(task_path, runs)
    where = ("--task", task_path, "--runs", runs)
    plain = (*where, "--qualify", "0", "--repeat", "0", "--attention", "0")
    assert easyds("annotate", "create", "duel", "--kind", "compare", *plain).startswith("campaign duel: 12 real")
    easyds("annotate", "create", "form", "--kind", "rate", *plain, "--overlap", "1", "--run", "good")
    for campaign in ("duel", "form"):
        office = at_work(tmp_path, task_path, runs, campaign)
        for name in ("ann", "ben"):
            token = easyds("annotate", "invite").strip()
            person = annotate.redeem(office.store, token, f"https://{campaign}", name, name).id
            office.work(person, lambda shown: {"verdict": "good"} if shown.kind == "compare" else {})
    status = json.loads(easyds("annotate", "status", "duel", "--format", "json"))
    assert (status[0]["given"], status[0]["complete"], len(status)) == (24, 12, 3)
    assert "100 % of 12" in easyds("annotate", "status", "duel"), "nobody can read while the clock stands still"
    rows = json.loads(easyds("annotate", "agreement", "duel", "--format", "json"))
    assert rows[0]["state"] == "no_variation", "x wins everywhere"
    assert "no variation" in easyds("annotate", "agreement", "duel")
    assert "gold_score" not in easyds("annotate", "judge", "duel", *where)
    easyds("annotate", "export", "duel", "--out", tmp_path / "pairs.jsonl")
    assert len(read_jsonl(tmp_path / "pairs.jsonl")) == 12
    assert (tmp_path / "pairs.jsonl.provenance.json").exists()
    assert "exists already" in easyds("annotate", "export", "duel", "--out", tmp_path / "pairs.jsonl", code=2)
    easyds("annotate", "export", "duel", "--format", "csv", "--out", tmp_path / "votes.csv")
    assert "12 rated responses" in easyds("annotate", "publish", *where)
    shown = json.loads(easyds("board", *where, "--format", "json", store=False))
    metrics = {row["system"]: row["metrics"] for row in shown["rows"]}
    assert metrics["good"]["satisfaction"]["value"] == 4.0
    assert "satisfaction" not in metrics["poor"]
    assert shown["rows"][0]["targets"]["satisfaction"] == "not met"
    assert "satisfaction" in easyds("board", *where, store=False)


def test_what_leads_get_wrong_is_told_in_one_line(easyds: Any, task_path: Path, runs: Path, tmp_path: Path) -> None:
    where = ("--task", task_path, "--runs", runs)
    assert "holds no run" in easyds("annotate", "create", "duel", "--kind", "compare", *where, code=2)
    made_runs(task_path, runs)
    assert "Did you mean 'good'" in easyds(
        "annotate", "create", "duel", "--kind", "compare", *where, "--run", "god", code=2
    )
    assert "unknown kind" in easyds("annotate", "create", "duel", "--kind", "rank", *where, code=2)
    assert "unknown campaign" in easyds("annotate", "status", "duel", code=2)
    easyds("annotate", "create", "duel", "--kind", "compare", *where)
    assert "nothing to export" in easyds("annotate", "export", "duel", "--out", tmp_path / "x.jsonl", code=2)
    easyds("annotate", "close", "duel")
    assert '"open": false' in easyds("annotate", "status", "--format", "json")
    person = json.loads(easyds("annotate", "people", "--format", "json"))[0]
    assert "only lead" in easyds("annotate", "role", person["id"][:8], "revoked", code=2)
    assert "0 ids" in easyds("annotate", "role", "zzz", "revoked", code=2)


@pytest.mark.slow
def test_what_people_said_trains_dpo_one_step(
    easyds: Any, task_path: Path, runs: Path, tmp_path: Path, tiny: Path
) -> None:
    """The export is read by the trainer as it is."""
    from trainers import dpo

    made_runs(task_path, runs)
    where = ("--task", task_path, "--runs", runs)
    plain = (*where, "--qualify", "0", "--repeat", "0", "--attention", "0", "--overlap", "1")
    easyds("annotate", "create", "duel", "--kind", "compare", *plain)
    office = at_work(tmp_path, task_path, runs, "duel")
    office.work(office.lead, lambda shown: {"verdict": "good"})
    easyds("annotate", "export", "duel", "--out", tmp_path / "pairs.jsonl")
    settings = {"base": str(tiny), "data": str(tmp_path / "pairs.jsonl"), "output": str(tmp_path / "out")}
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**settings, "steps": 1, "batch_size": 4, "save_every": 1}), encoding="utf-8")
    dpo.run(spec)
    assert (tmp_path / "out" / "result.json").exists()
