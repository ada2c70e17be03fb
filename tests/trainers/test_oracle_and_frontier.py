"""Who learnt from the gold score, how far a policy moved, and the best of n: what experiments read off checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import read_jsonl, write_items

from harness import models, preferences
from harness import task as loader
from harness.errors import UsageError
from harness.models import checkpoint
from harness.simulator.items import build
from harness.types import Decoding, Request, Response
from trainers import dpo, drift, reward
from trainers.rewards import RewardModel, is_oracle

TASK = "ds-trace-demo-validation"


@pytest.fixture(scope="module")
def world(_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A DPO policy and a reward model by noisy labels, and the same by the gold score's own."""
    folder = tmp_path_factory.mktemp("frontier")
    task = loader.load(TASK)
    noisy = list(preferences.teacher_pairs(loader.exercises(TASK, "train", 8, 3), task, preferences.Rater()))
    gold = list(preferences.relabelled(noisy, preferences.Rater(temperature=0, flips=0)))
    found = SimpleNamespace(base=_tiny, folder=folder)
    for labels, rows in (("noisy", noisy), ("gold", gold)):
        write_items(folder / f"{labels}.jsonl", rows)
        for name, stage in (("dpo", dpo), ("reward", reward)):
            output = folder / f"{name}-{labels}"
            given = {"base": str(_tiny), "data": str(folder / f"{labels}.jsonl"), "output": str(output)}
            spec = folder / f"{name}-{labels}.json"
            spec.write_text(json.dumps({**given, "steps": 2, "batch_size": 4, "learning_rate": 0.02}))
            stage.run(spec)
            setattr(found, f"{name}_{labels}", output / "checkpoint")
    return found


def test_relabelled_pairs_are_the_same_texts_by_a_rater_that_does_not_err(world: SimpleNamespace) -> None:
    noisy, gold = (read_jsonl(world.folder / f"{name}.jsonl") for name in ("noisy", "gold"))
    assert all(row["chance"] == 1 and row["gold"][0] > row["gold"][1] for row in gold)
    assert not any(row["chance"] == 1 for row in noisy)
    texts = {(str(row["prompt"]), *sorted((row["chosen"], row["rejected"]))) for row in noisy}
    assert {(str(row["prompt"]), *sorted((row["chosen"], row["rejected"]))) for row in gold} <= texts


def test_what_learnt_the_gold_scores_labels_is_marked(world: SimpleNamespace) -> None:
    assert checkpoint.is_oracle(world.dpo_gold)
    assert is_oracle(str(world.reward_gold))
    assert not checkpoint.is_oracle(world.dpo_noisy)
    assert not is_oracle(str(world.reward_noisy))


def measured(world: SimpleNamespace, policy: Path, output: str) -> dict[str, Any]:
    spec = world.folder / f"{output}.json"
    given = {"base": str(world.base), "policy": str(policy), "validation": TASK, "output": str(world.folder / output)}
    spec.write_text(json.dumps({**given, "validation_items": 3, "max_new_tokens": 8}))
    drift.run(spec)
    (row,) = (row for row in read_jsonl(world.folder / output / "events.jsonl") if row["phase"] == "validation")
    return row


def test_drift_is_the_exact_kl_of_the_policys_own_answers(world: SimpleNamespace) -> None:
    row = measured(world, world.dpo_noisy, "drift")
    assert (row["phase"], row["n"]) == ("validation", 6)
    assert row["reference_kl"] > 0
    assert 0 <= row["gold"] <= 1
    same = measured(world, untouched(world), "drift-none")
    assert same["reference_kl"] == pytest.approx(0, abs=1e-6)


def untouched(world: SimpleNamespace) -> Path:
    """The policy's adapter with its second matrices at 0: it changes nothing."""
    from safetensors.torch import load_file, save_file

    folder = Path(world.folder / "untouched")
    folder.mkdir()
    for path in world.dpo_noisy.iterdir():
        if path.suffix == ".safetensors":
            weights = load_file(path)
            save_file({k: torch.zeros_like(v) if "lora_B" in k else v for k, v in weights.items()}, folder / path.name)
        else:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_drift_needs_an_adapter(world: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match="no adapter"):
        measured(world, world.base, "drift-base")


def test_the_best_of_n_is_what_the_reward_model_scores_highest(world: SimpleNamespace) -> None:
    from trainers.best_of import open_model

    items = list(build(loader.exercises(TASK, "validation", 2, 5)))
    requests = [Request(item, sample, item.messages) for item in items for sample in (0, 1)]
    decoding = Decoding(max_new_tokens=6, seed=4)
    best = {
        (one.item, one.sample): one
        for one in open_model(f"4/{world.reward_noisy}", models.Options()).generate(requests, decoding)
    }
    assert set(best) == {(one.item.id, one.sample) for one in requests}
    policy = models.open_model(f"hf/{world.base}", models.Options())
    judge = RewardModel(world.reward_noisy)
    for request in requests:
        tries = [Request(request.item, request.sample * 4 + number, request.messages) for number in range(4)]
        drawn = list(policy.generate(tries, Decoding(max_new_tokens=6, seed=4, temperature=1.0)))
        texts = {one.text: score(judge, policy, request, one) for one in drawn if isinstance(one, Response)}
        assert len(texts) > 1, "one text only would prove nothing"
        assert texts[best[request.item.id, request.sample].text] == max(texts.values())


def score(judge: RewardModel, policy: Any, request: Request, answer: Response) -> float:
    end = [judge.tokenizer.eos_token_id] if answer.finish_reason == "stop" else []
    ids = judge.tokenizer(answer.text, add_special_tokens=False)["input_ids"]
    (found,) = judge.scores([[*policy.tokens(request.messages), *ids, *end]])
    return found


def test_best_of_n_is_another_system_than_its_policy_and_marked_like_its_reward(world: SimpleNamespace) -> None:
    from trainers.best_of import open_model

    fair, oracle = (
        open_model(f"2/{one}", models.Options()).identity() for one in (world.reward_noisy, world.reward_gold)
    )
    assert "oracle" not in fair
    assert oracle["oracle"] is True
    assert fair != open_model(f"3/{world.reward_noisy}", models.Options()).identity()


@pytest.mark.parametrize("name", ["4", "1/x", "few/x"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    from trainers.best_of import open_model

    with pytest.raises(UsageError, match="best-of/N/FOLDER"):
        open_model(name, models.Options())
