"""Overlap with the item's references: ROUGE-L, chrF and BLEU, each the best over the references, from 0 to 1.

Chinese is compared by characters (ROUGE-L, chrF) or by sacrebleu's zh tokeniser (BLEU): the usual tokenisers drop
Chinese text and score it 0. Overlap says how a text is worded, not whether it teaches; it never ranks a system.
An item without references is unscored; an empty response scores 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.types import Item, Response, Score

_TOKEN = re.compile(r"[㐀-䶿一-鿿豈-﫿぀-ヿ]|[^\W_]+")

Overlap = Callable[[str, Sequence[str], str], float]
"""(text, references, language) to a value from 0 to 1."""


def tokens(text: str) -> list[str]:
    """Lower-case words; every Chinese character is a token of its own."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def rouge_l(text: str, references: Sequence[str], language: str) -> float:
    """ROUGE-L F1 (Lin 2004) over `tokens`: harmonic mean of LCS/len(text) and LCS/len(reference)."""
    from rapidfuzz.distance import LCSseq

    ours = tokens(text)
    best = 0.0
    for reference in references:
        theirs = tokens(reference)
        if ours and theirs:
            best = max(best, 2 * LCSseq.similarity(ours, theirs) / (len(ours) + len(theirs)))
    return best


def chrf(text: str, references: Sequence[str], language: str) -> float:
    """chrF2 (Popović 2015), sacrebleu's defaults, against each reference in turn."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return float(max(metric.sentence_score(text, [reference]).score for reference in references)) / 100


def bleu(text: str, references: Sequence[str], language: str) -> float:
    """Sentence BLEU (Papineni 2002) against all references, sacrebleu with effective order; zh or 13a tokens."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize="zh" if language == "zh" else "13a", effective_order=True)
    return float(metric.sentence_score(text, list(references)).score) / 100


class Reference:
    """One overlap measure as a scorer."""

    def __init__(self, criterion: str, overlap: Overlap) -> None:
        self.source = f"reference/{criterion}@1"
        self.criteria = (criterion,)
        self._overlap = overlap

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterable[Score]:
        criterion = self.criteria[0]
        for response in responses:
            item = items[response.item]
            if not item.references:
                yield Score(item.id, response.sample, criterion, self.source, None, "the item has no references")
                continue
            value = self._overlap(response.text, item.references, item.language) if response.text.strip() else 0.0
            yield Score(item.id, response.sample, criterion, self.source, round(value, 6))


def rouge_l_scorer() -> Reference:
    return Reference("rouge_l", rouge_l)


def chrf_scorer() -> Reference:
    return Reference("chrf", chrf)


def bleu_scorer() -> Reference:
    return Reference("bleu", bleu)
