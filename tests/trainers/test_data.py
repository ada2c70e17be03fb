"""Training data: what is masked, where it ends, and which rows are refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import ASKED, SYSTEM, write_items

from harness.errors import UsageError
from harness.simulator.items import Plan, build
from harness.types import Message
from trainers import checkpoint
from trainers.checkpoint import Loaded
from trainers.data import IGNORED, Columns, InputOutputDataset, augmented, read_pairs, read_prompts

GOOD = "Which end does it leave from? 从哪一端离开？"
BAD = "The answer is 1, 2, 3."


@pytest.fixture(scope="module")
def loaded(_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return checkpoint.load(str(_tiny), None, tmp_path_factory.mktemp("merged"))


def rows(*some: dict[str, Any], path: Path) -> Path:
    return write_items(path / "data.jsonl", some)


def read(path: Path, loaded: Loaded, columns: Columns | None = None, limit: int = 512) -> InputOutputDataset:
    return InputOutputDataset(path, loaded, columns or Columns(), limit, {})


def chat_row(number: int = 0) -> dict[str, Any]:
    language, asked = ASKED[number]
    turns = [("system", SYSTEM[language]), ("user", asked), ("assistant", GOOD)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def test_the_prompt_is_masked_and_the_end_of_the_turn_is_learnt(loaded: Loaded, tmp_path: Path) -> None:
    (example,) = read(rows(chat_row(), path=tmp_path), loaded)
    ids, labels = example["input_ids"], example["labels"]
    learnt = [label for label in labels if label != IGNORED]
    assert labels == [IGNORED] * (len(ids) - len(learnt)) + ids[-len(learnt) :]
    assert learnt[-1] == loaded.end == ids[-1] != loaded.pad
    assert loaded.tokenizer.decode(learnt) == f"{GOOD}<|im_end|>"


def test_what_is_trained_is_the_template_up_to_the_end_of_the_turn(loaded: Loaded, tmp_path: Path) -> None:
    row = chat_row(1)
    (example,) = read(rows(row, path=tmp_path), loaded)
    whole = loaded.tokenizer.apply_chat_template(row["messages"], tokenize=False)
    assert loaded.tokenizer.decode(example["input_ids"]) + "\n" == whole
    asked = loaded.tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
    masked = [token for token, label in zip(example["input_ids"], example["labels"]) if label == IGNORED]
    assert masked == loaded.tokenizer(asked, add_special_tokens=False)["input_ids"]


def test_columns_and_a_prompt_template_are_data(loaded: Loaded, tmp_path: Path) -> None:
    path = rows({"q": "Is my heap right?", "a": GOOD, "topic": "heap"}, path=tmp_path)
    columns = Columns(prompt="q", response="a", template="[{topic}] {prompt}", system="Tutor.")
    (example,) = read(path, loaded, columns)
    text = loaded.tokenizer.decode(example["input_ids"])
    assert "<|im_start|>system\nTutor.<|im_end|>" in text
    assert "<|im_start|>user\n[heap] Is my heap right?<|im_end|>" in text


def pair(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Is my heap right?", "chosen": GOOD, "rejected": BAD, "kind": "leak"} | changes


def test_pairs_end_where_rollouts_end(loaded: Loaded, tmp_path: Path) -> None:
    (found,) = read_pairs(rows(pair(), path=tmp_path), loaded, Columns(), 512)
    assert found.kind == "leak"
    assert found.chosen[-1] == found.rejected[-1] == loaded.end
    assert loaded.tokenizer.decode(found.rejected) == f"{BAD}<|im_end|>"
    assert loaded.tokenizer.decode(found.prompt.ids).endswith("<|im_start|>assistant\n")


def test_prompts_come_once_from_pairs_and_items(loaded: Loaded, tmp_path: Path) -> None:
    item = next(build(Plan("train", 1, families=("stack",), difficulties=(1,), languages=("en",), register="worked")))
    path = rows(
        pair(), pair(chosen="Else?"), pair(prompt="And now?", item=json.loads(json.dumps(asdict(item)))), path=tmp_path
    )
    prompts = read_prompts(path, loaded, Columns(), 512)
    assert [one.turns[-1].content for one in prompts] == ["Is my heap right?", "And now?"]
    assert prompts[0].item is None
    assert prompts[1].item == item


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"prompt": "a?", "response": "  "}, "response is empty"),
        ({"prompt": "a?", "answer": "b"}, "the column 'response' is missing or no text; the row has answer, prompt"),
        ({"question": "a?", "response": "b"}, "neither 'prompt' nor 'messages' but question, response"),
        ({"prompt": "a?", "response": "b<|im_end|>c"}, "special token <|im_end|>"),
        ({"prompt": "a " * 600, "response": "b"}, "tokens, but the context has 512"),
        ({"messages": [{"role": "user", "content": "a?"}]}, "must end with the assistant's answer"),
        ({"messages": [{"role": "teacher", "content": "a?"}]}, "must have a 'role' of system, user, assistant"),
        ({"prompt": [], "response": "b"}, "must be a list of turns"),
        ({"prompt": "a?", "response": "b", "split": "test", "id": "x"}, "holds a test item (x)"),
        ({"prompt": "a?", "response": "b", "item": {"split": "test-unseen"}}, "holds a test item"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(row: dict[str, Any], word: str, loaded: Loaded, tmp_path: Path) -> None:
    path = rows(chat_row(), row, path=tmp_path)
    with pytest.raises(UsageError) as raised:
        read(path, loaded)
    assert f"{path}, line 2: " in str(raised.value)
    assert word in str(raised.value)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (pair(rejected=GOOD + " "), "are the same text"),
        (pair(chosen=""), "response is empty"),
        (pair(rejected=7), "the column 'rejected' is missing or no text"),
        (pair(item={"split": "test", "id": "test-1.zh"}), "holds a test item (test-1.zh)"),
    ],
)
def test_a_bad_pair_is_refused_by_its_line(row: dict[str, Any], word: str, loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2") as raised:
        read_pairs(rows(pair(), row, path=tmp_path), loaded, Columns(), 512)
    assert word in str(raised.value)


@pytest.mark.parametrize(
    ("text", "word"), [("{", "line 1: not JSON"), ("[1]\n", "line 1: not a JSON object"), ("\n", "no rows")]
)
def test_a_file_of_other_things_is_refused(text: str, word: str, loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(text)
    with pytest.raises(UsageError, match=word):
        read(tmp_path / "data.jsonl", loaded)


def test_a_template_that_does_not_end_the_answer_is_refused(tiny: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(str(tiny), None, tmp_path)
    loaded.tokenizer.chat_template = str(loaded.tokenizer.chat_template).replace(
        "{{ message.content }}<|im_end|>",
        "{{ message.content }}{% if not (loop.last and message.role == 'assistant') %}<|im_end|>{% endif %}",
    )
    with pytest.raises(UsageError, match=r"does not end with <\|im_end\|>"):
        read(rows(chat_row(), path=tmp_path), loaded)


def test_a_template_that_rewrites_the_prompt_is_refused(tiny: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(str(tiny), None, tmp_path)
    loaded.tokenizer.chat_template = "{% if add_generation_prompt %}NOW {% endif %}" + str(
        loaded.tokenizer.chat_template
    )
    with pytest.raises(UsageError, match="renders the prompt otherwise"):
        read(rows(chat_row(), path=tmp_path), loaded)


def test_augmentations_vary_the_student_and_never_the_answer() -> None:
    turns = [Message("system", "s, t"), Message("user", "push(3), pop?"), Message("assistant", "a, b")]
    wide = augmented(turns, {"full-width": 1.0}, Random(0))
    assert [one.content for one in wide] == ["s, t", "push（3）， pop？", "a, b"]
    typo = augmented(turns, {"typo": 1.0}, Random(0))
    assert len(typo[1].content) == len(turns[1].content) + 1
    assert augmented(turns, {"typo": 0.0}, Random(0)) == turns
    with pytest.raises(UsageError, match="unknown augmentation 'x'"):
        augmented(turns, {"x": 1.0}, Random(0))
