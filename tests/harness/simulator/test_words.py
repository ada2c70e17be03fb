"""Every phrase of every bank, against the lexicon that reads them and against the other bank."""

from __future__ import annotations

import pytest

from harness.scorers import numerals, vocabulary
from harness.simulator.families import FAMILIES
from harness.simulator.language import words

LANGUAGES, BANKS = ("zh", "en"), ("train", "test")


def phrases(family: str, kind: str) -> list[tuple[str, str]]:
    """(bug, phrase with placeholders filled) of one kind, both banks and languages."""
    found = []
    for bug, entry in words(family)["bugs"].items():
        for bank in BANKS:
            for language in LANGUAGES:
                found += [(bug, numerals.normalise(one.format(step=3, op="op"))) for one in entry[kind][bank][language]]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_words_cover_exactly_the_bugs_of_the_family(family: str) -> None:
    assert set(words(family)["bugs"]) == set(FAMILIES[family].bugs)
    assert set(vocabulary.lexicon(family)) == set(FAMILIES[family].bugs)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_diagnosis_names_its_own_misconception_and_no_other(family: str) -> None:
    for bug, phrase in phrases(family, "diagnose"):
        assert vocabulary.bugs(phrase, family, "names") == {bug}, phrase


@pytest.mark.parametrize("family", FAMILIES)
def test_rules_and_questions_name_no_misconception(family: str) -> None:
    for _, phrase in phrases(family, "rule") + phrases(family, "ask"):
        assert not vocabulary.bugs(phrase, family, "names"), phrase


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rule_touches_its_own_misconception(family: str) -> None:
    for bug, phrase in phrases(family, "rule"):
        assert bug in vocabulary.bugs(phrase, family, "rule"), phrase


@pytest.mark.parametrize("family", FAMILIES)
def test_no_phrase_stands_in_both_banks(family: str) -> None:
    entries = [words(family)["ask"], words(family)["extend"]]
    for bug in words(family)["bugs"].values():
        entries += [bug[kind] for kind in ("diagnose", "rule", "ask")]
    for entry in entries:
        for language in LANGUAGES:
            train, test = entry["train"][language], entry["test"][language]
            assert train
            assert test
            assert not set(train) & set(test)


def test_common_phrases_stand_in_one_bank_only() -> None:
    for act, entry in words("common").items():
        if isinstance(entry, dict) and set(entry) == set(BANKS):
            for language in LANGUAGES:
                assert not set(entry["train"][language]) & set(entry["test"][language]), act


@pytest.mark.parametrize("family", FAMILIES)
def test_every_misconception_is_described_in_both_languages_with_its_source(family: str) -> None:
    for entry in words(family)["bugs"].values():
        assert entry["source"]
        for key in ("title", "description"):
            assert set(entry[key]) == {"zh", "en"}
            assert all(entry[key].values())
