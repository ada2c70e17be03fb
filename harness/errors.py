"""Errors a user can act on. Each is one line: what happened, where, the likely cause, the next command."""

from __future__ import annotations

from difflib import get_close_matches


class EasyDSError(Exception):
    """Base of all errors that end a command with one line and an exit code instead of a traceback."""

    exit_code = 3


class GateFailed(EasyDSError):
    """A metric's interval lies below the value asked for by --fail-under."""

    exit_code = 1


class UsageError(EasyDSError):
    """The command, its options or an input file are wrong."""

    exit_code = 2


class EnvironmentProblem(EasyDSError):
    """The machine, a checkpoint or a server is not as needed: no such folder, disk full, run locked, no memory."""

    exit_code = 3


class OutOfMemory(EnvironmentProblem):
    """Memory ran out, or will. As an exit code of a stage it means what a kill by the kernel means (128 + SIGKILL)."""

    exit_code = 137


class Incomplete(EasyDSError):
    """Something got no response or no score; the same command continues."""

    exit_code = 4


def printable(text: str) -> str:
    """`text` with a mark in place of what a terminal would obey and not show: escape sequences, direction overrides."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def unknown(kind: str, name: str, known: list[str], next_command: str) -> UsageError:
    """The error for a name that is in no list, with the nearest known name."""
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UsageError(f"unknown {kind} '{name}'.{hint} {next_command} lists {', '.join(sorted(known))}.")


def require(kind: str, name: str, known: list[str], next_command: str) -> None:
    """Raises the error of `unknown` unless `name` is known."""
    if name not in known:
        raise unknown(kind, name, known, next_command)
