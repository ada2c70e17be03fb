"""Training data: JSONL rows as token ids, exactly as the checkpoint's chat template has them.

A prompt is what a model is given to answer; a completion is the answer with the token that ends its turn, and nothing
after it: where rollouts end, training text ends. Rows that cannot be right are refused by their line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness import task
from harness.errors import UsageError
from harness.models import chat
from harness.task import to_item
from harness.types import Item, Message
from trainers.checkpoint import Loaded

IGNORED = -100
Turns = list[Message]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a JSONL row keeps what is needed, and how a plain prompt is put into words.

    `prompt` and the answers are texts or lists of turns ({"role", "content"}). A row with `messages` is a whole
    conversation whose last turn is the answer.
    """

    prompt: str = "prompt"
    response: str = "response"
    chosen: str = "chosen"
    rejected: str = "rejected"
    messages: str = "messages"
    template: str = "{prompt}"
    """What a plain prompt is asked as; other columns may stand in it by name."""
    system: str = ""
    """System prompt of rows that bring none."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be answered: its tokens and turns, the row it came from, and the item with the facts if the row has one."""

    ids: list[int]
    turns: Turns
    row: Mapping[str, Any]
    item: Item | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, the first preferred; token ids. `kind` says what is wrong with the second."""

    prompt: Prompt
    chosen: list[int]
    rejected: list[int]
    kind: str


class InputOutputDataset:
    """Prompt and response as {"input_ids", "labels"}: the prompt is masked (-100), the last token is an unmasked EOS."""

    def __init__(self, path: Path, loaded: Loaded, columns: Columns, limit: int, augment: Mapping[str, float]) -> None:
        """Reads every row of `path`. Raises UsageError with the line of the first row that cannot be trained on."""
        rng = Random(0)
        self.rows: list[Mapping[str, Any]] = []
        self._examples: list[dict[str, list[int]]] = []
        for where, row in read_rows(path):
            turns, answer = _conversation(row, columns, where)
            turns = augmented(turns, augment, rng)
            prompt, completion = encode(loaded, turns, answer, limit, where)
            labels = [IGNORED] * len(prompt) + completion
            self.rows.append(row)
            self._examples.append({"input_ids": prompt + completion, "labels": labels})

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self._examples[index]


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file, line n", row) of each row of a JSONL file. Raises UsageError for other files and for test items."""
    count = 0
    for where, row in task.read_rows(path):
        item = row["item"] if isinstance(row.get("item"), dict) else row
        if str(item.get("split", "")).startswith("test"):
            raise UsageError(f"{where}: it holds a test item ({item.get('id')}). Test items never train anything.")
        count += 1
        yield where, row
    if not count:
        raise UsageError(f"{path} has no rows.")


def read_pairs(path: Path, loaded: Loaded, columns: Columns, limit: int) -> list[Pair]:
    """The preference pairs of a JSONL file. Raises UsageError with the line of the first one that cannot be right."""
    pairs = []
    for where, row in read_rows(path):
        turns = _prompt(row, columns, where)
        answers = [_answer(row, name, where) for name in (columns.chosen, columns.rejected)]
        if answers[0].strip() == answers[1].strip():
            raise UsageError(f"{where}: '{columns.chosen}' and '{columns.rejected}' are the same text.")
        prompt, chosen = encode(loaded, turns, answers[0], limit, where)
        _, rejected = encode(loaded, turns, answers[1], limit, where)
        pairs.append(
            Pair(Prompt(prompt, turns, row, _item(row, where)), chosen, rejected, str(row.get("kind", "other")))
        )
    return pairs


def labelled_by_gold(pairs: Sequence[Pair]) -> bool:
    """Whether every pair was labelled by the gold score itself, by a simulated rater that never errs."""
    return all(pair.prompt.row.get("chance") == 1 for pair in pairs)


def read_prompts(path: Path, loaded: Loaded, columns: Columns, limit: int) -> list[Prompt]:
    """The prompts of a JSONL file, each once: of pairs, of conversations (without the answer), or of items."""
    prompts, seen = [], set()
    for where, row in read_rows(path):
        turns = _prompt(row, columns, where)
        ids = chat.encode(loaded.tokenizer, chat.render(loaded.tokenizer, turns))
        _require_room(len(ids) + 1, limit, where)
        if tuple(ids) not in seen:
            seen.add(tuple(ids))
            prompts.append(Prompt(ids, turns, row, _item(row, where)))
    return prompts


def encode(loaded: Loaded, turns: Turns, answer: str, limit: int, where: str) -> tuple[list[int], list[int]]:
    """(prompt ids, completion ids) of one answer. The completion ends with the end of the turn, as rollouts do.

    What is trained is the template's own rendering of the answer. Raises UsageError if it is empty, holds special
    tokens, is not a continuation of the prompt, does not end with the end of the turn, or is longer than `limit`.
    """
    tokenizer = loaded.tokenizer
    if not answer.strip():
        raise UsageError(f"{where}: the response is empty.")
    if token := next((one for one in tokenizer.all_special_tokens if one in answer), None):
        raise UsageError(f"{where}: the response holds the special token {token}, which would end or break it.")
    prompt = chat.render(tokenizer, turns)
    whole = _rendered(tokenizer, [*turns, Message("assistant", answer)])
    stop = str(tokenizer.convert_ids_to_tokens(loaded.end))
    if not whole.startswith(prompt):
        raise UsageError(
            f"{where}: the chat template renders the prompt otherwise once it is answered, so what is "
            "trained would not be what is asked. Use a template whose answered prompt begins with the prompt."
        )
    body, found, _ = whole.removeprefix(prompt).partition(stop)
    ids = chat.encode(tokenizer, body + found)
    if not ids or ids[-1] != loaded.end:
        raise UsageError(f"{where}: the response does not end with {stop}, so the model would not learn to stop.")
    prompt_ids = chat.encode(tokenizer, prompt)
    _require_room(len(prompt_ids) + len(ids), limit, where)
    return prompt_ids, ids


def _rendered(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> str:
    listed = [{"role": one.role, "content": one.content} for one in turns]
    return str(tokenizer.apply_chat_template(listed, tokenize=False))


def _require_room(length: int, limit: int, where: str) -> None:
    if length > limit:
        raise UsageError(
            f"{where}: {length} tokens, but the context has {limit}. Shorten or drop the row; "
            "nothing is cut, since a cut answer has no end."
        )


def _conversation(row: Mapping[str, Any], columns: Columns, where: str) -> tuple[Turns, str]:
    """(turns before the answer, the answer) of a row of prompt and response, or of messages."""
    if columns.messages in row:
        turns = _turns(row[columns.messages], columns.messages, where)
        if len(turns) < 2 or turns[-1].role != "assistant":
            raise UsageError(f"{where}: '{columns.messages}' must end with the assistant's answer.")
        return _with_system(turns[:-1], columns), turns[-1].content
    return _prompt(row, columns, where), _answer(row, columns.response, where)


def _prompt(row: Mapping[str, Any], columns: Columns, where: str) -> Turns:
    """The turns up to the one to be answered."""
    value = row.get(columns.prompt, row.get(columns.messages))
    if isinstance(value, str):
        try:
            value = [{"role": "user", "content": columns.template.format(**{**row, "prompt": value})}]
        except (KeyError, IndexError, ValueError) as error:
            raise UsageError(f"{where}: the template asks for {error}, which the row lacks.") from error
    if value is None:
        raise UsageError(
            f"{where}: it has neither '{columns.prompt}' nor '{columns.messages}' but {', '.join(sorted(row))[:120]}. "
            "Name the columns in the spec ('columns')."
        )
    turns = _turns(value, columns.prompt, where)
    if turns[-1].role == "assistant":
        turns = turns[:-1]
    return _with_system(turns, columns)


def _with_system(turns: Turns, columns: Columns) -> Turns:
    if columns.system and turns[0].role != "system":
        return [Message("system", columns.system), *turns]
    return turns


def _turns(value: Any, name: str, where: str) -> Turns:
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: '{name}' must be a list of turns, or a text.")
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("content"), str) or one.get("role") not in _ROLES:
            raise UsageError(f"{where}: a turn in '{name}' must have a 'role' of {', '.join(_ROLES)} and a 'content'.")
    return [Message(one["role"], one["content"]) for one in value]


_ROLES = ("system", "user", "assistant")


def _answer(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = _turns(value, name, where)[0].content
    if not isinstance(value, str):
        raise UsageError(
            f"{where}: the column '{name}' is missing or no text; the row has {', '.join(sorted(row))[:120]}."
        )
    return value


def _item(row: Mapping[str, Any], where: str) -> Item | None:
    """The item that a pair or a prompt belongs to, with the facts that the gold score needs."""
    if not isinstance(row.get("item"), dict):
        return None
    try:
        return to_item(row["item"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: its 'item' is no item ({error}).") from error


def _typo(text: str, rng: Random) -> str:
    """One letter doubled, as a hasty student does; numbers are left alone."""
    places = [i for i, char in enumerate(text) if char.isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    return text[:at] + text[at] + text[at:]


def _full_width(text: str, rng: Random) -> str:
    """Commas, colons and brackets as a Chinese keyboard gives them."""
    return text.translate(str.maketrans(",:;()?", "，：；（）？"))


AUGMENTATIONS: dict[str, Callable[[str, Random], str]] = {"typo": _typo, "full-width": _full_width}
"""Ways to vary the student's turns, by name. The answer is never touched."""


def augmented(turns: Sequence[Message], shares: Mapping[str, float], rng: Random) -> Turns:
    """`turns` with each augmentation applied to the user's turns of its share of the rows."""
    found = list(turns)
    for name, share in shares.items():
        if name not in AUGMENTATIONS:
            raise UsageError(f"unknown augmentation '{name}'. There are {', '.join(AUGMENTATIONS)}.")
        if rng.random() < share:
            found = [
                Message(one.role, AUGMENTATIONS[name](one.content, rng)) if one.role == "user" else one for one in found
            ]
    return found


def require_file(path: Path, spec: Path) -> None:
    """Raises UsageError if the data file that a spec names is not there."""
    if not path.is_file():
        raise UsageError(f"{spec}: data file {path} does not exist. 'easyds simulate' writes training data.")
