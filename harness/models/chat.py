"""Chat templates: the prompt a checkpoint was trained on, and the token that ends its turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from harness.errors import EnvironmentProblem
from harness.types import Message


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The prompt text: messages in the checkpoint's own template, ready for the assistant's turn.

    Raises EnvironmentProblem if the template refuses them (some know no system role) or does not work.
    """
    return _apply(
        tokenizer, [{"role": one.role, "content": one.content} for one in messages], add_generation_prompt=True
    )


def _apply(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt))
    except TemplateError as error:
        raise EnvironmentProblem(
            f"{tokenizer.name_or_path}: its chat template cannot render {' + '.join(turn['role'] for turn in turns)} ({error}). Use the template of the model it was tuned from."
        ) from error


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of rendered text; the template has put in every special token already."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def require_template(tokenizer: PreTrainedTokenizerBase, where: str) -> str:
    """The chat template. Raises EnvironmentProblem if there is none: guessing one would test another model."""
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise EnvironmentProblem(
            f"{where} has no chat template, so its prompts cannot be known. Add chat_template.jinja from the model it was tuned from."
        )
    return template


def turn_end(tokenizer: PreTrainedTokenizerBase, where: str) -> int:
    """Id of the token that ends the assistant's turn in the template.

    A base model often has pad = eos = `<|endoftext|>` while its template ends a turn with `<|im_end|>`: the template
    is right. Raises EnvironmentProblem if the template ends a turn with no special token.
    """
    marker = "@@turn@@"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": marker}]
    text = _apply(tokenizer, turns, add_generation_prompt=False)
    tail = encode(tokenizer, text.rpartition(marker)[2]) if marker in text else []
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token in tail:
        if token in special:
            return token
    raise EnvironmentProblem(
        f"{where}: its chat template ends the assistant's turn with no special token, so the end of an answer cannot be told. Use a template that ends turns with one (Qwen: <|im_end|>)."
    )


def padding(tokenizer: PreTrainedTokenizerBase, end: int, where: str) -> int:
    """Id to pad with, different from the end of a turn.

    Raises EnvironmentProblem when the tokenizer has only one special token for both, so that they cannot be told apart.
    """
    for token in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id):
        if token is not None and token != end:
            return int(token)
    others = [token for token in sorted(tokenizer.added_tokens_decoder) if token != end]
    if others:
        return others[0]
    raise EnvironmentProblem(
        f"{where}: its only special token both pads and ends a turn, so the two cannot be told apart. Add a pad token to the tokenizer."
    )


def template_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that decide how text becomes tokens."""
    known = (
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "special_tokens_map.json",
        "chat_template.jinja",
    )
    return [folder / name for name in known if (folder / name).exists()]
