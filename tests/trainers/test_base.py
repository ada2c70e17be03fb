"""The stage `base`: a tiny checkpoint that takes the paths of a real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from harness import models
from harness.models import chat
from harness.simulator import dialogues
from harness.simulator.items import Plan
from harness.types import Decoding, Item, KeyPoints, Message, Request, Response
from trainers import base

SYSTEM = {"zh": "辅导学生。", "en": "Tutor the student."}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    rows = list(dialogues.build(Plan("train", 40, families=("stack",), difficulties=(1,)), "mixture", SYSTEM))
    (folder / "data.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8"
    )
    settings = {
        "data": str(folder / "data.jsonl"),
        "output": str(folder / "out"),
        "steps": 12,
        "batch_size": 4,
        "hidden": 32,
        "layers": 1,
        "vocabulary": 700,
    }
    (folder / "spec.json").write_text(json.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "trainers", "base", str(folder / "spec.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "spec.json"


@pytest.fixture(scope="module")
def output(spec: Path) -> Path:
    return Path(json.loads(spec.read_text())["output"])


def test_the_stage_writes_its_contract(output: Path) -> None:
    events = [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
    assert events[-1]["step"] == 12
    assert {"phase", "loss", "learning_rate", "grad_norm", "tokens", "seconds"} <= set(events[-1])
    result = json.loads((output / "result.json").read_text())
    assert result["stage"] == "base"
    assert result["parameters"] > 0
    assert list((output / "checkpoint").glob("*.safetensors"))


def test_numbers_are_single_tokens_and_text_survives(output: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(output / "checkpoint")
    for value in range(100):
        assert len(tokenizer.encode(str(value), add_special_tokens=False)) == 1
    for text in ("第 3 步（push 42）怎么了？", "Is 7 on top — or 12?\n"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_turn_ends_with_a_token_that_is_not_padding(output: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(output / "checkpoint")
    end = chat.turn_end(tokenizer, "here")
    assert tokenizer.convert_ids_to_tokens(end) == base.END
    assert chat.padding(tokenizer, end, "here") == tokenizer.pad_token_id != end


def test_training_text_equals_the_chat_template(output: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(output / "checkpoint")
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u 3"},
        {"role": "assistant", "content": "a 4"},
    ]
    ids, labels = base.encode(tokenizer, messages)
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(ids) == rendered
    learnt = [token for token, label in zip(ids, labels) if label != base.IGNORED]
    assert tokenizer.decode(learnt) == f"a 4{base.END}"


def test_the_same_spec_gives_the_same_weights(spec: Path, tmp_path: Path) -> None:
    settings = {**json.loads(spec.read_text()), "output": str(tmp_path / "again")}
    (tmp_path / "spec.json").write_text(json.dumps(settings))
    base.run(tmp_path / "spec.json")
    load = base.Qwen2ForCausalLM.from_pretrained
    first, second = (
        load(Path(json.loads(spec.read_text())["output"]) / "checkpoint"),
        load(tmp_path / "again" / "checkpoint"),
    )
    for a, b in zip(first.parameters(), second.parameters()):
        assert torch.equal(a, b)


def test_the_harness_runs_it(output: Path) -> None:
    item = Item("a.en", "a", "en", "stack", 1, "train", 0, (Message("user", "push 3 pop"),), KeyPoints("", "", ()), "3")
    model = models.open_model(f"hf/{output / 'checkpoint'}", models.Options(batch_size=2))
    model.load()
    (response,) = model.generate([Request(item, 0, item.messages)], Decoding(max_new_tokens=5))
    assert isinstance(response, Response)
    assert response.completion_tokens is not None
    assert 1 <= response.completion_tokens <= 5


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"data": "nowhere.jsonl", "output": "x"}, "does not exist"), ({"data": "a", "output": "x", "stepz": 3}, "stepz")],
)
def test_a_bad_spec_is_one_line(settings: dict[str, object], word: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "trainers", "base", str(tmp_path / "spec.json")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
