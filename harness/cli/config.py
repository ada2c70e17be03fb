"""Settings: command line, then environment (EASYDS_RUN_BATCH_SIZE), then easyds.toml, then the default.

In both an option has the name it has on the command line, with '_' for '-'.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.errors import UsageError, unknown

FILE = "easyds.toml"


def command_group() -> Any:
    """The commands of easyds by panels, each of whose options also reads its environment variable."""
    from typer.main import get_command

    from harness.cli.app import PANELS, app

    group: Any = get_command(app)
    group.commands = {name: group.commands[name] for names in PANELS.values() for name in names}
    for panel, names in PANELS.items():
        for name in names:
            group.commands[name].rich_help_panel = panel
    for words, command in _commands(group).items():
        for name, parameter in _options(command).items():
            parameter.envvar = f"EASYDS_{words}_{name}".replace(" ", "_").upper()
    return group


def _commands(group: Any) -> dict[str, Any]:
    """Every command by its words: `run`, `annotate create`."""
    found: dict[str, Any] = {}
    for name, one in group.commands.items():
        nested = _commands(one) if hasattr(one, "commands") else {"": one}
        found |= {f"{name} {words}".strip(): command for words, command in nested.items()}
    return found


def _options(command: Any) -> dict[str, Any]:
    """Options of a command by the name that the environment and easyds.toml know them by."""
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    return {one.opts[0].lstrip("-").replace("-", "_"): one for one in options}


def defaults(group: Any, folder: Path | None = None) -> dict[str, Any]:
    """The settings of easyds.toml in the current folder: a table per command ([run], [annotate.create]). Values go by
    parameter names.

    Raises UsageError with the line where the file is malformed, and for commands and options that do not exist.
    """
    path = (folder or Path.cwd()) / FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML ({error}).") from error
    return _settings(group, "", table, path)


def _settings(group: Any, above: str, table: Any, path: Path) -> dict[str, Any]:
    """The values of a group's commands; `above` is the group's own name in the file, with a dot, or nothing."""
    found = {}
    for name, rows in table.items():
        if name not in group.commands:
            owner = f"Each table is named for a command; easyds {above.rstrip('.')}".strip()
            raise unknown(f"command at {path}:", above + name, [above + one for one in group.commands], owner)
        if not isinstance(rows, dict):
            raise UsageError(f"{path}: '{above}{name}' must be a table, [{above}{name}], of that command's options.")
        command = group.commands[name]
        nested = hasattr(command, "commands")
        found[name] = (
            _settings(command, f"{above}{name}.", rows, path) if nested else _values(command, above + name, rows, path)
        )
    return found


def _values(command: Any, table: str, rows: dict[str, Any], path: Path) -> dict[str, Any]:
    """The values of one command's options, by parameter names."""
    options = _options(command)
    for name in rows:
        if name not in options:
            raise unknown(f"option at {path}, [{table}]:", name, list(options), f"easyds {table.replace('.', ' ')}")
    return {options[name].name: value for name, value in rows.items()}


def origins(command: str | None) -> list[dict[str, Any]]:
    """Every option of every command (or of one, or of a group), with its present value and where it comes from."""
    group = command_group()
    table = defaults(group)
    if command is not None and command not in group.commands:
        raise unknown("command", command, list(group.commands), "'easyds --help'")
    top = group.make_context("easyds", [], default_map=table, resilient_parsing=True)
    rows = []
    for words, one in _commands(group).items():
        first, _, last = words.partition(" ")
        if command not in (None, first):
            continue
        parent = group.commands[first].make_context(first, [], parent=top, resilient_parsing=True) if last else top
        context = one.make_context(last or first, [], parent=parent, resilient_parsing=True)
        for parameter in _options(one).values():
            source = context.get_parameter_source(parameter.name)
            rows.append(
                {
                    "command": words,
                    "option": parameter.opts[0],
                    "value": context.params.get(parameter.name),
                    "origin": _origin(source.name if source else "DEFAULT", parameter.envvar),
                }
            )
    return rows


def _origin(source: str, variable: str) -> str:
    if source == "ENVIRONMENT":
        return variable
    return FILE if source == "DEFAULT_MAP" else "default"
