"""The learned scorer: it learns what labels show, says the same after saving, abstains where it cannot know."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Runs, item_row, make_task

from harness import calibration, record, scorers
from harness import task as tasks
from harness.digest import text_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.scorers.learned import Example, Learned, of_item, train

Cli = Callable[..., Any]
NOUNS = ["stack", "queue", "heap", "tree", "list", "graph", "array", "table"]


def examples(noise: float = 0.0, groups: int = 20, seed: int = 0) -> list[Example]:
    """D5 is 2 for a reply that sets a task, 1 for one that asks anything, 0 for praise; D1 is what `noise` makes of it."""
    rng = random.Random(seed)
    found = []
    for group in range(groups):
        noun = rng.choice(NOUNS)
        for value, text in (
            (2.0, f"Trace the {noun} once more and write down each step."),
            (1.0, f"What do you think about the {noun}?"),
            (0.0, f"Well done, you have worked hard on the {noun}."),
        ):
            shown = rng.choice([0.0, 1.0, 2.0]) if rng.random() < noise else value
            found.append(
                Example("Tutor: hi", f"My {noun}", text, "5", {"D5": shown, "D1": float(value > 0)}, str(group))
            )
    return found


def test_learns_what_the_labels_show() -> None:
    model = train(examples(), "toy")
    others = examples(seed=1)
    said = model.probabilities(others)["D5"].argmax(1)
    assert (np.array(model.heads["D5"].values)[said] == [one.labels["D5"] for one in others]).mean() > 0.95
    assert model.heads["D5"].threshold < 1
    assert np.allclose(model.probabilities(others)["D1"].sum(1), 1)


def test_after_saving_it_says_the_same(tmp_path: Path) -> None:
    model = train(examples(), "toy")
    model.save(tmp_path / "toy")
    again = Learned.load(tmp_path / "toy")
    others = examples(seed=2)
    for name, found in model.probabilities(others).items():
        np.testing.assert_array_equal(again.probabilities(others)[name], found)
    with pytest.raises(UsageError, match="holds a model already"):
        model.save(tmp_path / "toy")


def test_labels_of_chance_make_it_abstain() -> None:
    """No verdict is right in four of five cases where labels are thrown, so none is given."""
    model = train(examples(noise=1.0), "noise")
    sure = model.probabilities(examples(seed=3))["D5"].max(1)
    assert (sure < model.heads["D5"].threshold).mean() > 0.9


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no learned scorer"):
        Learned.load(tmp_path)
    model = train(examples(groups=8), "toy")
    model.save(tmp_path / "toy")
    with np.load(tmp_path / "toy" / "weights.npz") as stored:
        pickled = {name: np.array([Runs(tmp_path / "ran")], dtype=object) for name in stored}
    np.savez(tmp_path / "toy" / "weights.npz", **pickled)
    with pytest.raises(EnvironmentProblem, match="no learned scorer"):
        Learned.load(tmp_path / "toy")
    assert not (tmp_path / "ran").exists()


def test_too_little_to_learn_from() -> None:
    with pytest.raises(UsageError, match="at least 4 problems"):
        train(examples(groups=3), "few")
    with pytest.raises(UsageError, match="nothing to learn"):
        train([replace(one, labels={"D1": 1.0}) for one in examples()], "same")


def test_learn_from_votes_and_score(cli: Cli, tmp_path: Path, runs: Path) -> None:
    """Votes in a run of validation items → a classifier → scores, with abstentions unscored and a reason."""
    rows = [
        item_row(
            number,
            split="validation",
            cluster=f"c{number // 2}",
            references=[f"Trace step {number} once more." if number % 3 else f"Well done with {number}!"],
        )
        for number in range(24)
    ]
    task = make_task(tmp_path / "task", rows)
    assert cli("run", "-t", task, "-m", "control/reference", "--runs", runs, "--name", "one").code == 0
    run = record.Run(runs / "one")
    votes = [
        {
            "item": one.item,
            "sample": one.sample,
            "criterion": "D5",
            "source": "human/test",
            "value": 2.0 if "Trace" in one.text else 0.0,
            "reason": "",
            "evidence": {"text": text_digest(one.text), "votes": 1},
        }
        for one in run.responses()
    ]
    (runs / "one" / "people.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes), encoding="utf-8")
    out = tmp_path / "mine"
    found = cli("judge", "learn", out, "--task", task, "--runs", runs)
    assert found.code == 0, found.err
    assert "24 replies" in found.err
    scored = cli("score", "one", "--task", task, "--runs", runs, "--scorer", f"learned:folder={out}")
    assert scored.code == 0, scored.err
    scores = [one for one in record.Run(runs / "one").scores() if one.source.startswith("learned/mine@")]
    assert len(scores) == 24
    truth = {vote["item"]: vote["value"] for vote in votes}
    given = [one for one in scores if one.value is not None]
    assert len(given) > 12
    assert all(one.value == truth[one.item] for one in given)
    assert all(one.reason.startswith("abstains") for one in scores if one.value is None)
    assert all(set(one.evidence) == {"0.0", "2.0"} for one in scores)


def test_test_items_never_train(cli: Cli, tmp_path: Path, runs: Path) -> None:
    task = make_task(tmp_path / "task")
    assert cli("run", "-t", task, "-m", "control/reference", "--runs", runs, "--name", "one").code == 0
    run = record.Run(runs / "one")
    one = run.responses()[0]
    vote = {"item": one.item, "sample": 0, "criterion": "D5", "source": "human/test", "value": 2.0, "reason": ""}
    vote["evidence"] = {"text": text_digest(one.text), "votes": 1}
    (runs / "one" / "people.jsonl").write_text(json.dumps(vote) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match="Test items never train"):
        calibration.examples(tasks.load(str(task)), [run])
    found = cli("judge", "learn", tmp_path / "mine", "--task", task, "--runs", runs)
    assert (found.code, (tmp_path / "mine").exists()) == (2, False)


def test_nothing_to_learn_from(cli: Cli, tmp_path: Path, runs: Path) -> None:
    runs.mkdir()
    found = cli("judge", "learn", tmp_path / "mine", "--task", make_task(tmp_path / "task"), "--runs", runs)
    assert found.code == 2
    assert "no labels to learn from" in found.err


def test_encoder_adds_meaning(tiny: Path, tmp_path: Path) -> None:
    """With a local encoder the features hold its vectors, and loading without it is another scorer."""
    model = train(examples(groups=8), "toy", encoder=str(tiny))
    plain = train(examples(groups=8), "toy")
    width = model.heads["D5"].weights.shape[1] - plain.heads["D5"].weights.shape[1]
    assert width == 2 * 32 + 1
    model.save(tmp_path / "toy")
    source = scorers.open_scorer({"name": "learned", "folder": str(tmp_path / "toy"), "encoder": str(tiny)})
    assert source.criteria == ("D1", "D5")
    item = tasks.load("ds-trace-demo").items[0]
    assert of_item(item, "x").reply == "x"
