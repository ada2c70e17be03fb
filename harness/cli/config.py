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
    for command in group.commands:
        for name, parameter in _options(group, command).items():
            parameter.envvar = f"EASYDS_{command}_{name}".upper()
    return group


def _options(group: Any, command: str) -> dict[str, Any]:
    """Options of a command by the name that the environment and easyds.toml know them by."""
    options = [one for one in group.commands[command].params if one.param_type_name == "option" and one.name != "help"]
    return {one.opts[0].lstrip("-").replace("-", "_"): one for one in options}


def defaults(group: Any, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The settings of easyds.toml in the current folder: a table per command. Values go by parameter names.

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
    return {command: _settings(group, command, rows, path) for command, rows in table.items()}


def _settings(group: Any, command: str, rows: Any, path: Path) -> dict[str, Any]:
    if command not in group.commands:
        raise unknown(f"command at {path}:", command, list(group.commands), "Each table is named for a command; easyds")
    if not isinstance(rows, dict):
        raise UsageError(f"{path}: '{command}' must be a table, [{command}], of that command's options.")
    options = _options(group, command)
    for name in rows:
        if name not in options:
            raise unknown(f"option at {path}, [{command}]:", name, list(options), f"easyds {command}")
    return {options[name].name: value for name, value in rows.items()}


def origins(command: str | None) -> list[dict[str, Any]]:
    """Every option of every command (or of one), with its present value and where it comes from."""
    group = command_group()
    table = defaults(group)
    if command is not None and command not in group.commands:
        raise unknown("command", command, list(group.commands), "'easyds --help'")
    parent = group.make_context("easyds", [], default_map=table, resilient_parsing=True)
    rows = []
    for name, one in group.commands.items():
        if command not in (None, name):
            continue
        context = one.make_context(name, [], parent=parent, resilient_parsing=True)
        for parameter in _options(group, name).values():
            source = context.get_parameter_source(parameter.name)
            rows.append(
                {
                    "command": name,
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
