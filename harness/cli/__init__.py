"""The command `easyds`. Nothing heavy is imported here: a command imports what it needs when it runs.

Exit codes: 0 done, 1 a gate failed, 2 wrong use or input, 3 environment (files, memory, server, lock),
4 incomplete, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from harness.errors import EasyDSError, printable

INTERRUPTED = 130


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit. Every error is one line on stderr; `--debug` shows its traceback."""
    from typer import TyperException

    from harness.cli.config import command_group, defaults

    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        group = command_group()
        if not args:
            args = ["--help"]
        code = group(args=args, prog_name="easyds", default_map=defaults(group), standalone_mode=False)
        sys.stdout.flush()
    except (EasyDSError, TyperException) as error:
        if debug:
            raise
        _fail(error.format_message() if isinstance(error, TyperException) else str(error), error.exit_code)
    except (BrokenPipeError, SystemExit):  # typer makes a closed pipe an exit with 1, which here means a failed gate
        _closed_pipe()
    except Exception as error:
        if debug:
            raise
        _fail(f"internal error: {type(error).__name__}: {error} (add --debug for the traceback)", 3)
    if code == INTERRUPTED:
        _fail("interrupted. What was generated is kept: the same command continues.", INTERRUPTED)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"easyds: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)


def _closed_pipe() -> NoReturn:
    """The reader of our output has gone (`easyds board | head`): end without a word, but not as if all was shown."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(3)
