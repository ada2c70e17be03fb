"""Planted faults, copies, test items and answers are found where they stand; clean data pass untouched."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import write_items

from harness import preferences
from harness import task as loader
from harness.data import faults, leaks, likeness, parts, rows
from harness.errors import UsageError

TASK = "ds-trace-demo"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Preference pairs of the training split, as the project makes them."""
    path = tmp_path_factory.mktemp("clean") / "pairs.jsonl"
    made = preferences.teacher_pairs(
        loader.exercises(TASK, "train", 60, 8),
        loader.load(TASK),
        preferences.Rater(temperature=0, flips=0),
        ("vague", "language"),
    )
    seen: set[str] = set()
    write_items(path, [row for row in made if not (row["chosen"] in seen or seen.add(row["chosen"]))])
    return path


def found(path: Path, **options: Any) -> list[tuple[int, str]]:
    told = faults.faults(rows.scan(path), **options)
    return [(int(one.where.rpartition(" ")[2]), one.kind) for one in told]


def test_clean_data_have_no_fault_and_pass_untouched(clean: Path, cli: Any, tmp_path: Path) -> None:
    done = cli("data", "validate", clean)
    assert (done.code, done.out) == (0, ""), done.out
    assert cli("data", "contamination", clean, "-t", TASK, "--out", tmp_path / "kept.jsonl").code == 0
    assert (tmp_path / "kept.jsonl").read_text() == clean.read_text()
    assert cli("data", "leak", clean).code == 0


def planted(tmp_path: Path) -> Path:
    good = {"prompt": "Why is 3 first?", "response": "Which end does it leave from?"}
    turn = {"role": "user", "content": "why?"}
    bad: list[Any] = [
        good,
        {**good, "response": "  "},
        {**good, "response": "Look <|im_end|> here"},
        {**good, "response": "从哪一端离开？"},
        {**good, "prompt": [turn, turn]},
        {**good, "prompt": "doesnâ€™t it?"},
        {"question": "a"},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {**good, "item": {"id": "x", "split": "test"}},
        {**good, "response": 7},
        {**good, "response": "word " * 50},
    ]
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in bad) + "{broken\n", encoding="utf-8")
    return path


def test_planted_faults_are_found_in_their_lines(tmp_path: Path, cli: Any) -> None:
    path = planted(tmp_path)
    expected = [
        (2, "empty"),
        (3, "special-token"),
        (4, "language"),
        (5, "roles"),
        (6, "encoding"),
        (7, "columns"),
        (8, "columns"),
        (9, "test-item"),
        (10, "turns"),
        (11, "length"),
        (12, "broken"),
    ]
    count = lambda turns: sum(len(turn["content"].split()) for turn in turns)  # noqa: E731
    assert found(path, language="en", length=count, limit=40) == expected
    done = cli("data", "validate", path, "--language", "en", "--format", "json")
    assert done.code == 1
    assert {json.loads(line)["kind"] for line in done.out.splitlines()} == {kind for _, kind in expected} - {"length"}
    assert "bad.jsonl, line 3: special-token" in cli("data", "validate", path).out


def test_length_is_counted_by_a_checkpoints_own_template(tiny: Path, tmp_path: Path, cli: Any) -> None:
    path = write_items(
        tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": "a", "response": "b " * 200}]
    )
    done = cli("data", "validate", path, "--model", tiny, "--limit", "60")
    assert done.code == 1
    assert "line 2: length" in done.out
    assert "line 1" not in done.out


WORDS = {
    "en": [
        "stack",
        "queue",
        "heap",
        "node",
        "edge",
        "tree",
        "root",
        "leaf",
        "push",
        "pop",
        "insert",
        "delete",
        "walk",
        "visit",
        "order",
        "index",
        "value",
        "left",
        "right",
        "first",
        "last",
        "then",
        "before",
        "after",
        "while",
        "which",
        "what",
        "when",
    ],
    "zh": list("栈队列堆结点边树根叶入出插删走访序下标值左右先后再前当哪何时数据元素比较交换指针链表头尾查找排序递归"),
}


def sentence(language: str, draw: Random) -> list[str]:
    return [draw.choice(WORDS[language]) for _ in range(60)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_near_copies_planted_at_a_known_rate(language: str) -> None:
    """A tenth of 1,000 texts are copies of earlier ones with three of sixty words changed."""
    draw, join = Random(5), " " if language == "en" else ""
    texts: list[list[str]] = []
    truth = []
    for number in range(1000):
        if number > 50 and number % 10 == 0:
            copy = list(draw.choice(texts))
            for at in draw.sample(range(5, 55), 3):
                copy[at] = draw.choice(WORDS[language])
            texts.append(copy)
            truth.append(True)
        else:
            texts.append(sentence(language, draw))
            truth.append(False)
    index = likeness.Copies(0.6)
    for number, words in enumerate(texts):
        index.add(f"line {number}", join.join(words))
    copies = index.found()
    said = [number in copies for number in range(len(texts))]
    hits = sum(a and b for a, b in zip(said, truth))
    recall, precision = hits / sum(truth), hits / max(1, sum(said))
    print(f"{language}: recall {recall:.2f}, precision {precision:.2f}, n {sum(truth)} of {len(truth)}")
    assert recall >= 0.85
    assert precision >= 0.95


def test_copies_within_and_across_files(tmp_path: Path, cli: Any) -> None:
    row = {
        "prompt": "Why does my queue give 3 first after I put in 1, 2 and 3 one after the other?",
        "response": "Which end does the next one leave from?",
    }
    other = {
        "prompt": "Binary search does not find 2 in 7 2 9 although it is there and I halve each time.",
        "response": "What must hold before you may halve?",
    }
    near = {**row, "response": "Which end does the next element leave from?"}
    first = write_items(tmp_path / "train.jsonl", [row, other, {**row, "prompt": row["prompt"].upper()}, near])
    second = write_items(tmp_path / "test.jsonl", [other])
    done = cli("data", "dedupe", first, "--against", second, "--out", tmp_path / "kept.jsonl", "--format", "json")
    assert done.code == 1
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["kind"], one["where"].rpartition(" ")[2], one["like"].rpartition("/")[2]) for one in told] == [
        ("exact", "2", "test.jsonl, line 1"),
        ("exact", "3", "train.jsonl, line 1"),
        ("near", "4", "train.jsonl, line 1"),
    ]
    assert [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines()] == [row]


def test_items_of_a_task_are_found_in_training_rows(tmp_path: Path, cli: Any) -> None:
    items = loader.load(TASK).items
    asked = {item.language: item.messages[-1].content for item in items}
    mixed = [
        {
            "prompt": "Something else entirely, about hashing and its many collisions in a small table.",
            "response": "ok",
        },
        {"prompt": f"Dear tutor! {asked['en']} Thanks.", "response": "ok"},
        {"prompt": f"老师好，{asked['zh']}谢谢。", "response": "好"},
        {"prompt": f"{' '.join(WORDS['en'] * 20)} {asked['zh']} {' '.join(WORDS['en'])}", "response": "ok"},
        {"prompt": f"{''.join(WORDS['zh'] * 20)}{asked['en']}{''.join(WORDS['zh'])}", "response": "好"},
    ]
    path = write_items(tmp_path / "train.jsonl", mixed)
    done = cli("data", "contamination", path, "-t", TASK, "--out", tmp_path / "kept.jsonl")
    assert done.code == 1
    for line in range(2, 6):
        assert f"line {line}: holds 100% of ds-trace-demo" in done.out, "whatever language stands around it"
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 1


def test_an_answer_given_away_is_found_unless_asked_or_allowed() -> None:
    row = {
        "prompt": "What is left?",
        "answer": "3, 5, 8",
        "hint_level": 1,
        "chosen": "It is 3 5 8.",
        "rejected": "Look.",
    }
    told = {
        "given": row,
        "withheld": {**row, "chosen": "Which is on top?", "rejected": "It is 3, 5, 8."},
        "in the prompt": {**row, "prompt": "Is 3, 5, 8 left?"},
        "allowed": {**row, "hint_level": 3},
        "longer number": {**row, "chosen": "It is 13, 5, 8."},
        "nested": {
            **{name: row[name] for name in ("prompt", "chosen", "rejected")},
            "item": {"answer": "3, 5, 8", "hint_level": 0},
        },
    }
    assert [one.where for one in leaks.leaks(told.items())] == ["given", "nested"]


def test_groups_stay_whole_and_strata_even(tmp_path: Path, cli: Any) -> None:
    made = [
        {
            "prompt": f"p {number}",
            "response": "r",
            "cluster": f"c{number // 2}",
            "language": ("zh", "en")[number // 2 % 2],
        }
        for number in range(400)
    ]
    path = write_items(tmp_path / "all.jsonl", made)
    for out in ("first", "second"):
        done = cli(
            "data",
            "split",
            path,
            "--out",
            tmp_path / out,
            "--share",
            "train=0.8",
            "--share",
            "validation=0.2",
            "--group",
            "cluster",
            "--by",
            "language",
        )
        assert done.code == 0, done.err
    files = {
        name: [row for _, row in rows.read(tmp_path / "first" / f"{name}.jsonl")] for name in ("train", "validation")
    }
    assert {name: len(each) for name, each in files.items()} == {"train": 320, "validation": 80}
    assert not {row["cluster"] for row in files["train"]} & {row["cluster"] for row in files["validation"]}
    assert Counter(row["language"] for row in files["validation"]) == {"zh": 40, "en": 40}
    assert (tmp_path / "first" / "train.jsonl").read_bytes() == (tmp_path / "second" / "train.jsonl").read_bytes()
    with pytest.raises(UsageError, match="add up to 1"):
        parts.assign(made, {"train": 0.8}, "cluster", (), 0)
    with pytest.raises(UsageError, match="no 'problem'"):
        parts.assign(made, {"train": 1.0}, "problem", (), 0)


def test_no_kind_is_kept_more_often_than_asked(tmp_path: Path, cli: Any) -> None:
    made = [
        {"prompt": str(number), "response": "r", "item": {"kind": "rare" if number % 10 == 0 else "often"}}
        for number in range(300)
    ]
    path = write_items(tmp_path / "all.jsonl", made)
    done = cli(
        "data", "balance", path, "--by", "item.kind", "--most", 50, "--out", tmp_path / "kept.jsonl", "--format", "json"
    )
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"item.kind": "often", "rows": 270},
        {"item.kind": "rare", "rows": 30},
    ]
    kept = [row for _, row in rows.read(tmp_path / "kept.jsonl")]
    assert Counter(row["item"]["kind"] for row in kept) == {"often": 50, "rare": 30}
    assert max(int(row["prompt"]) for row in kept) > 250, "kept rows are spread over the file"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sft", "preference", "unpaired"])
def test_trl_trains_on_what_is_exported(form: str, clean: Path, tiny: Path, tmp_path: Path, cli: Any) -> None:
    """SFT, DPO and reward trainers start on the exports, in each kind of file that `datasets` reads."""
    pytest.importorskip("trl")
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    pairs = [row for _, row in rows.read(clean)][:4]
    plain = [
        {
            "prompt": row["prompt"],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in pairs
    ]
    source = write_items(tmp_path / "pairs.jsonl", plain)
    if form == "sft":
        source = write_items(
            tmp_path / "sft.jsonl", [{"prompt": row["prompt"], "response": row["chosen"]} for row in plain]
        )
    target = tmp_path / "out.parquet"
    done = cli(
        "data",
        "convert",
        source,
        "--out",
        target,
        "--to",
        {"sft": "messages", "preference": "preference", "unpaired": "preference"}[form],
    )
    assert done.code == 0, done.err
    data = load_dataset("parquet", data_files=str(target), cache_dir=str(tmp_path / "cache"))["train"]
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    common = {
        "output_dir": str(tmp_path / "trl"),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "use_cpu": True,
        "report_to": "none",
        "max_length": None,
    }
    if form == "sft":
        trainer: Any = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(tiny),
            SFTConfig(**common),
            train_dataset=data.remove_columns("plain"),
            processing_class=tokenizer,
        )
    elif form == "preference":
        trainer = DPOTrainer(
            AutoModelForCausalLM.from_pretrained(tiny),
            args=DPOConfig(**common),
            train_dataset=data,
            processing_class=tokenizer,
        )
    else:
        scorer = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
        scorer.config.pad_token_id = tokenizer.pad_token_id
        trainer = RewardTrainer(scorer, RewardConfig(**common), train_dataset=data, processing_class=tokenizer)
    trainer.train()
    assert trainer.state.global_step == 1


def test_each_copy_is_as_alike_as_told_and_its_like_is_kept() -> None:
    """A long bucket: forty texts that differ in one word, exact copies among them, and strangers between."""
    draw = Random(2)
    base = sentence("en", draw)
    texts = []
    for number in range(120):
        words = list(base) if number % 3 == 0 else sentence("en", draw)
        if number % 6 == 0:
            words[number // 3 % 60] = "other"
        texts.append(" ".join(words))
    index = likeness.Copies(0.7)
    for number, text in enumerate(texts):
        index.add(str(number), text)
    found = index.found()
    assert sorted(found) == [number for number in range(120) if number % 3 == 0 and number]
    for number, copy in found.items():
        own, like = (likeness.shingles(texts[int(one)]) for one in (number, copy.like))
        assert copy.where == str(number)
        assert int(copy.like) < number
        assert int(copy.like) not in found
        assert copy.similarity == pytest.approx(len(own & like) / len(own | like)) or copy.similarity == 1
    assert sorted(index.found(since=100)) == [number for number in found if number >= 100]
