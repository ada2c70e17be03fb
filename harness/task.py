"""Tasks: what is asked, of whom it is asked, and how the answers are scored. A task is a YAML file beside its items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness import paths, rubric
from harness.digest import digest
from harness.errors import UsageError, unknown
from harness.types import Decoding, Item, KeyPoints, Language, Message, Task

if TYPE_CHECKING:
    from harness.simulator.items import Plan

_TASK_KEYS = {
    "name",
    "version",
    "description",
    "license",
    "rubric",
    "scorers",
    "decoding",
    "system",
    "items",
    "simulate",
}
_ITEM_FIELDS = {field.name: field for field in fields(Item)}
_REQUIRED = [name for name in _ITEM_FIELDS if name not in {"misconception", "claims", "references", "meta"}]


def names() -> list[str]:
    """Names of the tasks that ship with the project."""
    return sorted(path.parent.name for path in paths.datasets().glob("*/task.yaml"))


def load(name: str) -> Task:
    """The task `name` of datasets/, or the task file at that path.

    Raises UsageError naming the file and the line of whatever is wrong with it or with its items.
    """
    path = _path(name)
    data = paths.read_yaml(path)
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a task is a mapping with the keys {', '.join(sorted(_TASK_KEYS))}.")
    if strange := sorted(set(data) - _TASK_KEYS):
        raise UsageError(f"{path}: unknown key '{strange[0]}'. A task has the keys {', '.join(sorted(_TASK_KEYS))}.")
    try:
        items = _items(path, data)
        task = {
            "name": paths.safe_name(data["name"], "task name"),
            "version": str(data["version"]),
            "scorers": tuple(_scorer(row) for row in data["scorers"]),
            "decoding": _decoding(data.get("decoding", {})),
            "system": _system(data["system"], items),
            "description": data["description"],
            "license": data["license"],
        }
        the_rubric = rubric.load(data["rubric"])
    except KeyError as error:
        raise UsageError(f"{path}: the key {error} is missing.") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}.") from error
    whole = digest([data, [asdict(item) for item in items], the_rubric.digest])
    return Task(items=items, rubric=the_rubric, digest=whole, **task)


def _path(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = paths.datasets() / paths.safe_name(name, "task name") / "task.yaml"
    if not path.exists():
        raise unknown("task", name, names(), "'easyds tasks'")
    return path


def _decoding(row: Any) -> Decoding:
    known = {field.name: type(field.default) for field in fields(Decoding)}
    if not isinstance(row, dict) or not set(row) <= set(known):
        raise TypeError(f"'decoding' must be a mapping of {', '.join(known)}, not {row!r}")
    for name, value in row.items():
        if type(value) not in (int, known[name]):
            raise TypeError(f"'{name}' in 'decoding' must be {'a whole number' if known[name] is int else 'a number'}")
    return Decoding(**row)


def _system(row: Any, items: Iterable[Item]) -> Mapping[str, str]:
    """The system prompt by language; every language of the items must have one."""
    for language in sorted({item.language for item in items}):
        if not isinstance(row, dict) or not isinstance(row.get(language), str):
            raise TypeError(f"'system' must map each language of the items to a text, '{language}' has none")
    return dict(row)


def _scorer(row: Any) -> Mapping[str, Any]:
    """A scorer is named by a string, or by a mapping with `name` and its options."""
    if isinstance(row, str):
        return {"name": row}
    if not isinstance(row, dict) or "name" not in row:
        raise TypeError(f"scorer {row!r} is neither a name nor a mapping with 'name'")
    return row


def _items(path: Path, data: Mapping[str, Any]) -> tuple[Item, ...]:
    if ("items" in data) == ("simulate" in data):
        raise UsageError(
            f"{path}: a task has either 'items' (a JSONL file, or a pattern of them) or 'simulate' (what to generate)."
        )
    if "items" in data:
        if not isinstance(data["items"], str):
            raise TypeError("'items' must be the name of a JSONL file, or a pattern of names such as items/*.jsonl")
        return read_items(path.parent / data["items"])
    from harness.simulator.items import Plan, build

    return tuple(build(Plan(**data["simulate"])))


def exercises(name: str, split: str, clusters: int, seed: int) -> Plan:
    """Exercises of another split with the families, difficulties, hint levels and register of a simulated task.

    Raises UsageError for a task whose items are not simulated.
    """
    from harness.simulator.items import Plan

    simulate = paths.read_yaml(_path(name)).get("simulate")
    if simulate is None:
        raise UsageError(f"task {name} is not simulated, so there are no other exercises like its own.")
    given = {key: tuple(simulate[key]) for key in ("families", "difficulties", "hint_levels") if key in simulate}
    return Plan(split, clusters, seed, register=simulate.get("register", "full"), **given)


def read_items(path: Path) -> tuple[Item, ...]:
    """Items of a JSONL file, or of all files that a name with `*` stands for (sorted), checked field by field.

    Raises UsageError with the file and line number of the first fault.
    """
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    items: list[Item] = []
    places: dict[str, str] = {}
    for file in files:
        for where, row in read_rows(file):
            item = read_item(row, where)
            if item.id in places:
                raise UsageError(f"{where}: item id '{item.id}' stands in {places[item.id]} already.")
            places[item.id] = where
            items.append(item)
    if not items:
        raise UsageError(f"{path} has no items." if files else f"No file is named like {path}.")
    return tuple(items)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file, each with its place ("FILE, line N"). Raises UsageError at the first fault."""
    for number, line in enumerate(_text(path).split("\n"), start=1):  # splitlines() cuts at U+2028, which JSON allows
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{where}: not JSON ({error}). Each line must be one JSON object.") from error
        if not isinstance(row, dict):
            raise UsageError(f"{where}: not a JSON object.")
        yield where, row


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist. A task's 'items' is relative to its task file.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error


def read_item(row: Mapping[str, Any], where: str) -> Item:
    """The item that an object says. Raises UsageError, beginning with `where`, for what is no item."""
    for name in row:
        if name not in _ITEM_FIELDS:
            raise unknown(f"field at {where}:", name, list(_ITEM_FIELDS), "An item")
    for name in _REQUIRED:
        if name not in row:
            raise UsageError(f"{where}: the field '{name}' is missing.")
    try:
        return to_item(row)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}.") from error


def to_item(row: Mapping[str, Any]) -> Item:
    """The item of one row of items.jsonl. Raises KeyError, TypeError or ValueError, in words, for what is none."""
    for name in ("id", "cluster", "language", "knowledge_point", "split", "answer"):
        if not isinstance(row[name], str):
            raise TypeError(f"'{name}' must be a string")
    if row["id"] in ("", "*") or not row["cluster"]:
        raise ValueError("'id' and 'cluster' must not be empty, nor 'id' be '*' (which stands for the whole run)")
    if not isinstance(row.get("misconception"), str | None):
        raise TypeError("'misconception' must be a string or null")
    if not isinstance(row.get("meta", {}), dict):
        raise TypeError("'meta' must be an object")
    for name in ("difficulty", "hint_level"):
        if type(row[name]) is not int:
            raise TypeError(f"'{name}' must be a whole number")
    if row["language"] not in get_args(Language):
        raise ValueError(f"'language' is '{row['language']}', not zh or en")
    points = row["key_points"]
    if not isinstance(points, dict) or set(points) != {"diagnosis", "location", "next_steps"}:
        raise TypeError("'key_points' must have exactly diagnosis, location and next_steps")
    if not isinstance(points["diagnosis"], str) or not isinstance(points["location"], str):
        raise TypeError("'diagnosis' and 'location' in 'key_points' must be strings")
    return Item(
        **{
            **row,
            "messages": _messages(row["messages"]),
            "key_points": KeyPoints(
                points["diagnosis"], points["location"], _strings(points["next_steps"], "next_steps")
            ),
            "claims": _strings(row.get("claims", ()), "claims"),
            "references": _strings(row.get("references", ()), "references"),
        }
    )


def _messages(rows: Any) -> tuple[Message, ...]:
    if not isinstance(rows, list) or not rows:
        raise TypeError("'messages' must be a list of turns")
    turns = []
    for row in rows:
        if not isinstance(row, dict) or set(row) != {"role", "content"} or not isinstance(row["content"], str):
            raise TypeError("each message has exactly 'role' and 'content' (text)")
        if row["role"] not in ("user", "assistant"):
            raise ValueError(
                f"role '{row['role']}' is neither user nor assistant (a system prompt belongs to the task)"
            )
        turns.append(Message(row["role"], row["content"]))
    if turns[-1].role != "user":
        raise ValueError("the last message must be the student's (role user)")
    return tuple(turns)


def _strings(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
        raise TypeError(f"'{name}' must be a list of strings")
    return tuple(value)


def prompt(task: Task, item: Item) -> tuple[Message, ...]:
    """The chat a system is given for an item."""
    return chat(task.system, item.language, item.messages)


def chat(system: Mapping[str, str], language: Language, turns: Iterable[Message]) -> tuple[Message, ...]:
    """The system prompt in the language, then the turns."""
    return (Message("system", system[language]), *turns)


def limited(items: Iterable[Item], limit: int | None) -> tuple[Item, ...]:
    """The first `limit` items (all of them for None). Raises UsageError for a limit below 1."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}.")
    return tuple(items)[:limit]
