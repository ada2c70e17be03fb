"""Bad input of every kind: one clear line, the right exit code, and nothing that was written before is lost."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import answers, easyds, item_row, make_task, manifest, only_run, read_jsonl, write_items

Cli = Callable[..., Any]
NULL = ("--model", "control/null")


def assert_refused(done: Any, code: int, *words: str) -> None:
    """One line that begins with "easyds: ", names `words` and is no traceback; nothing on standard output."""
    got = getattr(done, "code", None)
    assert (done.returncode if got is None else got) == code, done
    err = getattr(done, "err", None) if got is not None else done.stderr
    out = done.out if got is not None else done.stdout
    assert err.startswith("easyds: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert "internal error" not in err
    for word in words:
        assert word in err
    assert out == ""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- checkpoints ------------------------------------------------------------------------------------------------


def test_missing_path(cli: Cli, task_file: Path, runs: Path) -> None:
    assert_refused(cli("run", "-m", "hf/./no-such", "-t", task_file, "--runs", runs), 3, "no-such", "does not exist")
    assert not runs.exists()


@pytest.mark.slow
def test_missing_path_in_its_own_process(task_file: Path, runs: Path) -> None:
    assert_refused(easyds("run", "-m", "hf/./no-such", "-t", task_file, "--runs", runs), 3, "no-such")


def test_file_for_folder(cli: Cli, task_file: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("x")
    assert_refused(cli("run", "-m", f"hf/{tmp_path}/weights", "-t", task_file, "--runs", runs), 3, "weights")


def test_hub_model_that_cannot_be_had(cli: Cli, task_file: Path, runs: Path) -> None:
    assert_refused(cli("run", "-m", "hf/nobody/nothing", "-t", task_file, "--runs", runs), 3, "nobody/nothing")


def test_name_that_no_hub_model_has(cli: Cli, task_file: Path, runs: Path) -> None:
    assert_refused(cli("run", "-m", "hf/a/b/c", "-t", task_file, "--runs", runs), 2, "a/b/c", "hf/./folder")


def test_pickled_weights(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "pickled", "pytorch_model.bin")


def test_pickled_adapter(cli: Cli, adapter: Path, task_file: Path, runs: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert_refused(cli("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs), 3, "adapter_model.bin")


def test_pickled_adapter_beside_other_tensors(cli: Cli, adapter: Path, task_file: Path, runs: Path) -> None:
    """PEFT takes the pickle where the adapter's own file is missing, whatever else lies there."""
    (adapter / "adapter_model.safetensors").rename(adapter / "head.safetensors")
    torch.save(load_file(adapter / "head.safetensors"), adapter / "adapter_model.bin")
    assert_refused(
        cli("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs), 3, "pickled", "adapter_model.bin"
    )


def test_no_weights(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    (tiny / "model.safetensors").unlink()
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "no *.safetensors")


def test_truncated_weights(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    weights = tiny / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, str(tiny))


def test_remote_code(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    ran = tiny / "ran"
    (tiny / "modeling_evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (tiny / "config.json").write_text(
        json.dumps({**config, "model_type": "evil", "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}})
    )
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "auto_map", "never")
    assert not ran.exists()


def test_remote_tokenizer_code(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    ran = tiny / "ran"
    (tiny / "tok_evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    auto_map = {"AutoTokenizer": [None, "tok_evil.Evil"]}
    (tiny / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "Evil", "auto_map": auto_map}))
    done = cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs)
    assert not ran.exists()
    assert_refused(done, 3, str(tiny))


def test_weights_with_a_gap(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    """transformers fills what is missing at random and only warns: that would be another model under the same name."""
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tiny / "model.safetensors", metadata={"format": "pt"})
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "up_proj")


def test_adapter_with_a_gap(cli: Cli, adapter: Path, task_file: Path, runs: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    weights.pop(next(name for name in weights if "lora_B" in name))
    save_file(weights, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    assert_refused(cli("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs), 3, "adapter", "does not load")


def test_template_without_a_system_role(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    template = (tiny / "chat_template.jinja").read_text()
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (tiny / "chat_template.jinja").write_text(refusal + template)
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "no system role")


def test_unknown_architecture(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**config, "model_type": "nonesuch"}))
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, str(tiny))


def test_no_chat_template(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    (tiny / "chat_template.jinja").unlink()
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "no chat template")


def test_broken_chat_template(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    (tiny / "chat_template.jinja").write_text("{% for message in messages %}{{ message.role }")
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "chat template")


def test_no_tokenizer(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tiny / name).unlink()
    assert_refused(cli("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs), 3, "tokenizer")


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json"])
def test_torn_config(cli: Cli, tiny: Path, adapter: Path, task_file: Path, runs: Path, name: str) -> None:
    folder = tiny if name == "config.json" else adapter
    (folder / name).write_text((folder / name).read_text()[:40])
    assert_refused(cli("run", "-m", f"hf/{folder}", "-t", task_file, "--runs", runs), 3, name)


def test_adapter_whose_base_is_gone(cli: Cli, tiny: Path, adapter: Path, task_file: Path, runs: Path) -> None:
    shutil.rmtree(tiny)
    assert_refused(cli("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs), 3, str(tiny))


def test_unknown_dtype(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    assert_refused(cli("run", "-m", f"hf/{tiny}", "--dtype", "float99", "-t", task_file, "--runs", runs), 2, "float99")


def test_device_that_is_not_there(cli: Cli, tiny: Path, task_file: Path, runs: Path) -> None:
    assert_refused(cli("run", "-m", f"hf/{tiny}", "--device", "gpu7", "-t", task_file, "--runs", runs), 2, "gpu7")


# --- tasks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", ["line 3", "not JSON"]),
        ('["a", "list"]', ["line 3", "not a JSON object"]),
        (json.dumps({**item_row(2), "refrences": []}), ["line 3", "refrences", "Did you mean 'references'?"]),
        (json.dumps({k: v for k, v in item_row(2).items() if k != "answer"}), ["line 3", "'answer' is missing"]),
        (json.dumps(item_row(2, id="item-0")), ["line 3", "item-0", "line 1"]),
        (json.dumps(item_row(2, language="fr")), ["line 3", "fr"]),
        (json.dumps(item_row(2, difficulty="hard")), ["line 3", "difficulty"]),
        (json.dumps(item_row(2, difficulty=True)), ["line 3", "difficulty"]),
        (json.dumps(item_row(2, messages=[])), ["line 3", "messages"]),
        (json.dumps(item_row(2, messages=[{"role": "assistant", "content": "x"}])), ["line 3", "student"]),
        (json.dumps(item_row(2, messages=[{"role": "system", "content": "x"}])), ["line 3", "system"]),
        (json.dumps(item_row(2, key_points={"diagnosis": "d"})), ["line 3", "key_points"]),
        (json.dumps(item_row(2, references="one text")), ["line 3", "references"]),
        (json.dumps(item_row(2, misconception=3)), ["line 3", "misconception"]),
        (json.dumps(item_row(2, meta=[])), ["line 3", "meta"]),
        (json.dumps(item_row(2, id="*")), ["line 3", "'*'"]),
        (json.dumps(item_row(2, id="")), ["line 3", "'id'"]),
    ],
)
def test_faulty_item(cli: Cli, tmp_path: Path, runs: Path, line: str, words: list[str]) -> None:
    task = make_task(tmp_path / "task")
    lines = (task.parent / "items.jsonl").read_text().splitlines()
    (task.parent / "items.jsonl").write_text("\n".join([*lines[:2], line, *lines[3:]]))
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, "items.jsonl", *words)
    assert not runs.exists()


def test_malformed_items_in_their_own_process(tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task")
    (task.parent / "items.jsonl").write_text(json.dumps(item_row(0)) + "\n{oops\n")
    assert_refused(easyds("run", *NULL, "-t", task, "--runs", runs), 2, "items.jsonl, line 2")


def test_items_in_another_encoding(cli: Cli, tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task")
    (task.parent / "items.jsonl").write_bytes(json.dumps(item_row(1), ensure_ascii=False).encode("gb18030"))
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, "not UTF-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"items": "elsewhere.jsonl"}, ["elsewhere.jsonl", "does not exist"]),
        ({"items": ["items.jsonl"]}, ["'items'"]),
        ({"items": None}, ["items", "simulate"]),
        ({"rubric": None}, ["'rubric'"]),
        ({"rubric": "guidence"}, ["guidence", "Did you mean 'guidance'?"]),
        ({"rubric": 3}, ["'rubric'"]),
        ({"rubric": "../../x"}, ["../../x", "not allowed"]),
        ({"name": "../../x"}, ["../../x"]),
        ({"scorers": None}, ["'scorers'"]),
        ({"scorers": [3]}, ["3"]),
        ({"scorers": "rouge_l"}, ["scorers"]),
        ({"decoding": {"max_tokens": 3}}, ["max_tokens"]),
        ({"decoding": {"max_new_tokens": "many"}}, ["max_new_tokens"]),
        ({"decoding": ["x"]}, ["decoding"]),
        ({"system": {"zh": "只有中文"}}, ["'en'"]),
        ({"system": "one for all"}, ["'system'"]),
        ({"colour": "red"}, ["colour"]),
        ({"simulate": {"clusters": 3}}, ["items", "simulate"]),
        ({"items": None, "simulate": {"clusterz": 3}}, ["clusterz"]),
        ({"items": None, "simulate": 3}, ["task.yaml"]),
    ],
)
def test_faulty_task(cli: Cli, tmp_path: Path, runs: Path, changes: dict[str, Any], words: list[str]) -> None:
    task = make_task(tmp_path / "task", **changes)
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, *words)
    assert not runs.exists()


def test_malformed_yaml(cli: Cli, tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task")
    task.write_text("name: small\nversion: [1\nrubric: guidance\n")
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, "task.yaml, line 3", "not valid YAML")


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
        "a: &a [*a]\n",
    ],
    ids=["billions", "itself"],
)
def test_yaml_that_stands_for_more_than_it_says(cli: Cli, tmp_path: Path, runs: Path, text: str) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(text)
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, "task.yaml", "aliases")


def test_yaml_that_would_run_code(cli: Cli, tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task")
    ran = tmp_path / "ran"
    task.write_text(f"name: !!python/object/apply:os.system ['touch {ran}']\n")
    assert_refused(cli("run", *NULL, "-t", task, "--runs", runs), 2, "task.yaml")
    assert not ran.exists()


@pytest.mark.parametrize("name", ["missing.yaml", "folder.yaml"])
def test_task_file_that_cannot_be_read(cli: Cli, tmp_path: Path, runs: Path, name: str) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert_refused(cli("run", *NULL, "-t", tmp_path / name, "--runs", runs), 2, name)


# --- names and options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-m", "control/null", "-t", "ds-guidanse"], 2, ["ds-guidanse", "Did you mean 'ds-guidance'?"]),
        (["-m", "control/null", "-t", "../../x"], 2, ["../../x"]),
        (["-m", "hff/./x"], 2, ["hff", "Did you mean 'hf'?"]),
        (["-m", "gpt"], 2, ["gpt", "provider/name"]),
        (["-m", "control/"], 2, ["provider/name"]),
        (["-m", "control/referense"], 2, ["referense", "Did you mean 'reference'?"]),
        (["-m", "control/null", "--scorer", "ruoge_l"], 2, ["ruoge_l", "Did you mean 'rouge_l'?"]),
        (["-m", "control/null", "--scorer", "rouge_l:stem=yes"], 2, ["rouge_l", "stem"]),
        (["-m", "control/null", "--scorer", "perplexity"], 2, ["perplexity", "model"]),
        (["-m", "control/null", "--scorer", "perplexity:model=gpt"], 2, ["hf/NAME"]),
        (["-m", "control/null", "--scorer", "perplexity:gpt"], 2, ["option=value"]),
        (["-m", "control/null", "--limit", "0"], 2, ["--limit", "0"]),
        (["-m", "control/null", "--limit", "-3"], 2, ["--limit", "-3"]),
        (["-m", "control/null", "--limit", "some"], 2, ["--limit"]),
        (["-m", "control/null", "--batch-size", "0"], 2, ["--batch-size", "0"]),
        (["-m", "control/null", "--samples", "0"], 2, ["--samples"]),
        (["-m", "control/null", "--max-new-tokens", "0"], 2, ["--max-new-tokens"]),
        (["-m", "control/null", "--temperature", "-1"], 2, ["--temperature"]),
        (["-m", "control/null", "--temperature", "nan"], 2, ["--temperature"]),
        (["-m", "control/null", "--top-p", "0"], 2, ["--top-p"]),
        (["-m", "control/null", "--top-p", "1.5"], 2, ["--top-p"]),
        (["-m", "control/null", "--concurrency", "0"], 2, ["--concurrency"]),
        (["-m", "control/null", "--name", "../../x"], 2, ["../../x"]),
        (["-m", "control/null", "--name", ".hidden"], 2, [".hidden"]),
        (["-m", "control/null", "--name", "a" * 65], 2, ["not allowed"]),
        (["-m", "control/null", "-m", "control/parrot", "--name", "x"], 2, ["--name"]),
        (["-m", "control/null", "--as", ""], 2, ["--as"]),
        (["-m", "control/null", "--format", "xml"], 2, ["xml", "markdown"]),
        (["-m", "control/null", "--fail-under", "rouge_l"], 2, ["rouge_l", "METRIC=NUMBER"]),
        (["-m", "control/null", "--fail-under", "rouge_l=high"], 2, ["rouge_l=high"]),
        (["-m", "control/null", "--fail-under", "rouge_l=nan"], 2, ["rouge_l=nan"]),
        (["-m", "control/null", "--lmit", "2"], 2, ["--lmit", "--limit"]),
        ([], 2, ["--model"]),
        (["-m", "openai/gpt"], 3, ["OPENAI_API_KEY"]),
        (["-m", "contr\nol/null\x1b[31m"], 2, ["unknown model provider"]),
    ],
)
def test_faulty_option(
    cli: Cli, task_file: Path, working_folder: Path, args: list[str], code: int, words: list[str]
) -> None:
    task = [] if "-t" in args else ["-t", task_file]
    done = cli("run", *args, *task)
    assert_refused(done, code, *words)
    assert "\x1b" not in done.err
    assert not list(working_folder.rglob("*.jsonl"))
    assert not (working_folder.parent.parent / "x").exists()


@pytest.mark.parametrize("args", [["--name", "../../x"], ["--lmit", "1"]])
def test_faulty_option_in_its_own_process(task_file: Path, tmp_path: Path, args: list[str]) -> None:
    assert_refused(
        easyds("run", *NULL, "-t", task_file, *args, cwd=tmp_path), 2, args[0] if "x" not in args[1] else "x"
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["score", "../../x"], ["../../x", "not allowed"]),
        (["board", "-t", "../../x"], ["../../x", "not allowed"]),
        (["score", "nosuch"], ["nosuch", "not a run"]),
        (["score", "nosuch", "--task", "ds-guidance"], ["nosuch", "not a run"]),
        (["board", "-t", "ds-trase"], ["Did you mean 'ds-trace'?"]),
        (["board", "-t", "ds-guidance", "--format", "xml"], ["xml"]),
        (["config", "rum"], ["Did you mean 'run'?"]),
        (["tasks", "--format", "csv"], ["csv"]),
        (["nocommand"], ["nocommand"]),
    ],
)
def test_faulty_other_commands(cli: Cli, working_folder: Path, args: list[str], words: list[str]) -> None:
    assert_refused(cli(*args), 2, *words)
    assert not list(working_folder.rglob("*"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run\nlimit = 1", ["easyds.toml", "line 1"]),
        ("[rum]\nlimit = 1", ["rum", "Did you mean 'run'?"]),
        ("[run]\nlimt = 1", ["limt", "Did you mean 'limit'?"]),
        ("run = 3", ["[run]"]),
        ("[annotate]\ncreate = 3", ["[annotate.create]"]),
        ("[annotate.creat]\nseed = 1", ["annotate.creat", "Did you mean 'annotate.create'?"]),
        ("[annotate.create]\nsed = 1", ["[annotate.create]", "Did you mean 'seed'?"]),
        ('[run]\nlimit = "some"', ["--limit"]),
        ("[run]\nlimit = 0", ["--limit", "0"]),
        ("[run]\nbatch_size = [1, 2]", ["--batch-size"]),
        ("\ufeff\x00", ["easyds.toml"]),
    ],
)
def test_faulty_easyds_toml(cli: Cli, task_file: Path, working_folder: Path, text: str, words: list[str]) -> None:
    (working_folder / "easyds.toml").write_text(text)
    assert_refused(cli("run", *NULL, "-t", task_file), 2, *words)


@pytest.mark.parametrize("command", ["config", "tasks"])
def test_faulty_easyds_toml_shows_in_every_command(cli: Cli, working_folder: Path, command: str) -> None:
    (working_folder / "easyds.toml").write_text("[run]\nlimt = 1")
    assert_refused(cli(command), 2, "limt")


# --- what is on disk --------------------------------------------------------------------------------------------


def test_runs_is_a_file(cli: Cli, task_file: Path, runs: Path) -> None:
    runs.write_text("x")
    assert_refused(cli("run", *NULL, "-t", task_file, "--runs", runs), 3, str(runs))


def test_name_of_another_configuration(cli: Cli, task_file: Path, runs: Path) -> None:
    assert cli("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine").code == 0
    before = contents(runs)
    assert_refused(cli("run", "-m", "control/parrot", "-t", task_file, "--runs", runs, "--name", "mine"), 2, "mine")
    assert contents(runs) == before


def test_task_changed_since_the_run(cli: Cli, tmp_path: Path, task_file: Path, runs: Path) -> None:
    assert cli("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine").code == 0
    before = contents(runs)
    make_task(tmp_path / "task", version="2")
    assert_refused(cli("score", "mine", "-t", task_file, "--runs", runs), 2, "mine", "Run it again")
    assert contents(runs) == before


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 99}', "[]"])
def test_unreadable_manifest(cli: Cli, task_file: Path, runs: Path, text: str) -> None:
    assert cli("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine").code == 0
    assert cli("run", "-m", "control/parrot", "-t", task_file, "--runs", runs, "--name", "other").code == 0
    (runs / "mine" / "manifest.json").write_text(text)
    assert_refused(cli("score", "mine", "-t", task_file, "--runs", runs), 2, "mine")
    done = cli("board", "-t", task_file, "--runs", runs)
    assert (done.code, done.err) == (0, "")
    assert "! mine: cannot be read, " in done.out
    assert "control/parrot" in done.out, "one bad folder blocks nothing"


def test_changed_responses(cli: Cli, task_file: Path, runs: Path) -> None:
    assert cli("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine").code == 0
    path = runs / "mine" / "responses.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:20], *lines[2:], ""]))
    before = path.read_bytes()
    assert_refused(cli("score", "mine", "-t", task_file, "--runs", runs), 3, "responses.jsonl, line 2")
    assert path.read_bytes() == before


def test_full_disk(tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task", [item_row(number) for number in range(60)])
    args = ("run", "-m", "control/parrot", "-t", task, "--runs", runs)
    size = 6000

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # Python ignores SIGXFSZ: writes fail as on a full disk

    done = easyds(*args, preexec_fn=fill)
    assert_refused(done, 3, "no space left", "same command again")
    folder = only_run(runs)
    kept = answers(folder)
    assert 0 < len(kept) < 60
    assert (folder / "responses.jsonl").stat().st_size <= size
    assert manifest(folder)["status"] == "failed"

    done = easyds(*args)
    assert done.returncode == 0, done.stderr
    assert only_run(runs) == folder
    whole = answers(folder)
    assert len(whole) == 60
    assert whole.items() >= kept.items()
    assert manifest(folder)["status"] == "complete"
    assert len(read_jsonl(folder / "scores.jsonl")) == 60


def test_disk_full_from_the_start(task_file: Path, runs: Path) -> None:
    done = easyds(
        "run",
        *NULL,
        "-t",
        task_file,
        "--runs",
        runs,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    )
    assert_refused(done, 3, "no space left")
    assert easyds("run", *NULL, "-t", task_file, "--runs", runs).returncode == 0
    assert len(answers(only_run(runs))) == 6


HOLD = """
import sys
from pathlib import Path
from harness.record import RunWriter
with RunWriter(Path(sys.argv[1])) as run:
    print(f"held by {__import__('os').getpid()}", flush=True)
    sys.stdin.read()
"""


def test_two_processes_on_one_run(cli: Cli, task_file: Path, runs: Path) -> None:
    args = ("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine")
    assert cli(*args).code == 0
    before = contents(runs / "mine")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(runs / "mine")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        pid = holder.stdout.readline().split()[-1]
        assert_refused(cli(*args), 3, "mine", f"pid {pid}")
        assert_refused(easyds(*args), 3, "mine", f"pid {pid}")
        assert_refused(cli("score", "mine", "-t", task_file, "--runs", runs), 3, "mine", pid)
        assert cli("board", "-t", task_file, "--runs", runs).code == 0, "reading needs no lock"
        during = {name: data for name, data in contents(runs / "mine").items() if name != ".lock"}
        assert during == {name: data for name, data in before.items() if name != ".lock"}
        holder.communicate("")
    assert cli(*args).code == 0


def test_lock_of_a_killed_process_is_free(cli: Cli, task_file: Path, runs: Path) -> None:
    args = ("run", *NULL, "-t", task_file, "--runs", runs, "--name", "mine")
    assert cli(*args).code == 0
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(runs / "mine")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert cli(*args).code == 0


def test_item_with_line_separators_is_one_line(cli: Cli, tmp_path: Path, runs: Path) -> None:
    """JSON allows U+2028 and U+0085 unescaped: they end no line."""
    text = "a\u2028b\u0085c"
    rows = [item_row(0, messages=[{"role": "user", "content": text}]), item_row(2)]
    task = make_task(tmp_path / "task", rows)
    write_items(task.parent / "items.jsonl", rows)
    assert cli("run", "-m", "control/parrot", "-t", task, "--runs", runs).code == 0
    assert answers(only_run(runs))["item-0", 0].endswith(text)
