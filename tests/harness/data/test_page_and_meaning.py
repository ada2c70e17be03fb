"""The page on a file, and items found by meaning with an encoder made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import write_items
from transformers import AutoModelForCausalLM

from harness import task as loader
from harness.data import likeness, report, rows
from harness.errors import EnvironmentProblem
from harness.models.encoder import encoder

TASK = "ds-trace-demo"


def test_the_page_counts_what_is_there(tmp_path: Path, cli: Any) -> None:
    made = [
        {
            "prompt": "What leaves first?",
            "response": "Which end?" + "!" * number,
            "area": "queue" if number else "x|<b>",
        }
        for number in range(9)
    ]
    path = write_items(tmp_path / "train.jsonl", [*made, {"prompt": "?", "response": " "}])
    out = tmp_path / "page.md"
    done = cli("data", "report", path, "--out", out, "--by", "area")
    assert done.code == 0, done.err
    page = out.read_text(encoding="utf-8")
    assert "10 rows." in page
    assert "| sft | 10 | 100.0% |" in page
    assert "| queue | 8 | 80.0% |" in page
    assert "x\\|\\<b\\>" in page
    assert "| empty | 1 |" in page
    assert "| 10 | 1 | 11 | 13 | 16 | 18 | 18 |" in page
    figure = (tmp_path / "page.svg").read_text(encoding="utf-8")
    assert figure.startswith("<?xml")
    assert "page.svg" in page
    again = cli("data", "report", path, "--out", out)
    assert again.code == 2
    assert "exists" in again.err


def test_lengths_are_counted_by_a_tokenizer_where_one_is_given(tiny: Path, tmp_path: Path, cli: Any) -> None:
    path = write_items(tmp_path / "train.jsonl", [{"prompt": "Which?", "response": "Which end leaves first?"}])
    assert cli("data", "report", path, "--out", tmp_path / "page.md", "--model", tiny).code == 0
    assert "Length of good answers, tokens" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_quantiles_of_counts_are_those_of_the_values() -> None:
    counts = {3: 2, 5: 1, 9: 7}
    values = [value for value, count in counts.items() for _ in range(count)]
    for share in (0.1, 0.2, 0.25, 0.3, 0.5, 1.0):
        assert report.quantile(counts, share) == np.quantile(values, share, method="inverted_cdf")


def test_a_broken_file_still_has_its_page(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"prompt": "a", "response": 3}\nnot json\n{"x": 1}\n', encoding="utf-8")
    told = report.summary(rows.scan(path))
    assert told.rows == 3
    assert told.faults["broken"] == 1
    assert "line 2" in report.markdown(told, "train", "characters", None)


def test_an_encoders_vectors_do_not_depend_on_their_batch(tiny: Path) -> None:
    encode = encoder(tiny)
    texts = ["栈顶是哪个？", "Which end of the queue does the next element leave from?", "x"]
    whole = encode(texts)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(whole, np.concatenate([encode([text]) for text in texts]), atol=2e-5)


def test_what_is_no_encoder_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        encoder(tmp_path)


def test_meaning_names_the_nearest_item_above_the_bar() -> None:
    vectors = {"a": (1, 0), "b": (0, 1), "like a": (0.96, 0.28), "between": (0.8, 0.6)}
    found = list(
        likeness.meaning(
            [("line 1", {"t": "like a"}), ("line 2", {"t": "between"})],
            lambda row: str(row["t"]),
            {"item-a": "a", "item-b": "b"},
            lambda texts: np.array([vectors[text] for text in texts], np.float32),
            0.9,
        )
    )
    assert [(where, like and (like.item, round(like.cosine, 2))) for where, _, like in found] == [
        ("line 1", ("item-a", 0.96)),
        ("line 2", None),
    ]


def test_items_with_their_words_in_another_order_are_found_by_an_encoder(tiny: Path, tmp_path: Path, cli: Any) -> None:
    """Without attention and MLP a model's mean state is a bag of words: it sees what n-grams cannot."""
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weights.zero_()
    model.save_pretrained(tiny)
    items = loader.load(TASK).items
    asked = next(item.messages[-1].content for item in items if item.language == "en")
    sentences = asked.split(". ")
    turned = ". ".join(" ".join(reversed(one.split())) for one in reversed(sentences))
    path = write_items(
        tmp_path / "train.jsonl",
        [{"prompt": turned, "response": "ok"}, {"prompt": "Thanks, that is all for today!", "response": "Well done."}],
    )
    plain = cli("data", "contamination", path, "-t", TASK)
    assert plain.code == 0
    done = cli("data", "contamination", path, "-t", TASK, "--encoder", tiny, "--alike", 0.97, "--format", "json")
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["kind"], one["where"].rpartition(" ")[2]) for one in told] == [("reworded", "1")]
