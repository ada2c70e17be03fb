"""What check_guidance.py asks of texts: language, leaks, likeness, and whether a pair's winner shows on its surface."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz import fuzz, process

from harness.scorers.authored import leaks, squeezed
from harness.scorers.checks import LONG, well_formed
from harness.scorers.evidence import Reading
from harness.scorers.numerals import normalise
from harness.scorers.verdicts import questions
from harness.types import Item

_CODE = re.compile(r"```.*?```|`[^`]*`", re.S)
ENOUGH = 60
"""Fewest pairs on which balance and models are judged."""
Pairs = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Text:
    """One text with where it comes from."""

    name: str
    cluster: str
    area: str
    split: str
    text: str


def in_language(text: str, language: str) -> bool:
    """Whether a text, without its code, can be of that language: Chinese characters in zh, none in en."""
    plain = _CODE.sub("", text)
    han = bool(re.search(r"[\u4e00-\u9fff]", plain))
    return not han if language == "en" else han or not re.search(r"[A-Za-z]{4,}", plain)


def reference_faults(item: Item, same: float) -> Iterator[str]:
    """Proof checks on references: the answer withheld (G2), language and form (G3), and two texts that differ."""
    if item.misconception is not None and not item.meta.get("withheld"):
        yield "meta.withheld must list what a reply must not say (formula, line, number, verdict)"
    for number, text in enumerate(item.references, 1):
        if found := leaks(item, text):
            yield f"reference {number} gives away {found[0]!r}"
        value, why = well_formed(Reading(item, text))
        if not value:
            yield f"reference {number}: {why}"
    for number, one in enumerate(item.references):
        for two in item.references[number + 1 :]:
            if (alike := fuzz.ratio(squeezed(one), squeezed(two))) >= same:
                yield f"two references are alike ({alike:.0f} of 100)"


def screens(items: Iterable[tuple[str, Item]], areas: Iterable[str] = ()) -> Iterator[str]:
    """References that a reader should look at: no or many questions, long, close to the answer."""
    wanted = set(areas)
    for area, item in items:
        for number, text in enumerate(item.references, 1) if not wanted or area in wanted else ():
            asked = len(questions(normalise(text)))
            where = f"{item.id}, reference {number}"
            if asked == 0:
                yield f"{where}: no question"
            if asked > 2:
                yield f"{where}: {asked} questions"
            if Reading(item, text).length > LONG[item.language][0]:
                yield f"{where}: long ({Reading(item, text).length})"
            if item.hint_level < 3 and fuzz.partial_ratio(squeezed(item.answer), squeezed(text)) > 75:
                yield f"{where}: close to the answer ({item.answer[:40]})"


def sentences(text: str) -> list[str]:
    """Sentences and code blocks of a text."""
    parts = re.split(r"(?<=[。！？；!?])|(?<=[.;:])\s+|\n+", text)
    return [part.strip() for part in parts if part and part.strip()]


def differs_in_one_sentence(one: str, two: str) -> bool:
    """Whether two texts share all sentences but one, changed, added or taken away."""
    matcher = difflib.SequenceMatcher(a=sentences(one), b=sentences(two), autojunk=False)
    changes = [tag for tag in matcher.get_opcodes() if tag[0] != "equal"]
    return len(changes) == 1 and changes[0][2] - changes[0][1] <= 1 and changes[0][4] - changes[0][3] <= 1


def pair_faults(item: Item, row: Mapping[str, Any], defects: Sequence[str]) -> Iterator[str]:
    """What is wrong with one preference pair."""
    chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
    if row["prompt"] != [{"role": turn.role, "content": turn.content} for turn in item.messages]:
        yield "the prompt is not the item's dialogue"
    if (row["cluster"], row["language"]) != (item.cluster, item.language):
        yield "cluster or language is not the item's"
    if row["defect"] not in defects:
        yield f"the defect must be one of {', '.join(defects)}"
    if squeezed(chosen) == squeezed(rejected):
        yield "both sides are the same"
    if row["near_miss"] != differs_in_one_sentence(chosen, rejected):
        yield "near_miss must say whether the sides differ in exactly one sentence"
    if found := leaks(item, chosen):
        yield f"the chosen side gives away {found[0]!r}"
    value, why = well_formed(Reading(item, chosen))
    if not value:
        yield f"the chosen side: {why}"
    if not str(row["note"]).strip():
        yield "the note must say what is wrong with the rejected side"


def failing_claims(claims: Sequence[str], workers: int = 2) -> list[tuple[str, str]]:
    """Claims that do not hold when executed, with what happened. Raises CalledProcessError if the runner breaks."""
    script = Path(__file__).with_name("run_claims.py")

    def run(part: Sequence[str]) -> list[tuple[str, str]]:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(script)],
            input=json.dumps(part),
            text=True,
            capture_output=True,
            check=True,
        )
        return [(part[index], what) for index, what in map(json.loads, done.stdout.splitlines())]

    with ThreadPoolExecutor(workers) as pool:
        return [row for rows in pool.map(run, [claims[k::workers] for k in range(workers)]) for row in rows]


def comparable(items: Iterable[tuple[str, Item]], pairs: Pairs, language: str) -> dict[str, list[Text]]:
    """Texts of a language to compare: what is asked (prompt) and what is said (reply)."""
    found: dict[str, list[Text]] = {"prompt": [], "reply": []}
    for area, item in items:
        if item.language == language:
            asked = "\n".join(turn.content for turn in item.messages)
            found["prompt"].append(Text(item.id, item.cluster, area, item.split, squeezed(asked)))
            found["reply"] += [
                Text(f"{item.id} reference {number}", item.cluster, area, item.split, squeezed(text))
                for number, text in enumerate(item.references, 1)
            ]
    for area, row in pairs:
        if row["language"] == language:
            found["reply"] += [
                Text(f"{row['item']} {side}", row["cluster"], area, "train", squeezed(row[side][0]["content"]))
                for side in ("chosen", "rejected")
            ]
    return found


def similar(rows: Sequence[Text], cutoff: float, block: int = 500) -> Iterator[tuple[float, Text, Text]]:
    """For each text the most similar earlier text of another cluster, and every one from `cutoff` (0-100, Indel ratio)."""
    said = [row.text for row in rows]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(row.cluster for row in rows))}
    group = np.array([numbers[row.cluster] for row in rows])
    for start in range(0, len(rows), block):
        alike = process.cdist(said[start : start + block], said[: start + block], scorer=fuzz.ratio, dtype=np.float32)
        for offset, line in enumerate(alike):
            place = start + offset
            line[place:] = -1
            line[group[: len(line)] == group[place]] = -1
            near = set(np.flatnonzero(line >= cutoff)) | ({int(line.argmax())} if place else set())
            yield from ((float(line[other]), rows[place], rows[other]) for other in near if line[other] >= 0)


def _surface(text: str) -> list[float]:
    """What shows without reading: size, punctuation, code, digits."""
    plain = _CODE.sub("", text)
    counts = [
        len(re.findall(pattern, plain))
        for pattern in (r"[?？]", r"[!！]", r"[,，、;；]", r"\d", r"[“”\"'‘’]", r"[:：]")
    ]
    return [
        len(text),
        len(sentences(text)),
        len(_CODE.findall(text)),
        text.count("\n"),
        text.strip()[-1:] in "?？",
        *counts,
    ]


def _sides(pairs: Pairs) -> tuple[list[str], list[str]]:
    return tuple([row[side][0]["content"] for _, row in pairs] for side in ("chosen", "rejected"))  # type: ignore[return-value]


def _correct(pairs: Pairs, features: Callable[[list[str], list[str]], tuple[Any, Any]]) -> np.ndarray:
    """Per pair, whether a linear Bradley-Terry model trained on other clusters (5 folds) prefers the chosen side.

    The model is a logistic regression without intercept on the difference of the sides' features (Bradley and Terry
    1952 with linear strengths); `features(train texts, test texts)` gives both as matrices.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    chosen, rejected = (np.array(side, dtype=object) for side in _sides(pairs))
    right = np.zeros(len(pairs), dtype=bool)
    groups = [row["cluster"] for _, row in pairs]
    for train, test in GroupKFold(5).split(chosen, groups=groups):
        good, bad = features([*chosen[train], *rejected[train]], [*chosen[test], *rejected[test]])
        half = good.shape[0] // 2
        differences = good[:half] - good[half:]
        sign = np.where(np.arange(half) % 2, 1, -1)
        rows = (
            differences.multiply(sign[:, None]).tocsr()
            if hasattr(differences, "multiply")
            else differences * sign[:, None]
        )
        model = LogisticRegression(fit_intercept=False, max_iter=2000).fit(rows, sign)
        half = bad.shape[0] // 2
        right[test] = model.decision_function(bad[:half] - bad[half:]) > 0
    return right


def _by_surface(train: list[str], test: list[str]) -> tuple[Any, Any]:
    from sklearn.preprocessing import StandardScaler

    known, new = (np.array([_surface(text) for text in side], dtype=float) for side in (train, test))
    scale = StandardScaler().fit(known)
    return scale.transform(known), scale.transform(new)


def _by_words(train: list[str], test: list[str]) -> tuple[Any, Any]:
    """Bag of words: words and word pairs, Chinese characters and pairs of them, weighted by tf-idf."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tokens = re.compile(r"[a-z0-9_']+|[\u4e00-\u9fff]|[^\w\s]")
    vectors = TfidfVectorizer(
        tokenizer=lambda text: tokens.findall(text.lower()), token_pattern=None, ngram_range=(1, 2)
    )
    return vectors.fit_transform(train), vectors.transform(test)


def pair_figures(pairs: Pairs) -> dict[str, Any]:
    """Balance of the sides and how well models that do not understand the text tell them apart, by language."""
    found: dict[str, Any] = {}
    for language in ("zh", "en"):
        rows = [pair for pair in pairs if pair[1]["language"] == language]
        if not rows:
            continue
        chosen, rejected = _sides(rows)
        longer = [len(bad) > len(good) for good, bad in zip(chosen, rejected, strict=True)]
        asked = [np.mean([len(re.findall("[?？]", text)) for text in side]) for side in (chosen, rejected)]
        near = np.array([row["near_miss"] for _, row in rows])
        found[f"pairs, {language}: rejected longer"] = f"{np.mean(longer):.2f} (n = {len(rows)})"
        found[f"pairs, {language}: question marks, chosen and rejected"] = f"{asked[0]:.2f} and {asked[1]:.2f}"
        found[f"pairs, {language}: near misses"] = f"{near.mean():.2f}"
        if len(rows) < ENOUGH or len({row["cluster"] for _, row in rows}) < 5:
            continue
        surface, words = _correct(rows, _by_surface), _correct(rows, _by_words)
        found[f"pairs, {language}: accuracy of surface features"] = f"{surface.mean():.3f} (n = {len(rows)})"
        found[f"pairs, {language}: accuracy of bag of words"] = f"{words.mean():.3f} (n = {len(rows)})"
        if near.any():
            found[f"pairs, {language}: accuracy of bag of words, near misses"] = (
                f"{words[near].mean():.3f} (n = {near.sum()})"
            )
    return found


def imbalances(pairs: Pairs, surface: float, words: float) -> list[str]:
    """Where the rejected side can be told without understanding, or a defect is rare."""
    figures = pair_figures(pairs)
    short = []
    for name, value in figures.items():
        number = float(str(value).split()[0])
        if name.endswith("rejected longer") and len(pairs) >= ENOUGH and not 0.4 <= number <= 0.6:
            short.append(f"{name}: {value}, wanted 0.4 to 0.6")
        if name.endswith("surface features") and number > surface:
            short.append(f"{name}: {value}, wanted at most {surface}")
        if name.endswith("near misses") and "accuracy" in name and number > words:
            short.append(f"{name}: {value}, wanted at most {words}")
    return short
