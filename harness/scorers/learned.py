"""The scorer `learned`: a calibrated classifier of replies, trained on human labels, which abstains where it is unsure.

What it sees: words and characters of the reply (TF-IDF), how the reply lies to the dialogue and to the right answer,
and surface features; with a local sentence encoder, the meaning of the reply and of the student's turn as well. It is
a folder of `model.json` and `weights.npz` (no pickle: a folder from elsewhere runs no code).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.digest import digest, file_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.paths import slug
from harness.types import Item, Response, Score

Floats = NDArray[np.float64]
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
"""Inverse regularisation of the classifier, chosen by cross-validation inside the training data"""
FOLDS = 4
CONFIDENT = 0.8
"""Accuracy that the verdicts it gives reach on training data held out; what is below its threshold is unscored"""
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?|[一-鿿]", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PRAISE = re.compile(
    r"\b(?:great|good|nice|excellent|well done|correct|right|perfect|awesome)\b|很好|不错|对了|正确|真棒", re.I
)
_DOUBT = re.compile(
    r"\b(?:but|however|not quite|actually|instead|mistake|error|incorrect|wrong|check|careful|sure)\b|但|不过|其实|错|检查",
    re.I,
)
_TASK = re.compile(
    r"\b(?:try|let's|can you|could you|what|how|which|why|think|calculate|find|look|tell)\b|试|想一想|看看|哪|什么|怎么",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Example:
    """A reply in its dialogue. `labels`: value by criterion; `group`: what may not be split (a problem)."""

    history: str
    student: str
    reply: str
    gold: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)
    group: str = ""


def surface(one: Example) -> list[float]:
    """Seven numbers of the reply alone: length, words, question marks, sentences, digits, exclamations, commas."""
    text = one.reply
    words = _WORD.findall(text)
    marks = [len(re.findall(pattern, text)) for pattern in (r"[?？]", r"[.!?。！？]", r"\d", r"[!！]", r"[,，]")]
    return [float(np.log1p(len(text))), float(np.log1p(len(words))), *map(float, marks)]


def relation(one: Example) -> list[float]:
    """How the reply lies to what was said and to the right answer: shares of its words and numbers that occur there."""
    reply, student = _words(one.reply), _words(one.student)
    history, gold = _words(one.history), _words(one.gold)
    numbers, said = set(_NUMBER.findall(one.reply)), set(_NUMBER.findall(one.history))
    asked = set(_NUMBER.findall(one.student))
    right = set(_NUMBER.findall(one.gold)) - said
    last = _NUMBER.findall(one.gold)[-1:]
    shares = [_share(reply, student), _share(student, reply), _share(reply, history), _share(reply, gold - history)]
    found = [_share(numbers, asked), _share(numbers, said), _share(numbers, right), float(bool(numbers & set(last)))]
    words = [float(bool(pattern.search(one.reply))) for pattern in (_PRAISE, _DOUBT, _TASK)]
    early = [float(bool(pattern.search(one.reply[:60]))) for pattern in (_PRAISE, _DOUBT)]
    ends = [float(one.reply.rstrip().endswith(("?", "？"))), float(bool(numbers)), float(len(numbers - said))]
    return [*shares, *found, *words, *early, *ends]


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _share(some: set[str], whole: set[str]) -> float:
    return len(some & whole) / len(some) if some else 0.0


@dataclass(slots=True)
class Head:
    """One criterion's classifier: values it can give, weights (values x features), and how sure it must be."""

    values: list[float]
    weights: Floats
    offset: Floats
    threshold: float

    def probabilities(self, features: Any) -> Floats:
        """Rows x values."""
        scores = np.asarray(features @ self.weights.T) + self.offset
        scores = np.exp(scores - scores.max(1, keepdims=True))
        probabilities: Floats = scores / scores.sum(1, keepdims=True)
        return probabilities


class Features:
    """Text to numbers. Learned from training texts by `fit`; `state` is all that `restore` needs."""

    def __init__(self, encoder: str | None = None) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.encoder = encoder
        settings: dict[str, Any] = {
            "sublinear_tf": True,
            "min_df": 2,
            "token_pattern": _WORD.pattern,
            "lowercase": True,
        }
        self.parts = {
            "words": TfidfVectorizer(ngram_range=(1, 2), **settings),
            "letters": TfidfVectorizer(
                analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3, max_features=20_000
            ),
            "student": TfidfVectorizer(ngram_range=(1, 1), **settings),
        }
        self.centre, self.spread = np.zeros(0), np.ones(0)

    def fit(self, examples: Sequence[Example]) -> Any:
        texts = _texts(examples)
        sparse = [part.fit_transform(texts[name]) for name, part in self.parts.items()]
        dense = self._dense(examples)
        self.centre, self.spread = dense.mean(0), np.where(dense.std(0) > 0, dense.std(0), 1.0)
        return self._joined(sparse, dense)

    def transform(self, examples: Sequence[Example]) -> Any:
        texts = _texts(examples)
        return self._joined([part.transform(texts[name]) for name, part in self.parts.items()], self._dense(examples))

    def _joined(self, sparse: Sequence[Any], dense: Floats) -> Any:
        from scipy.sparse import csr_matrix, hstack

        scaled = np.clip((dense - self.centre) / self.spread, -5, 5)
        weights = {"words": 1.0, "letters": 1.0, "student": 0.5}
        return hstack(
            [*(part * weights[name] for name, part in zip(self.parts, sparse)), csr_matrix(0.3 * scaled)]
        ).tocsr()

    def _dense(self, examples: Sequence[Example]) -> Floats:
        rows = np.array([[*surface(one), *relation(one)] for one in examples], dtype=np.float64)
        if self.encoder is None:
            return rows
        from harness.models.encoder import encoder

        encode = encoder(Path(self.encoder))
        reply, student = (
            encode([text or " " for text in some])
            for some in ([e.reply for e in examples], [e.student for e in examples])
        )
        return np.hstack([rows, reply, student, (reply * student).sum(1, keepdims=True)])

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """(what JSON holds, arrays)."""
        words = {
            name: [str(word) for word, _ in sorted(part.vocabulary_.items(), key=lambda one: one[1])]
            for name, part in self.parts.items()
        }
        arrays = {f"idf_{name}": np.asarray(part.idf_) for name, part in self.parts.items()}
        return {"vocabulary": words}, {**arrays, "centre": self.centre, "spread": self.spread}

    @classmethod
    def restore(cls, known: Mapping[str, Any], arrays: Mapping[str, Floats], encoder: str | None) -> Features:
        made = cls(encoder)
        for name, part in made.parts.items():
            part.vocabulary = known["vocabulary"][name]
            part._validate_vocabulary()
            part.idf_ = arrays[f"idf_{name}"]
        made.centre, made.spread = arrays["centre"], arrays["spread"]
        return made


def _texts(examples: Sequence[Example]) -> dict[str, list[str]]:
    replies = [one.reply for one in examples]
    return {"words": replies, "letters": replies, "student": [one.student for one in examples]}


@dataclass(slots=True)
class Learned:
    """A trained classifier of several criteria over the same features."""

    name: str
    features: Features
    heads: dict[str, Head]

    def probabilities(self, examples: Sequence[Example]) -> dict[str, Floats]:
        """By criterion, examples x the head's values."""
        made = self.features.transform(examples)
        return {name: head.probabilities(made) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        """Write `model.json` and `weights.npz`. UsageError if there is a model already."""
        if (folder / "model.json").exists():
            raise UsageError(f"{folder} holds a model already. Choose another folder; nothing was changed.")
        folder.mkdir(parents=True, exist_ok=True)
        known, arrays = self.features.state()
        heads = {name: {"values": head.values, "threshold": head.threshold} for name, head in self.heads.items()}
        for name, head in self.heads.items():
            arrays |= {f"weights_{name}": head.weights, f"offset_{name}": head.offset}
        np.savez_compressed(folder / "weights.npz", allow_pickle=False, **arrays)  # type: ignore[arg-type]
        text = json.dumps({"name": self.name, "heads": heads, **known}, ensure_ascii=False)
        (folder / "model.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, encoder: str | None = None) -> Learned:
        """The classifier of a folder. Raises EnvironmentProblem for what is none."""
        try:
            known = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            with np.load(folder / "weights.npz", allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            heads = {
                name: Head(one["values"], arrays[f"weights_{name}"], arrays[f"offset_{name}"], one["threshold"])
                for name, one in known["heads"].items()
            }
            return cls(known["name"], Features.restore(known, arrays, encoder), heads)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentProblem(f"{folder} holds no learned scorer ({type(error).__name__}: {error}).") from error


def train(examples: Sequence[Example], name: str, encoder: str | None = None, seed: int = 0) -> Learned:
    """A classifier of every criterion that the examples are labelled on.

    Regularisation, temperature and the threshold of abstention are chosen by cross-validation over groups. UsageError
    for fewer groups than folds, or a criterion with one value only.
    """
    if len({one.group for one in examples}) < FOLDS:
        raise UsageError(f"a learned scorer needs labels on at least {FOLDS} problems.")
    criteria = sorted({criterion for one in examples for criterion in one.labels})
    chosen = {criterion: _choose(examples, criterion, encoder, seed) for criterion in criteria}
    features = Features(encoder)
    made = features.fit(examples)
    heads = {}
    for criterion, (strength, temperature, threshold) in chosen.items():
        rows = [number for number, one in enumerate(examples) if criterion in one.labels]
        values, weights, offset = _fit(made[rows], [examples[number].labels[criterion] for number in rows], strength)
        heads[criterion] = Head(values, weights / temperature, offset / temperature, threshold)
    return Learned(name, features, heads)


def _choose(examples: Sequence[Example], criterion: str, encoder: str | None, seed: int) -> tuple[float, float, float]:
    """(strength, temperature, threshold of confidence) for one criterion, from predictions on held-out groups."""
    from sklearn.model_selection import GroupKFold

    ours = [one for one in examples if criterion in one.labels]
    truth = np.array([one.labels[criterion] for one in ours])
    values = sorted(set(truth))
    if len(values) < 2:
        raise UsageError(f"all labels of {criterion} are {values}: there is nothing to learn.")
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(ours, groups=[one.group for one in ours]))
    logits = {strength: np.full((len(ours), len(values)), -20.0) for strength in STRENGTHS}
    for inner, held in folds:
        features = Features(encoder)
        made, other = features.fit([ours[i] for i in inner]), features.transform([ours[i] for i in held])
        for strength in STRENGTHS:
            seen, weights, offset = _fit(made, list(truth[inner]), strength)
            columns = [values.index(value) for value in seen]
            logits[strength][np.ix_(held, columns)] = np.asarray(other @ weights.T) + offset
    codes = np.array([values.index(value) for value in truth])
    temperatures = np.geomspace(0.3, 3.0, 21)
    loss = {(s, t): _log_loss(found / t, codes) for s, found in logits.items() for t in temperatures}
    strength, temperature = min(loss, key=lambda one: loss[one])
    return strength, float(temperature), _threshold(_softmax(logits[strength] / temperature), codes)


def _threshold(probabilities: Floats, codes: NDArray[np.intp]) -> float:
    """The lowest confidence from which on verdicts are right in `CONFIDENT` of the cases; 0 if all of them are."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == codes
    order = np.argsort(-sure)
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= CONFIDENT)
    if len(good) == 0:
        return 1.01
    return 0.0 if good[-1] == len(order) - 1 else float(sure[order[good[-1]]])


def _fit(made: Any, labels: Sequence[float], strength: float) -> tuple[list[float], Floats, Floats]:
    """(values, weights of values x features, offsets). Rare labels weigh as much as the square root of their share."""
    from sklearn.linear_model import LogisticRegression

    values, counts = np.unique(labels, return_counts=True)
    share = counts / counts.sum()
    weight = {value: float(np.sqrt(1 / (len(values) * part))) for value, part in zip(values, share)}
    model = LogisticRegression(C=strength * 10, class_weight=weight, max_iter=2000)
    model.fit(made, labels)
    weights, offset = model.coef_, model.intercept_
    if len(values) == 2:  # one row of weights stands for the second value
        weights, offset = np.vstack([-weights / 2, weights / 2]), np.concatenate([-offset / 2, offset / 2])
    return [float(value) for value in values], weights, offset


def _softmax(logits: Floats) -> Floats:
    scores = np.exp(logits - logits.max(1, keepdims=True))
    found: Floats = scores / scores.sum(1, keepdims=True)
    return found


def _log_loss(logits: Floats, codes: NDArray[np.intp]) -> float:
    return float(-np.log(np.maximum(_softmax(logits)[np.arange(len(codes)), codes], 1e-9)).mean())


class LearnedScorer:
    """Verdicts of a trained folder as scores: the likeliest value, or unscored below the threshold ("abstains")."""

    def __init__(self, folder: str, encoder: str | None = None) -> None:
        path = Path(folder)
        self._model = Learned.load(path, encoder)
        known = digest([file_digest(path / "model.json"), file_digest(path / "weights.npz")])
        self.source = f"learned/{slug(self._model.name)}@{known[:8]}"
        self.criteria = tuple(self._model.heads)

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterator[Score]:
        if not responses:
            return
        found = self._model.probabilities([of_item(items[one.item], one.text) for one in responses])
        for number, response in enumerate(responses):
            for criterion, head in self._model.heads.items():
                row = found[criterion][number]
                sure = float(row.max())
                evidence = {str(value): round(float(p), 4) for value, p in zip(head.values, row)}
                given = sure >= head.threshold
                value = head.values[int(row.argmax())] if given else None
                reason = "" if given else f"abstains: {sure:.2f} sure"
                yield Score(response.item, response.sample, criterion, self.source, value, reason, evidence)


def of_item(item: Item, reply: str) -> Example:
    """A reply to an item as the classifier sees it. The right answer is the item's answer and its key points."""
    points = item.key_points
    gold = " ".join([item.answer, points.diagnosis, points.location, *points.next_steps])
    return Example("\n".join(turn.content for turn in item.messages), item.messages[-1].content, reply, gold)
