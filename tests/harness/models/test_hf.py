"""The engine against transformers' own generate, and what makes a checkpoint's answers its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SYSTEM, answers, item_row, make_adapter, make_task, manifest, read_jsonl, write_items
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, MistralConfig, MistralForCausalLM

from harness import task as tasks
from harness.errors import EnvironmentProblem
from harness.models import Options, chat, open_model
from harness.types import Decoding, Failure, Item, Message, Request, Response

GREEDY = Decoding(max_new_tokens=24)
SAMPLED = Decoding(max_new_tokens=24, temperature=1.0, seed=5)


def requests(tmp_path: Path, count: int = 8, samples: int = 1) -> list[Request]:
    """Requests of mixed length, in no order of length."""
    items = tasks.read_items(write_items(tmp_path / "items.jsonl", [item_row(number) for number in range(count)]))
    return [Request(item, sample, prompt(item)) for sample in range(samples) for item in items]


def prompt(item: Item) -> tuple[Message, ...]:
    return (Message("system", SYSTEM[item.language]), *item.messages)


def opened(folder: Path, batch_size: int = 8, **options: Any) -> Any:
    return open_model(f"hf/{folder}", Options(batch_size=batch_size, device="cpu", **options))


def texts(outcomes: Sequence[Response | Failure]) -> dict[tuple[str, int], str]:
    assert all(isinstance(one, Response) for one in outcomes)
    found = {(one.item, one.sample): one.text for one in outcomes}
    assert len(found) == len(outcomes)
    return found


@torch.inference_mode()
def plainly(
    folder: Path, asked: Sequence[Request], limit: int, model: Any = None
) -> dict[tuple[str, int], tuple[str, int, int, str]]:
    """Text, prompt tokens, completion tokens, finish reason by a loop of transformers alone, one prompt at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = model or AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    found = {}
    for one in asked:
        turns = [{"role": turn.role, "content": turn.content} for turn in one.messages]
        inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        ids = inputs["input_ids"]
        out = model.generate(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            max_new_tokens=limit,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )[0, ids.shape[1] :].tolist()
        text = tokenizer.decode(out, skip_special_tokens=True).strip()
        found[one.item.id, one.sample] = (text, ids.shape[1], len(out), "stop" if out[-1] == end else "length")
    return found


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_greedy_texts_and_counts_equal_plain_transformers(tiny: Path, tmp_path: Path, batch_size: int) -> None:
    asked = requests(tmp_path, 12)
    ours = {
        (one.item, one.sample): (one.text, one.prompt_tokens, one.completion_tokens, one.finish_reason)
        for one in opened(tiny, batch_size).generate(asked, GREEDY)
    }
    theirs = plainly(tiny, asked, 24)
    assert ours == theirs
    assert {reason for *_, reason in theirs.values()} == {"stop", "length"}, "the fixture no longer shows both endings"
    assert len({text for text, *_ in theirs.values()}) >= 6, "the fixture's texts no longer differ"


def test_batch_is_recorded_and_bounded(tiny: Path, tmp_path: Path) -> None:
    outcomes = list(opened(tiny, 3).generate(requests(tmp_path), GREEDY))
    assert {one.batch for one in outcomes} <= {1, 2, 3}
    assert max(one.batch for one in outcomes) == 3
    assert all(0 < one.first_token_s <= one.latency_s for one in outcomes)


def test_sampled_texts_do_not_depend_on_batch_order_or_company(tiny: Path, tmp_path: Path) -> None:
    asked = requests(tmp_path, 6, samples=2)
    whole = texts(list(opened(tiny, 8).generate(asked, SAMPLED)))
    assert texts(list(opened(tiny, 3).generate(asked, SAMPLED))) == whole
    assert texts(list(opened(tiny, 1).generate(asked[::-1], SAMPLED))) == whole
    assert texts(list(opened(tiny, 8).generate(asked[5:], SAMPLED))).items() <= whole.items()
    assert len({whole["item-0", 0], whole["item-0", 1]}) == 2, "samples of one item draw other noise"
    other_seed = texts(list(opened(tiny, 8).generate(asked, replace(SAMPLED, seed=6))))
    assert other_seed != whole


def test_sampling_follows_the_distribution(tiny: Path, tmp_path: Path) -> None:
    """First tokens of 800 samples against the model's own probabilities (chi-square on the likeliest tokens)."""
    from scipy.stats import chisquare

    model = opened(tiny, 64)
    (item,) = tasks.read_items(write_items(tmp_path / "items.jsonl", [item_row(0)]))
    count = 800
    asked = [Request(item, sample, prompt(item)) for sample in range(count)]
    ids = model.tokens(prompt(item))
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)(torch.tensor([ids])).logits[0, -1]
    wanted = torch.softmax(logits, -1)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    drawn = [one.text for one in model.generate(asked, Decoding(max_new_tokens=1, temperature=1.0))]
    # several tokens decode to one text (parts of characters, ends): compare texts
    by_text: dict[str, float] = {}
    for token, p in enumerate(wanted.tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True).strip()
        by_text[text] = by_text.get(text, 0.0) + p
    likely = [text for text, p in by_text.items() if p * count >= 5]
    observed = [drawn.count(text) for text in likely]
    expected = [by_text[text] * count for text in likely]
    rest = (count - sum(observed), count - sum(expected))
    assert len(likely) >= 5
    assert chisquare([*observed, rest[0]], [*expected, rest[1]]).pvalue > 1e-4


def test_top_k_of_one_is_greedy(tiny: Path, tmp_path: Path) -> None:
    asked = requests(tmp_path)
    model = opened(tiny)
    assert texts(list(model.generate(asked, replace(SAMPLED, top_k=1)))) == texts(list(model.generate(asked, GREEDY)))


def test_prompt_that_fills_the_context_fails_alone(
    tiny: Path, tmp_path: Path, runs: Path, cli: Callable[..., Any]
) -> None:
    rows = [item_row(0), item_row(2, messages=[{"role": "user", "content": "why? " * 600}]), item_row(4)]
    task = make_task(tmp_path / "task", rows)
    done = cli("run", "-m", f"hf/{tiny}", "-t", task, "--runs", runs, "--name", "long")
    assert done.code == 4
    assert "1 of 3" in done.err
    assert "fills the context" in done.err
    assert manifest(runs / "long")["status"] == "partial"
    assert [failure["item"] for failure in manifest(runs / "long")["failures"]] == ["item-2"]
    assert set(answers(runs / "long")) == {("item-0", 0), ("item-4", 0)}


def test_answer_is_cut_where_the_context_ends(tiny: Path, tmp_path: Path) -> None:
    model = opened(tiny)
    (item,) = tasks.read_items(write_items(tmp_path / "items.jsonl", [item_row(0)]))
    room = 512 - len(model.tokens(prompt(item)))
    (outcome,) = model.generate(
        [Request(item, 0, prompt(item))], Decoding(max_new_tokens=5000, temperature=1.0, seed=1)
    )
    assert outcome.completion_tokens <= room


# --- memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["prefill", "step"])
@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_out_of_memory_halves_the_batch_and_loses_nothing(
    tiny: Path, tmp_path: Path, when: str, decoding: Decoding
) -> None:
    asked = requests(tmp_path, 12)
    whole = texts(list(opened(tiny, 2).generate(asked, decoding)))
    loaded: dict[Any, Any] = {}
    model = opened(tiny, 8, loaded=loaded)
    model.load()
    (network,) = loaded.values()
    forward, calls = network.forward, []

    def small_memory(*args: Any, **kwargs: Any) -> Any:
        rows, width = kwargs["input_ids"].shape
        calls.append(rows)
        if rows > 2 and (width > 1) == (when == "prefill"):
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    network.forward = small_memory
    outcomes = list(model.generate(asked, decoding))
    assert texts(outcomes) == whole
    assert max(calls) > 2
    assert max(one.batch for one in outcomes) <= (2 if when == "step" else 8)


def test_out_of_memory_with_one_row_is_an_error_of_one_line(tiny: Path, tmp_path: Path) -> None:
    loaded: dict[Any, Any] = {}
    model = opened(tiny, 4, loaded=loaded)
    model.load()

    def no_memory(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    next(iter(loaded.values())).forward = no_memory
    with pytest.raises(EnvironmentProblem, match="batch of 1"):
        list(model.generate(requests(tmp_path), GREEDY))


# --- caches that rows cannot join -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3])
def test_sliding_windows(tiny: Path, tmp_path: Path, batch_size: int) -> None:
    torch.manual_seed(2)
    config = MistralConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny)), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, sliding_window=16,
        initializer_range=0.3, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    assert any(layer.is_sliding for layer in DynamicCache(config=config).layers)
    MistralForCausalLM(config).save_pretrained(tiny, safe_serialization=True)
    (tiny / "generation_config.json").unlink(missing_ok=True)
    asked = requests(tmp_path, 7)
    ours = texts(list(opened(tiny, batch_size).generate(asked, GREEDY)))
    assert ours == {key: text for key, (text, *_) in plainly(tiny, asked, 24).items()}


# --- ends of turns ----------------------------------------------------------------------------------------------


def test_base_tokenizer_whose_pad_is_its_eos_stops_at_the_end_of_the_turn(tiny: Path, tmp_path: Path) -> None:
    """Qwen2.5 bases: pad = eos = <|endoftext|>, while their template ends a turn with <|im_end|>."""
    asked = requests(tmp_path, 12)
    wanted = plainly(tiny, asked, 24)
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    changed = {**config, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (tiny / "tokenizer_config.json").write_text(json.dumps(changed))
    for name in ("generation_config.json", "special_tokens_map.json"):
        (tiny / name).unlink(missing_ok=True)
    model_config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**model_config, "eos_token_id": 0, "pad_token_id": 0}))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    outcomes = list(opened(tiny).generate(asked, GREEDY))
    stopped = {(one.item, one.sample) for one in outcomes if one.finish_reason == "stop"}
    assert stopped >= {key for key, (*_, reason) in wanted.items() if reason == "stop"} != set()
    assert all("<|im_end|>" not in one.text for one in outcomes)


def test_template_that_ends_turns_with_plain_text_is_refused(tiny: Path) -> None:
    (tiny / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    with pytest.raises(EnvironmentProblem, match="no special token"):
        opened(tiny)


def test_padding_is_never_the_end_of_the_turn(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    end = chat.turn_end(tokenizer, "here")
    assert tokenizer.convert_ids_to_tokens(end) == "<|im_end|>"
    tokenizer.pad_token = "<|im_end|>"
    assert chat.padding(tokenizer, end, "here") != end


def test_one_token_for_padding_and_end_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    only = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="<end>", pad_token="<end>")
    with pytest.raises(EnvironmentProblem, match="both pads and ends"):
        chat.padding(only, only.eos_token_id, "here")


# --- adapters ---------------------------------------------------------------------------------------------------


def test_one_base_serves_several_adapters(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (make_adapter(tiny, tmp_path / f"adapter-{seed}", seed) for seed in (1, 2))
    asked = requests(tmp_path, 6)
    alone = {folder: texts(list(opened(folder).generate(asked, GREEDY))) for folder in (tiny, one, two)}
    assert len({tuple(found.values()) for found in alone.values()}) == 3, "the adapters change nothing"

    loads: list[Any] = []
    load = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: (loads.append(a), load(*a, **k))[1])
    loaded: dict[Any, Any] = {}
    together = {folder: opened(folder, loaded=loaded) for folder in (one, tiny, two)}
    for folder in (one, tiny, two, one, tiny):
        assert texts(list(together[folder].generate(asked, GREEDY))) == alone[folder]
    assert len(loads) == 1


def test_adapter_equals_peft_alone(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    asked = requests(tmp_path, 6)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32), adapter).eval()
    theirs = plainly(tiny, asked, 24, model)
    assert texts(list(opened(adapter).generate(asked, GREEDY))) == {key: text for key, (text, *_) in theirs.items()}


def test_base_named_relative_to_the_current_folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT writes down whatever path its caller used."""
    monkeypatch.chdir(tmp_path)
    folder = make_adapter(Path("tiny"), tmp_path / "adapter", 1)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert len(list(opened(folder).generate(requests(tmp_path, 2), GREEDY))) == 2


# --- what a run is known by -------------------------------------------------------------------------------------


def change_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder)
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] * 1.5}, folder, metadata={"format": "pt"})


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "weights": lambda tiny, adapter: change_weights(tiny / "model.safetensors"),
    "adapter": lambda tiny, adapter: change_weights(adapter / "adapter_model.safetensors"),
    "adapter config": lambda tiny, adapter: edit(adapter / "adapter_config.json", '"lora_alpha": 8', '"lora_alpha": 9'),
    "tokenizer": lambda tiny, adapter: edit(tiny / "tokenizer.json", '"ignore_merges": false', '"ignore_merges": true'),
    "chat template": lambda tiny, adapter: edit(tiny / "chat_template.jinja", "assistant", "tutor"),
    "model config": lambda tiny, adapter: edit(tiny / "config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'),
}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("what", CHANGES)
def test_checkpoint_changed_in_place_is_run_anew(
    tiny: Path, adapter: Path, task_file: Path, runs: Path, cli: Callable[..., Any], what: str
) -> None:
    args = ("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs)
    assert cli(*args).code == 0
    assert cli(*args).code == 0
    assert len(list(runs.glob("*/manifest.json"))) == 1, "an unchanged checkpoint continues its run"
    (first,) = (path.parent for path in runs.glob("*/manifest.json"))
    before = (first / "responses.jsonl").read_bytes()
    CHANGES[what](tiny, adapter)
    done = cli(*args)
    assert done.code == 0, done.err
    folders = {path.parent for path in runs.glob("*/manifest.json")}
    assert len(folders) == 2
    (second,) = folders - {first}
    assert len(read_jsonl(second / "responses.jsonl")) == 6, "everything is generated anew"
    assert (first / "responses.jsonl").read_bytes() == before


def test_weights_of_the_same_content_elsewhere_continue_the_run(
    tiny: Path, tmp_path: Path, task_file: Path, runs: Path, cli: Callable[..., Any]
) -> None:
    args = ("-t", task_file, "--runs", runs)
    assert cli("run", "-m", f"hf/{tiny}", *args).code == 0
    copy = shutil.copytree(tiny, tmp_path / "copy")
    assert open_model(f"hf/{copy}", Options()).identity() == open_model(f"hf/{tiny}", Options()).identity()


def test_same_command_generates_nothing_again(tiny: Path, task_file: Path, runs: Path, cli: Callable[..., Any]) -> None:
    args = ("run", "-m", f"hf/{tiny}", "-t", task_file, "--runs", runs, "--name", "mine")
    assert cli(*args).code == 0
    before = (runs / "mine" / "responses.jsonl").read_bytes()
    assert cli(*args).code == 0
    assert (runs / "mine" / "responses.jsonl").read_bytes() == before
    assert len(manifest(runs / "mine")["sessions"]) == 1


@pytest.mark.parametrize("marked", ["base", "adapter"])
def test_checkpoint_marked_as_oracle_is_shown_and_never_ranked(
    tiny: Path, adapter: Path, task_file: Path, runs: Path, cli: Callable[..., Any], marked: str
) -> None:
    ({"base": tiny, "adapter": adapter}[marked] / "easyds.json").write_text('{"oracle": true}')
    done = cli("run", "-m", f"hf/{adapter}", "-t", task_file, "--runs", runs, "--format", "json")
    (row,) = json.loads(done.out)["rows"]
    assert (row["oracle"], row["rank"]) == (True, None)
    assert "oracle" not in open_model(f"hf/{tiny}", Options()).identity() or marked == "base"


def test_log_perplexity_equals_torch(tiny: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    said = ["The queue is first in, first out.", "先进先出", "x y z " * 20, "a", ""]
    wanted: list[float | None] = []
    for text in said:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]], dtype=torch.long)
        with torch.inference_mode():
            wanted.append(model(ids, labels=ids).loss.item() if ids.shape[1] > 1 else None)
    assert wanted[-2:] == [None, None]
    assert opened(tiny).log_perplexity(said) == [
        None if one is None else pytest.approx(one, abs=1e-4) for one in wanted
    ]


def test_checkpoint_relative_to_the_current_folder(
    tiny: Path, tmp_path: Path, task_file: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("run", "-m", "hf/./tiny", "-t", "task/task.yaml").code == 0
    assert len(list((tmp_path / "runs").glob("*/manifest.json"))) == 1
