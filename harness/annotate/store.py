"""The annotation store: one SQLAlchemy URL, short transactions, errors that a person can act on.

SQLite (a file on a local disk) by default, PostgreSQL for teams. On SQLite every writing transaction begins as
`BEGIN IMMEDIATE`: one that reads first and then wants to write would otherwise be refused while another writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from harness.annotate import schema
from harness.errors import EnvironmentProblem, UsageError

DEFAULT = "annotations.db"
BUSY_S = 15.0
_LOCK = 0x45617379  # PostgreSQL's advisory lock under which the tables are made


class StoreBusy(EnvironmentProblem):
    """The store is locked or cannot be reached just now. Nothing was written; what was typed is still on the page."""


class Refused(UsageError):
    """A write that this person may not make, or that does not fit what was served. It is written into the audit."""

    def __init__(self, message: str, action: str, person: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.action, self.person, self.detail = action, person, dict(detail or {})


class Store:
    """An open store. Use `open_store`. It may be shared by threads; a forked process must open its own."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.clock = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and never waits for a writer."""
        with _told(), self.engine.connect().execution_options(easyds_read=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept whole or not at all. A `Refused` from within is audited after the rollback."""
        try:
            with _told(), self.engine.begin() as connection:
                yield connection
        except Refused as error:
            with suppress(StoreBusy), self.write() as connection:
                self.audit(connection, error.person, f"refused: {error.action}", error.detail)
            raise

    def audit(self, connection: Connection, person: str, action: str, detail: Mapping[str, Any] | None = None) -> None:
        row = {"at": self.clock(), "person": person, "action": action, "detail": dict(detail or {})}
        connection.execute(insert(schema.audit).values(row))

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the database as one line that says what to do."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError, PoolTimeout) as error:
        raise StoreBusy(
            f"the annotation store cannot be reached or is busy ({_first_line(error)}). Nothing was saved by this step; "
            "what you typed is still here: try again in a moment."
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreBusy("the connection to the annotation store broke off. Try again in a moment.") from error
        raise


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def open_store(
    where: str | Path | None = None, clock: Callable[[], float] = time.time, busy_s: float = BUSY_S
) -> Store:
    """The store at a path or SQLAlchemy URL (EASYDS_DB_URL, then annotations.db, if not given), made if there is none.

    Raises UsageError for a URL that is none, a store of another schema version, or a disk on which SQLite's
    write-ahead log does not work (a network disk); StoreBusy if it cannot be reached.
    """
    url = _url(where)
    engine = _sqlite(url, busy_s) if url.startswith("sqlite") else _server(url)
    store = Store(engine, clock)
    try:
        _prepare(store)
    except BaseException:
        engine.dispose()
        raise
    return store


def _url(where: str | Path | None) -> str:
    given = str(where or os.environ.get("EASYDS_DB_URL") or DEFAULT)
    if "://" not in given:
        return f"sqlite:///{Path(given).resolve()}"
    for plain in ("postgresql://", "postgres://"):
        if given.startswith(plain):
            return "postgresql+psycopg://" + given.removeprefix(plain)
    return given


def _server(url: str) -> Engine:
    try:
        if make_url(url).get_backend_name() != "postgresql":
            raise UsageError("the annotation store is SQLite (a file) or PostgreSQL (postgresql://…).")
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5}, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(f"{error}. Install it with: pip install 'easyds-bench[postgres]'") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError("that is no database URL. Write a path, or postgresql://user@host/database.") from error


def _sqlite(url: str, busy_s: float) -> Engine:
    path = str(make_url(url).database or ":memory:")
    if path == ":memory:":
        raise UsageError("an annotation store in memory would be lost with the process. Give a path.")
    if not path.startswith("file:"):  # a URI names a folder that is there
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": busy_s}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        cursor = connection.cursor()
        (mode,) = cursor.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise UsageError(
                f"{path}: SQLite's write-ahead log does not work here (journal mode '{mode}'), as on network disks. Put "
                "the store on a local disk, or use PostgreSQL."
            )
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_execution_options().get("easyds_read"):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_to_write(connection.connection.driver_connection, busy_s)

    return engine


def _begin_to_write(connection: Any, busy_s: float) -> None:
    """BEGIN IMMEDIATE, tried every few milliseconds while another process writes.

    SQLite's own waiting sleeps longer the longer it has waited, so that among many writers one can starve.
    """
    until = time.monotonic() + busy_s
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(random.uniform(0.001, 0.004))
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(1000 * busy_s)}")


def _prepare(store: Store) -> None:
    """Make the tables where there are none, and check the version of those there are."""
    with store.read() as connection:
        if inspect(connection).has_table(schema.meta.name):
            return _check_version(connection)
    with store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if not inspect(connection).has_table(schema.meta.name):  # another process may have been first
            schema.metadata.create_all(connection)
            rows = {"schema_version": str(schema.SCHEMA_VERSION), "salt": secrets.token_hex(16)}
            connection.execute(insert(schema.meta), [{"key": key, "value": value} for key, value in rows.items()])
    return None


def _check_version(connection: Connection) -> None:
    found = _meta(connection, "schema_version")
    if found != str(schema.SCHEMA_VERSION):
        newer = found is not None and found.isdigit() and int(found) > schema.SCHEMA_VERSION
        what = "Use the version of EasyDS Bench that wrote it, or a newer one" if newer else "No migration is known"
        raise UsageError(
            f"the annotation store has schema version {found}, this version reads {schema.SCHEMA_VERSION}. {what}."
        )


def _meta(connection: Connection, key: str) -> str | None:
    return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def pseudonym(connection: Connection, person: str) -> str:
    """What stands for a person in exports: the same in one store, and not to be undone without it."""
    return hashlib.sha256(f"{_meta(connection, 'salt')} {person}".encode()).hexdigest()[:12]


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value or dataclass, whatever characters it holds."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=asdict).encode()).hexdigest()
