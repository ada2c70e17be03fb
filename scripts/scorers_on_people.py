"""Scorers against people, on public data by path: experiments E1 to E4 of docs/evaluation.md, as Markdown.

    python scripts/scorers_on_people.py ../shared/data [E1 E2 E3 E4]

Every baseline is recomputed on the same rows. Cross-validation is grouped by problem; what a scorer chooses
(regularisation, temperature, threshold), it chooses inside its training folds. E1 and E2 take minutes each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from harness.calibration.measure import macro_f1
from harness.calibration.public import VALUES, HumanLabelled, example, read
from harness.scorers.learned import Example, relation, surface, train
from harness.stats.intervals import wilson

NAMES = {"D1": "mistake identification", "D2": "mistake location", "D3": "guidance", "D5": "actionability"}
DRAWS = 2000
FOLDS = 5


def with_gold(rows: Sequence[HumanLabelled], others: Sequence[HumanLabelled]) -> list[HumanLabelled]:
    """V3 rows with the gold solution that V2 tells of the same problem, where it does."""
    gold = {one.problem: one.gold for one in others if one.gold}
    return [replace(one, gold=gold.get(one.problem, one.gold)) for one in rows]


def folds(examples: Sequence[Example], seed: int, count: int = FOLDS) -> Iterator[tuple[Any, Any]]:
    yield from GroupKFold(count, shuffle=True, random_state=seed).split(
        examples, groups=[one.group for one in examples]
    )


def baseline(trained: Sequence[Example], held: Sequence[Example], criterion: str, words: bool = True) -> np.ndarray:
    """TF-IDF(1,2) of the reply and seven surface features, logistic regression with balanced classes (reference E1)."""
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    made = [np.array([surface(one) for one in some]) for some in (trained, held)]
    centre, spread = made[0].mean(0), made[0].std(0) + 1e-9
    dense = [csr_matrix((part - centre) / spread) for part in made]
    if words:
        texts = [vectors.fit_transform([one.reply for one in trained]), vectors.transform([one.reply for one in held])]
        dense = [hstack([text, part]).tocsr() for text, part in zip(texts, dense)]
    model = LogisticRegression(max_iter=2000, class_weight="balanced", C=1.0)
    model.fit(dense[0], [one.labels[criterion] for one in trained])
    return np.asarray(model.predict(dense[1]))


def learned(trained: Sequence[Example], held: Sequence[Example]) -> dict[str, np.ndarray]:
    model = train(trained, "people")
    found = model.probabilities(held)
    return {name: np.array(head.values)[found[name].argmax(1)] for name, head in model.heads.items()}


def figures(truth: np.ndarray, guess: np.ndarray) -> str:
    lenient = macro_f1(list(truth > 0), list(guess > 0))
    return f"{macro_f1(list(truth), list(guess)):.3f} | {lenient:.3f} | {kappa(list(truth), list(guess)):.3f}"


def kappa(truth: list[float], guess: list[float]) -> float:
    """Cohen's, plain and fast: the bootstrap asks for it thousands of times."""
    values = sorted(set(truth) | set(guess))
    table = np.zeros((len(values), len(values)))
    np.add.at(table, (np.searchsorted(values, truth), np.searchsorted(values, guess)), 1)
    table /= len(truth)
    chance = float(table.sum(0) @ table.sum(1))
    return (float(np.trace(table)) - chance) / (1 - chance)


def gain(
    measure: Any, truth: np.ndarray, one: np.ndarray, other: np.ndarray, groups: Sequence[str], seed: int = 0
) -> str:
    """A measure of `one` less that of `other`, with limits from resampling problems."""
    names, codes = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(codes == number) for number in range(len(names))]
    rng = np.random.default_rng(seed)

    def difference(chosen: np.ndarray) -> float:
        return float(
            measure(list(truth[chosen]), list(one[chosen])) - measure(list(truth[chosen]), list(other[chosen]))
        )

    draws = [
        difference(np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])) for _ in range(DRAWS)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{difference(np.arange(len(truth))):+.3f} [{low:+.3f}, {high:+.3f}]"


def e1(rows: Sequence[HumanLabelled]) -> None:
    examples = [example(row) for row in rows]
    groups = [one.group for one in examples]
    print(
        f"\n### E1: MRBench V3-dev (part), {len(examples)} replies, {len(set(groups))} problems, {FOLDS}-fold by problem\n"
    )
    print("| dimension | scorer | exact macro-F1 | lenient macro-F1 | kappa |\n| --- | --- | --- | --- | --- |")
    guesses: dict[str, dict[str, np.ndarray]] = {name: {} for name in NAMES}
    for inner, held in folds(examples, 0):
        trained, tested = [examples[i] for i in inner], [examples[i] for i in held]
        found = learned(trained, tested)
        for name in NAMES:
            told = {
                "learned": found[name],
                "TF-IDF": baseline(trained, tested, name),
                "surface": baseline(trained, tested, name, False),
            }
            for scorer, values in told.items():
                guesses[name].setdefault(scorer, np.zeros(len(examples)))[held] = values
    lines = []
    for name, title in NAMES.items():
        truth = np.array([one.labels[name] for one in examples])
        values, counts = np.unique(truth, return_counts=True)
        majority = np.full(len(truth), values[counts.argmax()])
        for scorer, guess in {"majority": majority, **guesses[name]}.items():
            print(f"| {title} | {scorer} | {figures(truth, guess)} |")
        pair = (truth, guesses[name]["learned"], guesses[name]["TF-IDF"], groups)
        lines.append(f"| {title} | {gain(macro_f1, *pair)} | {gain(kappa, *pair)} |")
    print(f"\n| `learned` less TF-IDF, {DRAWS} draws of problems | exact macro-F1 | kappa |\n| --- | --- | --- |")
    print("\n".join(lines))


def e2(rows: Sequence[HumanLabelled]) -> None:
    examples = [example(row) for row in rows]
    tutors = sorted({row.system for row in rows})
    print(f"\n### E2: the same replies, leave one tutor out ({len(tutors)} tutors)\n")
    print(
        "| dimension | scorer | exact macro-F1 | lenient macro-F1 | kappa | Spearman of the share of yes |\n| --- | --- | --- | --- | --- | --- |"
    )
    guesses: dict[str, dict[str, np.ndarray]] = {name: {} for name in NAMES}
    where = np.array([row.system for row in rows])
    for tutor in tutors:
        held = np.flatnonzero(where == tutor)
        trained, tested = [examples[i] for i in np.flatnonzero(where != tutor)], [examples[i] for i in held]
        found = learned(trained, tested)
        for name in NAMES:
            for scorer, values in {"learned": found[name], "TF-IDF": baseline(trained, tested, name)}.items():
                guesses[name].setdefault(scorer, np.zeros(len(examples)))[held] = values
    for name, title in NAMES.items():
        truth = np.array([one.labels[name] for one in examples])
        for scorer, guess in guesses[name].items():
            shares = [[float((values[where == tutor] == 2).mean()) for tutor in tutors] for values in (truth, guess)]
            print(f"| {title} | {scorer} | {figures(truth, guess)} | {spearmanr(*shares).statistic:.2f} |")


WEIGHTS = {
    "Mistake_Identification": 1.0,
    "Mistake_Location": 1.0,
    "Providing_Guidance": 1.0,
    "Actionability": 1.0,
    "Coherence": 1.0,
}
Pair = tuple[Example, Example, str]
"""(the better reply, the worse, the problem)"""


def worth(row: HumanLabelled) -> float:
    """The weighted sum of a reply's labels (reference E3): the five ordered ones, no reveal, half a point each for an
    encouraging tone and a human voice."""
    told = {name: str(label) for name, label in row.labels.items()}
    value = sum(weight * VALUES[told[name]] / 2 for name, weight in WEIGHTS.items())
    value += told["Revealing_of_the_Answer"] == "No"
    return value + 0.5 * (told["Tutor_Tone"] == "Encouraging") + 0.5 * VALUES[told["Humanlikeness"]] / 2


def mrbench_pairs(rows: Sequence[HumanLabelled]) -> list[Pair]:
    """Replies to one context whose worth differs by at least 1."""
    contexts: dict[str, list[HumanLabelled]] = {}
    for row in rows:
        contexts.setdefault(row.id.rsplit("/", 1)[0], []).append(row)
    return [
        (example(a), example(b), a.problem)
        for some in contexts.values()
        for a in some
        for b in some
        if worth(a) - worth(b) >= 1
    ]


class Linear:
    """A Bradley-Terry reward linear in features: logistic regression on the difference of two replies' features."""

    def __init__(self, rich: bool) -> None:
        self.rich = rich
        self.words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        self.letters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), min_df=3, sublinear_tf=True, max_features=20_000
        )

    def features(self, some: Sequence[Example], fit: bool = False) -> Any:
        texts = [one.reply for one in some]
        if fit:
            self.words.fit(texts)
            self.letters.fit(texts)
            self.scale = np.array([self._dense(one) for one in some]).std(0) + 1e-9
        dense = csr_matrix(np.array([self._dense(one) for one in some]) / self.scale)
        parts = [self.words.transform(texts), dense] + (
            [self.letters.transform(texts), 0.5 * dense] if self.rich else []
        )
        return hstack(parts).tocsr()

    def _dense(self, one: Example) -> list[float]:
        return [*surface(one), *relation(one)] if self.rich else surface(one)

    def train(self, pairs: Sequence[Pair]) -> Linear:
        self.features([one for pair in pairs for one in pair[:2]], fit=True)
        gap = self.features([a for a, _, _ in pairs]) - self.features([b for _, b, _ in pairs])
        rng = np.random.default_rng(0)
        sign = rng.choice([-1.0, 1.0], size=len(pairs))
        self.model = LogisticRegression(C=1.0, max_iter=2000, fit_intercept=False).fit(
            gap.multiply(sign[:, None]).tocsr(), sign
        )
        return self

    def right(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Whether the better reply gets the higher reward."""
        gap = self.features([a for a, _, _ in pairs]) - self.features([b for _, b, _ in pairs])
        return np.asarray(self.model.decision_function(gap) > 0)


def e3(v2: Sequence[HumanLabelled], bridge: Sequence[HumanLabelled]) -> None:
    pairs = mrbench_pairs(v2)
    groups = [group for _, _, group in pairs]
    longer = np.array([len(a.reply) > len(b.reply) for a, b, _ in pairs])
    alike = np.array([abs(len(a.reply) - len(b.reply)) <= 0.1 * max(len(a.reply), len(b.reply)) for a, b, _ in pairs])
    print(
        f"\n### E3: {len(pairs)} pairs of MRBench V2 (part), {len(set(groups))} problems, 10 repeats of {FOLDS}-fold by problem\n"
    )
    rows, matched = [], []
    for repeat in range(10):
        right = {rich: np.zeros(len(pairs)) for rich in (False, True)}
        for inner, held in GroupKFold(FOLDS, shuffle=True, random_state=repeat).split(pairs, groups=groups):
            for rich in right:
                right[rich][held] = Linear(rich).train([pairs[i] for i in inner]).right([pairs[i] for i in held])
        rows.append([right[False].mean(), right[True].mean()])
        matched.append([right[False][alike].mean(), right[True][alike].mean()])
    told = np.array(rows), np.array(matched)
    print(
        "| pairs | n | longer wins | TF-IDF | with relations and letters | gain over 10 repeats (min to max) |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, found, n, share in (
        ("all", told[0], len(pairs), longer.mean()),
        ("of one length (10 %)", told[1], int(alike.sum()), longer[alike].mean()),
    ):
        gains = found[:, 1] - found[:, 0]
        print(
            f"| {name} | {n} | {share:.3f} | {found[:, 0].mean():.3f} | {found[:, 1].mean():.3f} | {gains.mean():+.3f} ({gains.min():+.3f} to {gains.max():+.3f}) |"
        )
    seen = {re.sub(r"\W+", "", " ".join(turn.content for turn in row.dialogue)).casefold() for row in v2}
    ids = {row.id.split("/")[0] for row in v2}
    by_id: dict[str, dict[str, HumanLabelled]] = {}
    for row in bridge:
        by_id.setdefault(row.id.rsplit("/", 1)[0], {})[row.system] = row
    fresh = [
        one
        for one in by_id.values()
        if one["Expert"].id.split("/")[0] not in ids
        and re.sub(r"\W+", "", " ".join(t.content for t in one["Expert"].dialogue)).casefold() not in seen
    ]
    transfer = [(example(one["Expert"]), example(one["Novice"]), one["Expert"].problem) for one in fresh]
    for rich, name in ((False, "TF-IDF"), (True, "with relations and letters")):
        hits = Linear(rich).train(pairs).right(transfer)
        found = wilson(int(hits.sum()), len(hits))
        print(
            f"\nTransfer to Bridge, expert above novice, {name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], n {found.n} (contexts used in MRBench left out: {len(by_id) - len(fresh)})."
        )


def e4(v2: Sequence[HumanLabelled]) -> None:
    rows = [row for row in v2 if row.gold and re.search(r"\d", row.gold)]
    print(f"\n### E4: does a reply tell the answer? {len(rows)} replies of MRBench V2 (part) with a gold number\n")
    print("| rule | precision | recall | F1 | kappa |\n| --- | --- | --- | --- | --- |")
    truth = np.array([str(row.labels["Revealing_of_the_Answer"]).startswith("Yes (and") for row in rows])
    number = re.compile(r"\d[\d,]*(?:\.\d+)?")

    def numbers(text: str) -> list[str]:
        return [one.replace(",", "").rstrip(".") for one in number.findall(text)]

    gold = [numbers(row.gold)[-1] for row in rows]
    said = [last in numbers(row.reply) for row, last in zip(rows, gold)]
    fresh = [
        hit and last not in numbers(" ".join(turn.content for turn in row.dialogue))
        for row, last, hit in zip(rows, gold, said)
    ]
    for name, guess in (("the gold number stands in the reply", said), ("and not in the dialogue before", fresh)):
        hits = int(np.sum(truth & np.array(guess)))
        precision, recall = wilson(hits, int(np.sum(guess))), wilson(hits, int(truth.sum()))
        f1 = 2 * hits / (int(np.sum(guess)) + int(truth.sum()))
        print(
            f"| {name} | {precision.value:.2f} [{precision.low:.2f}, {precision.high:.2f}] | {recall.value:.2f} [{recall.low:.2f}, {recall.high:.2f}] | {f1:.2f} | {kappa(list(truth), list(guess)):.2f} |"
        )


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0])
    chosen = arguments[1:] or ["E1", "E2", "E3", "E4"]
    v2 = read(folder / "mrbench" / "MRBench_V2.json")
    v3 = with_gold(read(folder / "mrbench" / "mrbench_v3_devset.json"), v2)
    if "E1" in chosen:
        e1(v3)
    if "E2" in chosen:
        e2(v3)
    if "E3" in chosen:
        e3(v2, read(folder / "bridge" / "train.json"))
    if "E4" in chosen:
        e4(v2)


if __name__ == "__main__":
    main(sys.argv[1:])
