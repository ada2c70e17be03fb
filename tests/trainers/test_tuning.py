"""The stages on TRL, end to end on a tiny checkpoint: their contract, exact resume, and what each of them promises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from support import ASKED, SYSTEM, equal_weights, kill_at_a_state, read_jsonl, write_items
from transformers import AutoModelForCausalLM

from harness import models
from harness.errors import EnvironmentProblem, UsageError
from harness.models.checkpoint import folders
from harness.simulator.items import Plan, build
from harness.types import Decoding, Request
from trainers import checkpoint, dpo, reward, rewards, rloo, sft
from trainers import trl as tuning
from trainers.data import Columns, read_pairs, read_prompts
from trainers.stage import Stage, read_spec

STAGES: dict[str, ModuleType] = {"sft": sft, "reward": reward, "dpo": dpo, "rloo": rloo}


@pytest.fixture(scope="module")
def world(_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Data for all stages: conversations, pairs with items, and a reward model made by its stage."""
    folder = tmp_path_factory.mktemp("tuning")
    items = list(build(Plan("train", 6, families=("stack",), difficulties=(1,), register="worked")))
    chats, pairs = [], []
    for number, item in enumerate(items):
        prompt = [
            {"role": "system", "content": SYSTEM[item.language]},
            {"role": "user", "content": ASKED[number % 6][1]},
        ]
        good = item.references[0]
        chats.append({"messages": [*prompt, {"role": "assistant", "content": good}], "difficulty": number % 3})
        bad = f"{item.answer}. {number}"
        pairs.append({"prompt": prompt, "chosen": good, "rejected": bad, "kind": "leak", "item": asdict(item)})
    write_items(folder / "chats.jsonl", chats)
    write_items(folder / "pairs.jsonl", pairs)
    world = SimpleNamespace(base=_tiny, folder=folder)
    world.reward = run(world, "reward", "judge", steps=3).parent / "judge" / "checkpoint"
    return world


def spec(world: SimpleNamespace, name: str, output: str, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "base": str(world.base),
        "data": str(world.folder / ("chats.jsonl" if name == "sft" else "pairs.jsonl")),
        "output": str(world.folder / output),
        "steps": 6,
        "batch_size": 4,
        "learning_rate": 0.01,
        "save_every": 2,
    }
    if name == "rloo":
        settings |= {"reward": str(world.reward), "generations": 2, "max_new_tokens": 8}
    path = world.folder / f"{output}.json"
    path.write_text(json.dumps(settings | changes), encoding="utf-8")
    return path


def run(world: SimpleNamespace, name: str, output: str, **changes: Any) -> Path:
    """Run a stage here; its output folder."""
    STAGES[name].run(spec(world, name, output, **changes))
    return Path(world.folder / output)


def events(folder: Path) -> list[dict[str, Any]]:
    """The updates, without what the machine has a part in."""
    rows = [row for row in read_jsonl(folder / "events.jsonl") if row["phase"] != "alarm"]
    return [{key: value for key, value in row.items() if key not in ("seconds", "memory")} for row in rows]


def weights(folder: Path) -> Path:
    (found,) = (folder / "checkpoint").glob("*model.safetensors")
    return found


@pytest.mark.parametrize("name", list(STAGES))
def test_a_killed_stage_ends_with_the_weights_it_would_have_had(name: str, world: SimpleNamespace) -> None:
    whole = run(world, name, f"{name}-whole")
    path = spec(world, name, f"{name}-killed")
    killed = world.folder / f"{name}-killed"
    kill_at_a_state(STAGES[name].run, path, killed)
    STAGES[name].run(path)
    assert equal_weights(weights(whole), weights(killed))
    assert events(whole) == events(killed)
    assert [row["step"] for row in events(whole)] == [1, 2, 3, 4, 5, 6]
    assert not (whole / "trainer_state").exists()
    assert not (whole / ".trl").exists()


@pytest.mark.parametrize("name", list(STAGES))
def test_a_stage_keeps_the_contract(name: str, world: SimpleNamespace) -> None:
    folder = run(world, name, f"{name}-whole")
    (last,) = [row for row in read_jsonl(folder / "events.jsonl") if row["step"] == 6 and row["phase"] == name]
    assert {"steps", "seconds", "memory", "loss", "learning_rate", "grad_norm", "tokens"} <= set(last)
    result = json.loads((folder / "result.json").read_text())
    assert result["stage"] == name
    assert result["checkpoint_digest"] == checkpoint.checkpoint_digest(str(folder / "checkpoint"))
    assert result["inputs"]["base"] == checkpoint.checkpoint_digest(str(world.base))
    tokens = [row["tokens"] for row in events(folder)]
    assert tokens == sorted(tokens)
    assert tokens[0] > 0


@pytest.mark.parametrize("name", ["sft", "dpo", "rloo"])
def test_the_harness_runs_what_a_stage_made(name: str, world: SimpleNamespace) -> None:
    folder = run(world, name, f"{name}-whole")
    item = next(build(Plan("train", 1, families=("stack",), difficulties=(1,), register="worked")))
    model = models.open_model(f"hf/{folder / 'checkpoint'}", models.Options(batch_size=1))
    model.load()
    (outcome,) = model.generate([Request(item, 0, item.messages)], Decoding(max_new_tokens=4))
    assert outcome.item == item.id
    assert (folders(str(folder / "checkpoint")).adapter is None) == (name == "sft")


def test_the_seed_makes_the_difference(world: SimpleNamespace) -> None:
    first, other = run(world, "sft", "sft-whole"), run(world, "sft", "sft-seed", seed=1)
    assert not equal_weights(weights(first), weights(other))


def test_all_weights_can_be_trained(world: SimpleNamespace) -> None:
    folder = run(world, "sft", "sft-full", lora=None, steps=2)
    assert not (folder / "adapter").exists()
    before = AutoModelForCausalLM.from_pretrained(world.base).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder / "checkpoint").state_dict()
    assert not torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])


def test_a_curriculum_takes_easy_rows_first(world: SimpleNamespace) -> None:
    easy = [row for row in read_jsonl(world.folder / "chats.jsonl") if row["difficulty"] == 0]
    write_items(world.folder / "easy.jsonl", easy)
    data = str(world.folder / "easy.jsonl")
    only = run(world, "sft", "sft-easy", curriculum=True, steps=1, data=data)
    ordered = run(world, "sft", "sft-curriculum", curriculum=True, steps=1)
    assert events(only)[0]["loss"] == events(ordered)[0]["loss"]
    bare = [{key: value for key, value in row.items() if key != "difficulty"} for row in easy]
    path = write_items(world.folder / "bare.jsonl", bare)
    with pytest.raises(UsageError, match=r"row 1 .* has none"):
        run(world, "sft", "sft-bare", curriculum=True, data=str(path))


def test_dpo_begins_at_ln_2_and_trains_just_our_tokens(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(tuning, "train", lambda trainer, *_: [seen.append(trainer)])
    monkeypatch.setattr(checkpoint, "save_policy", _stop)
    with pytest.raises(_Stopped):
        run(world, "dpo", "dpo-tokens")
    loaded = checkpoint.load(str(world.base), None, world.folder / "merged")
    first = read_pairs(world.folder / "pairs.jsonl", loaded, Columns(), 512)[0]
    row = seen[0].train_dataset[0]
    assert (row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) == (
        first.prompt.ids,
        first.chosen,
        first.rejected,
    )
    monkeypatch.undo()
    folder = run(world, "dpo", "dpo-plain", losses=["sigmoid"], steps=2)
    assert events(folder)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert events(folder)[0]["chosen_drift"] == pytest.approx(0, abs=1e-4)


class _Stopped(Exception):
    pass


def _stop(*_: Any, **__: Any) -> None:
    raise _Stopped


def test_dpo_stops_when_its_reference_is_another_model_and_tells_the_drift() -> None:
    settings = dpo.Spec(base="", data="", output="", beta=0.1)
    with pytest.raises(EnvironmentProblem, match="reference is not the model"):
        dpo.watch(settings, 1, {"margin": 0.5, "chosen_reward": 0.0})
    values = {"margin": 0.5, "chosen_reward": -3.0}
    dpo.watch(settings, 9, values)
    assert values["chosen_drift"] == pytest.approx(-30)


def test_a_reward_model_sees_in_training_the_token_at_which_rollouts_end(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(tuning, "train", lambda trainer, *_: [seen.append(trainer)])
    monkeypatch.setattr(checkpoint, "save_reward", _stop)
    with pytest.raises(_Stopped):
        run(world, "reward", "reward-tokens")
    end = seen[0].processing_class.eos_token_id
    for row in seen[0].train_dataset:
        assert row["chosen_ids"][-1] == row["rejected_ids"][-1] == end


def test_rollouts_are_scored_with_the_very_tokens_that_were_generated(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def judge(prompts: Any, completions: Any) -> list[float]:
        asked.extend(zip(prompts, completions))
        return [float(len(completion)) for completion in completions]

    monkeypatch.setattr(rloo, "open_reward", lambda *_: judge)
    folder = run(world, "rloo", "rloo-tokens", steps=3, max_new_tokens=60, learning_rate=1e-4)
    loaded = checkpoint.load(str(world.base), None, world.folder / "merged")
    known = {tuple(one.ids) for one in read_prompts(world.folder / "pairs.jsonl", loaded, Columns(), 512)}
    assert len(asked) == 12
    assert {tuple(prompt.ids) for prompt, _ in asked} <= known
    ended = [completion for _, completion in asked if len(completion) < 60]
    assert ended
    assert all(completion[-1] == loaded.end for completion in ended)
    assert events(folder)[0]["reward"] == pytest.approx(sum(len(c) for _, c in asked[:4]) / 4)
    assert events(folder)[0]["reference_kl_per_token"] == pytest.approx(0, abs=1e-6)


def test_the_gold_score_is_a_reward_for_rows_with_their_item(world: SimpleNamespace) -> None:
    loaded = checkpoint.load(str(world.base), None, world.folder / "merged")
    pairs = read_pairs(world.folder / "pairs.jsonl", loaded, Columns(), 512)
    gold = rewards.open_reward("gold", loaded.tokenizer)
    values = gold([one.prompt for one in pairs] * 2, [one.chosen for one in pairs] + [one.rejected for one in pairs])
    assert min(values[: len(pairs)]) > 0.6
    assert max(values[len(pairs) :]) < 0.3
    path = write_items(world.folder / "no-item.jsonl", [{"prompt": "a?"}])
    with pytest.raises(UsageError, match="needs the item's facts"):
        gold(read_prompts(path, loaded, Columns(), 512), [[3]])


def test_held_out_pairs_are_told_by_kind_and_share_no_prompt(world: SimpleNamespace) -> None:
    loaded = checkpoint.load(str(world.base), None, world.folder / "merged")
    pairs = read_pairs(world.folder / "pairs.jsonl", loaded, Columns(), 512)
    training, held = reward.split(pairs, 0.3)
    assert len(training) + len(held) == len(pairs)
    assert not {tuple(one.prompt.ids) for one in training} & {tuple(one.prompt.ids) for one in held}
    told = json.loads((world.folder / "judge" / "result.json").read_text())["held_out"]
    assert told["by_kind"]["leak"]["n"] == told["n"] >= 1
    assert sum(one["n"] for one in told["bins"]) == told["n"]
    assert 0 <= told["brier"] <= 1


def test_calibration_against_a_hand_count() -> None:
    judge = SimpleNamespace(scores=lambda rows: [float(row[0]) for row in rows])
    prompt = SimpleNamespace(ids=[])
    pairs = [
        SimpleNamespace(prompt=prompt, chosen=[a], rejected=[b], kind=kind) for a, b, kind in [(2, 0, "x"), (0, 1, "y")]
    ]
    told = reward.report(judge, pairs)  # type: ignore[arg-type]
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    assert (told["accuracy"], told["by_kind"]["y"]) == (0.5, {"accuracy": 0.0, "n": 1})
    assert told["brier"] == pytest.approx(((1 - p) ** 2 + (1 - q) ** 2) / 2)
    assert told["log_loss"] == pytest.approx(-(math.log(p) + math.log(q)) / 2)
    assert told["bins"] == [
        {"confidence": pytest.approx(1 - q), "accuracy": 0.0, "n": 1},
        {"confidence": pytest.approx(p), "accuracy": 1.0, "n": 1},
    ]


Change = Callable[[SimpleNamespace], dict[str, Any]]


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("sft", lambda w: {"data": "nowhere.jsonl"}, "data file nowhere.jsonl does not exist"),
        ("sft", lambda w: {"base_digest": "0" * 64}, "has changed since the spec was written"),
        ("sft", lambda w: {"batch_size": 0}, "must be at least 1"),
        ("sft", lambda w: {"max_length": 20}, "line 1: .* tokens, but the context has 20"),
        ("sft", lambda w: {"lora": {"rank": 4}}, "unknown key 'rank'"),
        ("sft", lambda w: {"augment": {"noise": 0.5}}, "unknown augmentation 'noise'"),
        ("dpo", lambda w: {"losses": ["sigmoyd"]}, "unknown loss 'sigmoyd'"),
        ("dpo", lambda w: {"data": str(w.folder / "chats.jsonl")}, "line 1: the column 'chosen' is missing"),
        ("rloo", lambda w: {"generations": 3}, "must be a multiple of 'generations'"),
        ("rloo", lambda w: {"max_new_tokens": 500}, "line 1: .* tokens, but the context has 12"),
    ],
)
def test_a_bad_spec_is_one_sentence(name: str, change: Change, word: str, world: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match=word):
        run(world, name, "bad", **change(world))


def test_a_stage_whose_base_changed_on_the_way_is_refused(world: SimpleNamespace, tiny: Path) -> None:
    path = spec(world, "sft", "moved", base=str(tiny))
    kill_at_a_state(sft.run, path, world.folder / "moved")
    config = tiny / "config.json"
    config.write_text(config.read_text().replace("{", "{ ", 1))
    with pytest.raises(UsageError, match="inputs: base was"):
        sft.run(path)


def test_a_loss_that_is_no_number_ends_the_stage_with_its_state_kept(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Stage.event

    def spoiled(self: Stage, step: int, phase: str, **values: Any) -> None:
        plain(self, step, phase, **(values | {"loss": float("nan")} if step == 5 else values))

    monkeypatch.setattr(Stage, "event", spoiled)
    with pytest.raises(EnvironmentProblem, match="loss became nan at step 5"):
        run(world, "sft", "nan")
    assert (world.folder / "nan" / "trainer_state" / "step-00000004" / "whole.json").exists()
    assert not (world.folder / "nan" / "result.json").exists()


def test_a_real_overflow_is_seen(world: SimpleNamespace) -> None:
    with pytest.raises(EnvironmentProblem, match=r"became (nan|inf) at step"):
        run(world, "sft", "overflow", lora=None, learning_rate=1e30, max_grad_norm=1e30, steps=6, warmup=0.0)


def test_a_spec_is_read_with_its_adapter(world: SimpleNamespace) -> None:
    path = spec(world, "sft", "adapter", lora={"r": 4, "targets": ["q_proj"], "quantize": "4bit"})
    read = read_spec(sft.Spec, path)
    assert read.lora == checkpoint.Lora(r=4, targets=("q_proj",), quantize="4bit")
