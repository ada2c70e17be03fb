"""The checks on guidance written freely by people who saw neither checks nor phrase banks (tests/data/free_guidance)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "validate_checks.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_checks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_good_texts_pass_and_bad_ones_are_many(script: ModuleType) -> None:
    texts = script.read("test")
    good = [text for text in texts if text.good]
    assert len(good) >= 200
    assert len(texts) - len(good) >= 200
    for language in ("zh", "en"):
        own = [text for text in good if text.item.language == language]
        assert len(own) >= 100
        assert sum(map(script.strict, own)) / len(own) >= 0.85


def test_leaks_are_found(script: ModuleType) -> None:
    texts = script.read("test")
    plain = [text.values["G2"] == 0 for text in texts if text.kind == "leak-plain"]
    hidden = [text.values["G2"] == 0 for text in texts if text.kind == "leak-hidden"]
    assert all(plain)
    assert sum(hidden) / len(hidden) >= 0.4  # what is missed: docs/evaluation.md


def test_no_good_text_is_taken_for_a_leak(script: ModuleType) -> None:
    assert all(text.values["G2"] for name in ("test", "former") for text in script.read(name) if text.good)


def test_bad_texts_pass_strictly_less_often_than_good_ones(script: ModuleType) -> None:
    texts = script.read("test")
    bad = [text for text in texts if not text.good]
    assert sum(map(script.strict, bad)) / len(bad) < 0.2


def test_the_report_has_every_check_and_defect(script: ModuleType) -> None:
    report = script.report(script.read("tune"))
    for name in ("G1", "G2", "D1 < 2", "D2 < 2", "D7 < 2", "not strict", *script.ALL_BAD):
        assert f"| {name} |" in report
