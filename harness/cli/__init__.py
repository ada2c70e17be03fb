"""The command `easyds`. Nothing heavy is imported here: a command imports what it needs when it runs.

Exit codes: 0 done, 1 a gate failed, 2 wrong use or input, 3 environment (files, memory, server, lock),
4 incomplete, 130 interrupted.
"""

from __future__ import annotations

import sys

from harness.cli.app import app
from harness.errors import EasyDSError


def main(args: list[str] | None = None) -> None:
    """Run the command line. Every expected error is one line on stderr; `--debug` shows its traceback."""
    from typer.main import get_command

    from harness.cli.config import defaults

    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    try:
        get_command(app)(
            args=[arg for arg in args if arg != "--debug"],
            prog_name="easyds",
            default_map=defaults(),
            auto_envvar_prefix="EASYDS",
        )
    except EasyDSError as error:
        if debug:
            raise
        print(f"easyds: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        line = str(error).strip().splitlines()
        print(
            f"easyds: internal error: {type(error).__name__}: {line[0] if line else ''} (add --debug for the traceback)",
            file=sys.stderr,
        )
        sys.exit(3)
