"""`easyds package`: what was measured is what is packaged, at a precision, scored again, and never by halves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import item_row, make_task
from transformers import AutoTokenizer

from harness.models import chat
from harness.models.server import weights_digest
from harness.record import Run, find_runs
from harness.serve.package import read

SETTINGS = ("--max-new-tokens", "12", "--dtype", "float32")
Cli = Callable[..., Any]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task", [item_row(number) for number in range(6)], scorers=["chrf"])


@pytest.fixture
def measured(cli: Cli, task: Path, adapter: Path, tmp_path: Path) -> Path:
    """The runs folder, with a run of an adapter."""
    runs = tmp_path / "runs"
    done = cli("run", "-t", task, "-m", f"hf/{adapter}", "--as", "dpo", "--name", "dpo", "--runs", runs, *SETTINGS)
    assert done.code == 0, done.err
    return runs


def package(cli: Cli, task: Path, runs: Path, *options: str | Path) -> Any:
    return cli("package", "dpo", "-t", task, "--runs", runs, "--out", runs.parent / "packages", *options)


def texts(run: Run) -> dict[str, str]:
    return {one.item: one.text for one in run.responses()}


def test_a_merged_package_says_what_the_adapter_said(cli: Cli, task: Path, measured: Path, tmp_path: Path) -> None:
    done = package(cli, task, measured, "--precision", "float32", "--alias", "tutor", "--license", "apache-2.0")
    assert done.code == 0, done.err
    folder = tmp_path / "packages" / "tutor"
    made = read(folder)
    assert (made.alias, made.precision) == ("tutor", "float32")
    assert made.digest == weights_digest(str(folder))
    assert not (folder / "adapter_config.json").exists()
    before, after = (
        next(run for run in find_runs(measured) if run.manifest["system"] == name) for name in ("dpo", "tutor")
    )
    assert texts(after) == texts(before)
    head = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert head["license"] == "apache-2.0"
    (result,) = head["model-index"][0]["results"]
    score = next(one for one in result["metrics"] if one["type"] == "chrf")
    assert score["args"]["n"] == 6
    assert score["args"]["low"] <= score["value"] <= score["args"]["high"]
    assert result["dataset"]["args"]["digest"] == after.manifest["task"]["digest"]


def test_other_engines_stop_where_training_stopped(cli: Cli, task: Path, measured: Path, tmp_path: Path) -> None:
    assert package(cli, task, measured, "--precision", "bfloat16").code == 0
    folder = tmp_path / "packages" / "dpo-bfloat16"
    config = json.loads((folder / "generation_config.json").read_text())
    end = chat.turn_end(AutoTokenizer.from_pretrained(folder), "x")
    assert end in config["eos_token_id"]
    assert config["pad_token_id"] != end
    assert config["do_sample"] is True


def test_int8_is_scored_again_beside_what_it_came_from(cli: Cli, task: Path, measured: Path, tmp_path: Path) -> None:
    done = package(cli, task, measured)
    assert done.code == 0, done.err
    folder = tmp_path / "packages" / "dpo-int8"
    assert json.loads((folder / "config.json").read_text())["quantization_config"]["format"] == "int-quantized"
    assert "dpo-int8" in done.out
    assert {run.manifest["system"] for run in find_runs(measured)} == {"dpo", "dpo-int8"}
    card = (folder / "README.md").read_text()
    assert "| metric | as trained | packaged |" in card
    assert str(tmp_path) not in card


def test_the_same_package_is_kept_and_another_refused(cli: Cli, task: Path, measured: Path, tmp_path: Path) -> None:
    assert package(cli, task, measured, "--alias", "x").code == 0
    folder = tmp_path / "packages" / "x"
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert package(cli, task, measured, "--alias", "x").code == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")} == before
    other = package(cli, task, measured, "--alias", "x", "--precision", "float32")
    assert (other.code, other.err.startswith("easyds: ")) == (2, True)
    assert "is another package" in other.err


def test_a_checkpoint_that_changed_is_not_packaged(
    cli: Cli, task: Path, measured: Path, adapter: Path, tiny: Path, tmp_path: Path
) -> None:
    template = tiny / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    done = package(cli, task, measured)
    assert done.code == 3
    assert "is not what run dpo measured" in done.err
    assert "chat_template" in done.err
    assert not (tmp_path / "packages").exists() or not list((tmp_path / "packages").iterdir())


def test_only_a_checkpoint_can_be_packaged(cli: Cli, task: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert cli("run", "-t", task, "-m", "control/null", "--as", "dpo", "--runs", runs).code == 0
    done = package(cli, task, runs)
    assert (done.code, "is no checkpoint" in done.err) == (2, True)
    missing = cli("package", "nobody", "-t", task, "--runs", runs)
    assert (missing.code, "no run 'nobody'" in missing.err) == (2, True)


def test_an_oracle_stays_one(cli: Cli, task: Path, measured: Path, adapter: Path, tmp_path: Path) -> None:
    shutil.rmtree(measured)
    (adapter / "easyds.json").write_text('{"oracle": true}')
    assert cli("run", "-t", task, "-m", f"hf/{adapter}", "--as", "dpo", "--runs", measured, *SETTINGS).code == 0
    assert package(cli, task, measured).code == 0
    forgetful = program(tmp_path, "cp -r $1 $2; rm $2/easyds.json $2/generation_config.json")
    assert package(cli, task, measured, "--alias", "own", "--quantiser", forgetful).code == 0
    for name in ("dpo-int8", "own"):
        folder = tmp_path / "packages" / name
        assert json.loads((folder / "easyds.json").read_text()) == {"oracle": True}
        assert json.loads((folder / "generation_config.json").read_text())["do_sample"] is True


def program(folder: Path, body: str) -> Path:
    path = folder / "quantise"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("cp -r $1 $2", 0, ""),
        ("echo too big >&2; exit 7", 3, "too big"),
        ("cp -r $1 $2; rm $2/tokenizer*", 3, "changed tokenizer"),
        ("cp -r $1 $2; echo x >> $2/chat_template.jinja", 3, "changed tokenizer"),
    ],
)
def test_a_quantiser_of_ones_own(
    cli: Cli, task: Path, measured: Path, tmp_path: Path, body: str, code: int, said: str
) -> None:
    done = package(cli, task, measured, "--precision", "w4", "--quantiser", program(tmp_path, body))
    assert done.code == code, done.err
    assert said in done.err
    assert (tmp_path / "packages" / "dpo-w4" / "package.json").exists() == (code == 0)
    assert not list((tmp_path / "packages").glob(".*"))


def test_a_quantiser_is_the_file_that_was_named(
    cli: Cli, task: Path, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path, "env > seen.txt; cp -r $1 $2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert package(cli, task, measured, "--alias", "a", "--quantiser", "./quantise").code == 0
    assert "sk-secret" not in (tmp_path / "seen.txt").read_text()
    missing = package(cli, task, measured, "--alias", "b", "--quantiser", "./nothing")
    assert (missing.code, "is no program" in missing.err) == (2, True)
    other = package(cli, task, measured, "--alias", "a")
    assert (other.code, "is another package" in other.err) == (2, True)


def test_what_would_be_told_wrongly_is_refused(cli: Cli, task: Path, measured: Path, tmp_path: Path) -> None:
    """A package of a package, a name that hides the original, a part of a run, another task."""
    assert package(cli, task, measured).code == 0
    again = cli(
        "package", "dpo-int8", "-t", task, "--runs", measured, "--out", tmp_path / "p", "--precision", "bfloat16"
    )
    assert (again.code, "quantised already" in again.err) == (2, True)
    same = package(cli, task, measured, "--alias", "dpo")
    assert (same.code, "Choose another --alias" in same.err) == (2, True)
    other = make_task(tmp_path / "other", [item_row(number) for number in range(4)], scorers=["chrf"])
    assert "Run it again" in cli("package", "dpo", "-t", other, "--runs", measured, "--out", tmp_path / "p").err
    assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())
