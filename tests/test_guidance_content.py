"""The authored set: no fault by rule, claims that run, loadable by path, and a checker that sees what is planted."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import paths, task

SCRIPTS = Path(__file__).parents[1] / "scripts"
FOLDER = paths.datasets() / "ds-guidance"


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("check_guidance", SCRIPTS / "check_guidance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(SCRIPTS))
    return module


def test_no_faults(checker: ModuleType) -> None:
    found, short, seen = checker.report(FOLDER)
    for name, value in seen.items():
        print(f"{name}: {value}")
    print("missing:", *short, sep="\n  ")
    assert [fault.what for fault in found] == []


def test_the_task_asks_test_items_only() -> None:
    assert {item.split for item in task.load("ds-guidance").items} == {"test"}


def test_loads_by_path_with_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    whole = datasets.load_dataset(str(FOLDER), cache_dir=str(tmp_path))
    for split in ("train", "validation", "test"):
        rows = [
            json.loads(line) for path in FOLDER.glob(f"items/{split}/*.jsonl") for line in path.open(encoding="utf-8")
        ]
        assert {row["id"] for row in rows} == set(whole[split]["id"])
    pairs = datasets.load_dataset(str(FOLDER), "preferences", cache_dir=str(tmp_path))["train"]
    assert set(pairs["item"]) == set(whole["train"]["id"])


CLAIMS = {
    "1 + 1 == 2": "",
    "import random\nassert random.Random(0).random() < 1": "",
    "assert [1] == [2]": "AssertionError",
    "sorted([2, 1]) == [2, 1]": "not true",
    "x = 1": "asserts nothing",
    "True": "compares nothing",
    "while True:\n    assert 1": "killed",
    "open('/tmp/easyds-claim', 'w').write('x')\nassert True": "PermissionError",
    "import os\nos.system('true')\nassert True": "PermissionError",
    "import socket\nsocket.socket()\nassert True": "PermissionError",
    "x = [0] * 10**10\nassert x": "MemoryError",
    "def f(:": "SyntaxError",
}


def test_claims_that_fail_are_named(checker: ModuleType) -> None:
    found = dict(checker.texts.failing_claims(list(CLAIMS)))
    assert set(found) == {claim for claim, word in CLAIMS.items() if word}
    for claim, what in found.items():
        assert CLAIMS[claim] in what


def _item(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return _line("items/train/graph.jsonl", change)


def _pair(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return _line("preferences/graph.jsonl", change)


def _line(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes the first line of cluster gc-diamond in English."""

    def apply(folder: Path) -> None:
        path = folder / name
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        change(next(row for row in rows if row["cluster"] == "gc-diamond" and row["language"] == "en"))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return apply


def _drop(name: str, cluster: str, language: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [
            line for line in lines if (json.loads(line)["cluster"], json.loads(line)["language"]) != (cluster, language)
        ]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    return apply


def _say(side: str, text: str) -> Callable[[dict[str, Any]], Any]:
    return lambda row: row.update({side: [{"role": "assistant", "content": text}]})


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "unseen in train": (_item(lambda row: row.update(misconception="floyd-loop-order")), "test split only"),
    "no such misconception": (_item(lambda row: row.update(misconception="nonesuch")), "no misconception of"),
    "right student": (_item(lambda row: row.update(misconception=None)), "right-unsure exactly"),
    "other area": (_item(lambda row: row.update(knowledge_point="tree.avl")), "stands in the file"),
    "wrong folder": (_item(lambda row: row.update(split="test")), "split 'test' in"),
    "false claim": (_item(lambda row: row["claims"].append("assert 1 == 2")), "fails: AssertionError"),
    "leak": (
        _item(lambda row: row["references"].append("Report a VERTEX that is  still open, would that help?")),
        "gives away",
    ),
    "foreign reference": (_item(lambda row: row["references"].append("先画图再说，好不好？")), "not in en"),
    "same reference": (_item(lambda row: row["references"].append(row["references"][0])), "references are alike"),
    "chinese key point": (_item(lambda row: row["key_points"]["next_steps"].append("画图")), "not in en"),
    "one turn too many": (_item(lambda row: row["messages"].append(row["messages"][-1])), "alternate"),
    "alone": (_drop("items/train/graph.jsonl", "gc-diamond", "en"), "one zh and one en"),
    "no pairs": (_drop("preferences/graph.jsonl", "gc-diamond", "en"), "pairs are wanted"),
    "odd defect": (_pair(lambda row: row.update(defect="odd")), "defect must be"),
    "not a near miss": (_pair(_say("rejected", "Quite. Another text. With other sentences.")), "near_miss must say"),
    "chosen leaks": (_pair(_say("chosen", "Report a vertex that is still open.")), "chosen side gives away"),
    "other prompt": (_pair(lambda row: row["prompt"].pop()), "not the item's dialogue"),
    "screen without a verdict": (
        _item(lambda row: row["references"].append("Draw the four boxes, one below the other, and mark who waits.")),
        "no question: no reader's verdict",
    ),
    "silent note": (_pair(lambda row: row.update(note=" ")), "note must say"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Only what the planted faults need: the graph files and the two lists."""
    for path in FOLDER.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    for name in ("items/train/graph.jsonl", "preferences/graph.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["cluster"] == "gc-diamond"]
        (tmp_path / name).write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return tmp_path


def test_a_copy_has_no_faults(checker: ModuleType, copy: Path) -> None:
    assert checker.report(copy)[0] == []


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_found(checker: ModuleType, copy: Path, name: str) -> None:
    plant, words = PLANTED[name]
    plant(copy)
    found = [fault.what for fault in checker.report(copy)[0]]
    assert any(words in what for what in found), found


def test_near_duplicate_across_clusters(checker: ModuleType, copy: Path) -> None:
    path = copy / "items" / "test" / "graph.jsonl"
    path.parent.mkdir()
    text = (copy / "items" / "train" / "graph.jsonl").read_text(encoding="utf-8")
    path.write_text(
        text.replace("gc-diamond", "gc-twin").replace('"split": "train"', '"split": "test"'), encoding="utf-8"
    )
    found = [fault.what for fault in checker.report(copy)[0]]
    assert sum("read alike (prompt, 100" in what for what in found) == 2


def test_pairs_that_show_on_the_surface_are_told(checker: ModuleType) -> None:
    """A long rejected side without a question mark is found by the surface, a shuffled one is not."""

    def pairs(tell: bool) -> list[tuple[str, dict[str, Any]]]:
        rows = []
        for number in range(80):
            good, bad = (
                f"Which of the two is taken, {number % 7}?",
                f"The other one of the two is taken, {number % 5}, of course.",
            )
            if not tell and number % 2:
                good, bad = bad, good
            sides = {"chosen": [{"content": good}], "rejected": [{"content": bad}]}
            rows.append(("graph", {"cluster": f"c{number}", "language": "en", "near_miss": True, **sides}))
        return rows

    shows = checker.texts.imbalances(pairs(True), 0.6, 0.65)
    assert [word for word in ("longer", "surface features", "near misses") if any(word in line for line in shows)] == [
        "longer",
        "surface features",
        "near misses",
    ]
    assert checker.texts.imbalances(pairs(False), 0.6, 0.65) == []


def test_detection_names_every_defect_and_what_is_missed(checker: ModuleType) -> None:
    script = SCRIPTS / "guidance_detection.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    rates = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2]
        for line in done.stdout.splitlines()
        if line.startswith("| ")
    }
    assert set(checker.DEFECTS) <= set(rates)
    assert float(rates["wrong-language"].split()[0]) > 0.9 > 0.1 > float(rates["wrong-claim"].split()[0])
    assert "wrong-claim (" in done.stdout.splitlines()[-1]
