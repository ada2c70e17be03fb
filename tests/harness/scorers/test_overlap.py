"""Reference scorers, diversity and fluency against the packages and sums they stand for."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import item_row, write_items

from harness import task
from harness.scorers import diversity, open_scorer, parse, reference
from harness.types import Item, Response

EN = [
    ("Which end does a new element join?", "Which end of the queue does each new element join first?"),
    ("the queue is FIFO, so look at the front", "look at the front: a queue is first in, first out"),
    ("no overlap here", "entirely different words"),
    ("a a a b", "a b a c"),
]
ZH = [
    ("新元素从哪一端进入队列？", "想一想：新元素从哪一端进入，又从哪一端离开？"),
    ("二分查找要求数组有序。", "先检查数组是否有序，再二分。"),
]
PAIRS = [*((*pair, "en") for pair in EN), *((*pair, "zh") for pair in ZH)]
MEASURES = {"rouge_l": reference.rouge_l, "chrf": reference.chrf, "bleu": reference.bleu}
WORDS = st.lists(
    st.sampled_from(["queue", "stack", "heap", "pops", "3", "the", "a", "front"]), min_size=1, max_size=12
).map(" ".join)


def items(tmp_path: Path, rows: list[dict[str, Any]]) -> dict[str, Item]:
    return {item.id: item for item in task.read_items(write_items(tmp_path / "items.jsonl", rows))}


def said(item: str, text: str, sample: int = 0) -> Response:
    return Response(item, sample, text, "stop", None, None, None, None, None)


def plain_rouge_l(text: str, known: str) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    return float(RougeScorer(["rougeL"], use_stemmer=False).score(known, text)["rougeL"].fmeasure)


@pytest.mark.parametrize(("text", "known"), EN)
def test_rouge_l_equals_rouge_score_on_english(text: str, known: str) -> None:
    assert reference.rouge_l(text, [known], "en") == pytest.approx(plain_rouge_l(text, known))


@given(WORDS, WORDS)
@settings(max_examples=60, deadline=None)
def test_rouge_l_equals_rouge_score_on_any_words(text: str, known: str) -> None:
    assert reference.rouge_l(text, [known], "en") == pytest.approx(plain_rouge_l(text, known))


@pytest.mark.parametrize(("text", "known", "language"), PAIRS)
def test_chrf_and_bleu_equal_sacrebleu(text: str, known: str, language: str) -> None:
    import sacrebleu

    assert reference.chrf(text, [known], language) == pytest.approx(sacrebleu.sentence_chrf(text, [known]).score / 100)
    wanted = sacrebleu.sentence_bleu(text, [known], tokenize="zh" if language == "zh" else "13a").score / 100
    assert reference.bleu(text, [known], language) == pytest.approx(wanted)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(("text", "known", "language"), PAIRS)
def test_bounds_identity_and_the_best_reference(name: str, text: str, known: str, language: str) -> None:
    measure = MEASURES[name]
    value = measure(text, [known], language)
    assert 0 <= value <= 1
    assert measure(known, [known], language) == pytest.approx(1)
    assert measure(known, ["something else 别的", known], language) == pytest.approx(1)


@pytest.mark.parametrize("name", MEASURES)
def test_chinese_is_not_zero(name: str) -> None:
    assert MEASURES[name](*zh_pair(), "zh") > 0.1


def zh_pair() -> tuple[str, list[str]]:
    return ZH[0][0], [ZH[0][1]]


@pytest.mark.parametrize("name", MEASURES)
def test_without_references_unscored_and_empty_is_zero(tmp_path: Path, name: str) -> None:
    known = items(tmp_path, [item_row(0), item_row(2, references=[])])
    scorer = open_scorer({"name": name})
    scores = {one.item: one for one in scorer.score(known, [said("item-0", " \n"), said("item-2", "text")])}
    assert scores["item-0"].value == 0
    assert (scores["item-2"].value, scores["item-2"].reason) == (None, "the item has no references")
    assert {one.criterion for one in scores.values()} == set(scorer.criteria)


@pytest.mark.parametrize("name", MEASURES)
def test_metric_modules_of_evaluate_give_the_same_numbers(tmp_path: Path, name: str) -> None:
    import evaluate

    folder = Path(reference.__file__).parent / "evaluate" / name
    metric = evaluate.load(str(folder), cache_dir=str(tmp_path))
    for pairs, language in ((EN, "en"), (ZH, "zh")):
        texts, known = [text for text, _ in pairs], [[one] for _, one in pairs]
        wanted = sum(MEASURES[name](text, some, language) for text, some in zip(texts, known)) / len(pairs)
        found = metric.compute(predictions=texts, references=known, language=language)
        assert found == {name: pytest.approx(wanted)}


def test_options_on_the_command_line() -> None:
    assert parse("rouge_l") == {"name": "rouge_l"}
    assert parse("perplexity:model=hf/./a,b=c=d") == {"name": "perplexity", "model": "hf/./a", "b": "c=d"}


# --- diversity --------------------------------------------------------------------------------------------------


def spread(tmp_path: Path, texts: list[str], clusters: list[str] | None = None) -> dict[str, Any]:
    rows = [item_row(2 * i, id=f"i{i}", cluster=clusters[i] if clusters else f"c{i}") for i in range(len(texts))]
    known = items(tmp_path, rows)
    scores = diversity.Diversity().score(known, [said(f"i{i}", text) for i, text in enumerate(texts)])
    return {f"{one.criterion} {one.item}": one for one in scores}


def test_distinct_by_hand(tmp_path: Path) -> None:
    scores = spread(tmp_path, ["a b a b", "a b c", "队列 x"])
    # 1-grams: a b a b a b c 队 列 x: 6 of 10; 2-grams: ab ba ab | ab bc | 队列 列x: 5 of 7
    assert scores["distinct_1 *"].value == pytest.approx(6 / 10)
    assert scores["distinct_2 *"].value == pytest.approx(5 / 7, abs=1e-6)
    assert scores["distinct_2 *"].evidence["n"] == 3


def test_distinct_of_constant_answers_falls(tmp_path: Path) -> None:
    scores = spread(tmp_path, ["look at the front"] * 20)
    assert scores["distinct_2 *"].value == pytest.approx(3 / 60)
    assert scores["self_bleu i0"].value == pytest.approx(1)


def test_jackknife_interval_of_distinct(tmp_path: Path) -> None:
    """By leaving each cluster out and counting again; and it covers the ratio's own spread."""
    draw = random.Random(1)
    texts = [" ".join(draw.choices("abcdefghij", k=8)) for _ in range(12)]
    clusters = [f"c{i // 2}" for i in range(12)]
    score = spread(tmp_path, texts, clusters)["distinct_2 *"]

    def distinct(some: list[str]) -> float:
        grams = [gram for text in some for gram in pairwise(text.split())]
        return len(set(grams)) / len(grams)

    left_out = [
        distinct([text for text, one in zip(texts, clusters) if one != cluster]) for cluster in sorted(set(clusters))
    ]
    mean = sum(left_out) / 6
    error = (5 / 6 * sum((one - mean) ** 2 for one in left_out)) ** 0.5
    assert score.value == pytest.approx(distinct(texts), abs=1e-6)
    assert score.evidence["low"] == pytest.approx(distinct(texts) - 1.959964 * error, abs=1e-6)
    assert score.evidence["high"] == pytest.approx(min(1, distinct(texts) + 1.959964 * error), abs=1e-6)
    assert score.evidence["low"] < score.value < score.evidence["high"]


def test_no_text_is_unscored(tmp_path: Path) -> None:
    scores = spread(tmp_path, ["", ""])
    assert {one.value for one in scores.values()} == {None}
    assert scores["distinct_1 *"].reason
    assert scores["self_bleu i0"].reason


def test_self_bleu_compares_with_the_others_of_the_language(tmp_path: Path) -> None:
    known = items(tmp_path, [item_row(number, id=f"i{number}") for number in range(4)])
    texts = [
        "the same words said twice here",
        "这一句与上一句不同",
        "the same words said twice here",
        "完全两样的中文回答",
    ]
    scores = {
        one.item: one.value
        for one in diversity.Diversity().score(known, [said(f"i{i}", text) for i, text in enumerate(texts)])
        if one.criterion == "self_bleu"
    }
    assert scores["i0"] == scores["i2"] == pytest.approx(1)
    assert 0 <= scores["i1"] < 0.2


# --- fluency ----------------------------------------------------------------------------------------------------


def test_perplexity_names_its_model_and_leaves_the_empty_unscored(tiny: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    known = items(tmp_path, [item_row(0), item_row(2)])
    scorer = open_scorer(parse(f"perplexity:model=hf/{tiny}"))
    text = "The queue is first in, first out."
    scores = {one.item: one for one in scorer.score(known, [said("item-0", text), said("item-2", "")])}
    ids = AutoTokenizer.from_pretrained(tiny)(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)(ids).logits[0, :-1]
    wanted = -torch.log_softmax(logits, -1)[torch.arange(ids.shape[1] - 1), ids[0, 1:]].mean().item()
    assert scores["item-0"].value == pytest.approx(wanted, abs=1e-4)
    assert scores["item-2"].value is None
    assert scores["item-2"].reason
    assert "tiny" in scorer.source
    other = open_scorer(parse(f"perplexity:model=hf/{tiny}"))
    assert other.source == scorer.source
