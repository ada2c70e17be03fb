"""Settings: command line, then environment (EASYDS_RUN_BATCH_SIZE), then easyds.toml, then the default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.errors import UsageError

FILE = "easyds.toml"


def defaults(folder: Path | None = None) -> dict[str, Any]:
    """The settings of easyds.toml in the current folder: a table per command, names as options with '_' for '-'.

    Raises UsageError with the line where the file is malformed.
    """
    path = (folder or Path.cwd()) / FILE
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML ({error}).") from error


def origins(command: str | None) -> list[dict[str, Any]]:
    """Every option of every command (or of one), with its present value and where it comes from."""
    from typer.main import get_command

    from harness.cli.app import app
    from harness.errors import unknown

    group: Any = get_command(app)
    table = defaults()
    for name in table:
        if name not in group.commands:
            raise unknown(f"command in {FILE}:", name, list(group.commands), "A table of it is named for a command; easyds")
    if command is not None and command not in group.commands:
        raise unknown("command", command, list(group.commands), "'easyds --help'")
    settings = {"resilient_parsing": True, "auto_envvar_prefix": "EASYDS"}
    parent = group.make_context("easyds", [], default_map=table, **settings)
    rows = []
    for name, one in group.commands.items():
        if command not in (None, name):
            continue
        known = {parameter.name for parameter in one.params}
        for key in table.get(name, {}):
            if key not in known:
                raise unknown(f"option in {FILE}, [{name}]:", key, sorted(known - {None}), f"easyds {name}")
        context = one.make_context(name, [], parent=parent, **settings)
        for parameter in one.params:
            if parameter.param_type_name != "option" or parameter.name == "help":
                continue
            source = context.get_parameter_source(parameter.name)
            rows.append(
                {
                    "command": name,
                    "option": parameter.opts[0],
                    "value": context.params.get(parameter.name),
                    "origin": _origin(source.name if source else "DEFAULT", name, parameter.name),
                }
            )
    return rows


def _origin(source: str, command: str, option: str) -> str:
    if source == "ENVIRONMENT":
        return f"EASYDS_{command}_{option}".upper()
    return FILE if source == "DEFAULT_MAP" else "default"
