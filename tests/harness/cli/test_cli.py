"""The command as people use it: settings, dry runs, start-up, working from any folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import answers, command, easyds, item_row, make_task, manifest, only_run, read_jsonl, scores

Cli = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]


def setting(cli: Cli, command: str, option: str) -> tuple[Any, str]:
    rows = json.loads(cli("config", command, "--format", "json").out)
    (row,) = [row for row in rows if row["option"] == option]
    return row["value"], row["origin"]


def test_precedence(cli: Cli, task_file: Path, working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line, environment, easyds.toml, default: each is taken away in turn."""
    (working_folder / "easyds.toml").write_text("[run]\nlimit = 2\n")
    monkeypatch.setenv("EASYDS_RUN_LIMIT", "3")

    def limit(*args: str) -> int | None:
        folder = working_folder / "runs"
        shutil.rmtree(folder, ignore_errors=True)
        done = cli("run", "-m", "control/null", "-t", task_file, *args)
        assert done.code == 0, done.err
        return manifest(only_run(folder))["limit"]

    assert limit("--limit", "4") == 4
    assert limit() == 3
    assert setting(cli, "run", "--limit") == (3, "EASYDS_RUN_LIMIT")
    monkeypatch.delenv("EASYDS_RUN_LIMIT")
    assert limit() == 2
    assert setting(cli, "run", "--limit") == (2, "easyds.toml")
    (working_folder / "easyds.toml").unlink()
    assert limit() is None
    assert setting(cli, "run", "--limit") == (None, "default")


def test_options_go_by_their_own_name(cli: Cli, working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--format and --as are called otherwise in the code; nobody outside should have to know."""
    (working_folder / "easyds.toml").write_text('[run]\nas = "mine"\nbatch_size = 4\n[board]\nformat = "csv"\n')
    assert setting(cli, "run", "--as") == ("mine", "easyds.toml")
    assert setting(cli, "run", "--batch-size") == (4, "easyds.toml")
    assert cli("board", "-t", "ds-guidance").out.startswith("task,system,")
    monkeypatch.setenv("EASYDS_BOARD_FORMAT", "latex")
    assert cli("board", "-t", "ds-guidance").out.startswith("\\begin{tabular}")
    assert setting(cli, "board", "--format") == ("latex", "EASYDS_BOARD_FORMAT")


def test_commands_of_a_group_read_settings_too(cli: Cli, working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_folder / "easyds.toml").write_text('[annotate.people]\nstore = "team.db"\nformat = "json"\n')
    rows = {
        row["option"]: row
        for row in json.loads(cli("config", "annotate", "--format", "json").out)
        if row["command"] == "annotate people"
    }
    assert (rows["--store"]["value"], rows["--store"]["origin"]) == ("team.db", "easyds.toml")
    assert json.loads(cli("annotate", "people").out), "this machine's own annotator"
    assert (working_folder / "team.db").exists()
    monkeypatch.setenv("EASYDS_ANNOTATE_PEOPLE_FORMAT", "text")
    assert cli("annotate", "people").out.startswith("id")


def test_config_lists_every_command(cli: Cli, working_folder: Path) -> None:
    rows = json.loads(cli("config", "--format", "json").out)
    assert {"doctor", "run", "config", "experiment run", "data dedupe"} <= {row["command"] for row in rows}
    assert {row["origin"] for row in rows} == {"default"}


def test_doctor(cli: Cli) -> None:
    done = cli("doctor", "--format", "json")
    rows = {row["check"]: row for row in json.loads(done.out)}
    assert {"python", "data", "torch", "transformers", "disk", "memory", "gpu"} <= set(rows)
    assert done.code == (3 if "missing" in {row["result"] for row in rows.values()} else 0)
    assert rows["torch"]["result"] == "ok"


def test_tasks(cli: Cli) -> None:
    rows = {row["task"]: row for row in json.loads(cli("tasks", "--format", "json").out)}
    assert rows["ds-guidance"]["languages"] == "en, zh"
    assert "ds-guidance" in cli("tasks").out


@pytest.mark.parametrize("model", ["control", "hf"])
def test_dry_run_writes_nothing(cli: Cli, tiny: Path, task_file: Path, working_folder: Path, model: str) -> None:
    name = f"hf/{tiny}" if model == "hf" else "control/reference"
    done = cli("run", "-m", name, "-t", task_file, "--samples", "2", "--dry-run", "--format", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["items"], row["requests"]) == (6, 12)
    assert (row["prompt_tokens"] is None) == (model == "control"), "what is not known is not 0"
    assert not list(working_folder.rglob("*"))


def test_version_and_help(cli: Cli) -> None:
    from harness import __version__

    assert cli("--version").out == f"{__version__}\n"
    assert "Usage" in cli("--help").out
    assert cli().code == 0
    assert "Usage" in cli().out


def test_help_shows_every_command_once() -> None:
    from typer.main import get_command

    from harness.cli.app import PANELS, app

    shown = [name for names in PANELS.values() for name in names]
    assert sorted(shown) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_help_imports_nothing_heavy() -> None:
    check = (
        "import sys\nfrom harness.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'pandas', 'pydantic', 'transformers', 'numpy', 'scipy', 'openai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_control_run_imports_no_model_library(task_file: Path, tmp_path: Path) -> None:
    after = "import atexit\natexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))"
    done = easyds("run", "-m", "control/null", "-t", task_file, before=after, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "False"


def test_floors_of_the_house_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def test_works_from_any_folder(tmp_path: Path) -> None:
    """Bundled tasks and rubrics are found, and runs go to the current folder."""
    done = easyds("run", "-m", "control/reference", "-t", "ds-guidance", "--scorer", "rouge_l", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(scores(only_run(tmp_path / "runs")).values()) == {1.0}


def test_plain_output_has_no_colour(task_file: Path, tmp_path: Path) -> None:
    done = easyds("run", "-m", "control/null", "-t", task_file, cwd=tmp_path)
    assert "\x1b" not in done.stdout + done.stderr


def test_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    """`easyds config | head -0`: the reader has gone before the first line."""
    process = subprocess.Popen(
        command("config"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 3


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = easyds("run", "-m", "control/nul", "--debug", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


# --- the three steps --------------------------------------------------------------------------------------------


def test_run_records_what_made_it(cli: Cli, task_file: Path, runs: Path) -> None:
    assert cli("run", "-m", "control/reference", "-t", task_file, "--runs", runs).code == 0
    facts = manifest(only_run(runs))
    assert facts["status"] == "complete"
    assert facts["model"] == facts["system"] == "control/reference"
    assert facts["identity"]["provider"] == "control"
    assert facts["decoding"]["max_new_tokens"] == 12
    assert set(facts["task"]) == {"name", "version", "digest", "rubric"}
    assert facts["environment"]["versions"]["python"]
    assert facts["environment"]["hardware"]["cores"]
    assert facts["scorers"] == ["reference/rouge_l@1"]


def test_rescoring_generates_nothing_and_replaces_the_sources(cli: Cli, task_file: Path, runs: Path) -> None:
    assert cli("run", "-m", "control/reference", "-t", task_file, "--runs", runs, "--name", "mine").code == 0
    before = (runs / "mine" / "responses.jsonl").read_bytes()
    done = cli("score", "mine", "-t", task_file, "--runs", runs, "--scorer", "chrf", "--format", "json")
    assert done.code == 0, done.err
    assert (runs / "mine" / "responses.jsonl").read_bytes() == before
    assert manifest(runs / "mine")["scorers"] == ["reference/chrf@1"]
    (row,) = json.loads(done.out)["rows"]
    assert "chrf" in row["metrics"]
    assert "rouge_l" not in row["metrics"], "sources of the earlier scoring no longer count"
    assert {key[2] for key in scores(runs / "mine")} == {"rouge_l", "chrf"}, "but they are kept"
    assert cli("score", "mine", "-t", task_file, "--runs", runs, "--scorer", "chrf").code == 0
    assert len(read_jsonl(runs / "mine" / "scores.jsonl")) == 12, "equal scores are not written twice"


def test_run_that_failed_in_scoring_is_complete_once_scored(
    cli: Cli, task_file: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.scorers.reference import Reference

    args = ("-t", task_file, "--runs", runs)
    with monkeypatch.context() as broken:
        broken.setattr(Reference, "score", lambda *_: 1 / 0)
        done = cli("run", "-m", "control/null", *args, "--name", "mine")
    assert done.code == 3
    assert "internal error: ZeroDivisionError" in done.err
    assert manifest(runs / "mine")["status"] == "failed"
    assert len(answers(runs / "mine")) == 6, "what was generated is kept"
    assert cli("score", "mine", *args).code == 0
    assert manifest(runs / "mine")["status"] == "complete"


def test_score_that_is_no_number_is_unscored(
    cli: Cli, task_file: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.scorers.reference import Reference
    from harness.types import Score

    odd = [float("nan"), float("inf"), 0.5, 0.5, 0.5, 0.5]
    monkeypatch.setattr(
        Reference,
        "score",
        lambda self, items, responses: [
            Score(one.item, 0, "rouge_l", self.source, value) for one, value in zip(responses, odd)
        ],
    )
    done = cli("run", "-m", "control/null", "-t", task_file, "--runs", runs, "--format", "json")
    assert done.code == 0, done.err
    metric = json.loads(done.out)["rows"][0]["metrics"]["rouge_l"]
    assert (metric["value"], metric["n"], metric["unscored"]) == (0.5, 4, 2)


def test_the_same_model_twice_is_one_run(cli: Cli, task_file: Path, runs: Path) -> None:
    done = cli("run", "-m", "control/null", "-m", "control/null", "-t", task_file, "--runs", runs, "--format", "json")
    (row,) = json.loads(done.out)["rows"]
    assert "superseded" not in row["note"]


def test_samples_and_limit(cli: Cli, tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task", [item_row(number) for number in range(5)])
    assert cli("run", "-m", "control/parrot", "-t", task, "--limit", "3", "--samples", "2", "--runs", runs).code == 0
    assert set(answers(only_run(runs))) == {(f"item-{i}", s) for i in range(3) for s in range(2)}


def test_fail_under_after_a_run(cli: Cli, task_file: Path, runs: Path) -> None:
    args = ("run", "-t", task_file, "--runs", runs, "--fail-under", "rouge_l=0.9", "-m")
    assert cli(*args, "control/reference").code == 0
    done = cli(*args, "control/parrot")
    assert done.code == 1
    assert "rouge_l" in done.err.splitlines()[-1]
    done = cli(*args[:-3], "--fail-under", "rogue_l=0.9", "-m", "control/parrot")
    assert done.code == 2
    assert "Did you mean 'rouge_l'?" in done.err


def test_demo_and_simulate_are_commands(cli: Cli) -> None:
    assert cli("demo", "--help").code == 0
