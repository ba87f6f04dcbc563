"""SQLite files: opened safely, brought up to date, written in whole transactions."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from unseen.errors import StoreError

T = TypeVar("T")

PAGE_BYTES = 16384  # rows are a little over a kilobyte: smaller pages would be a sixth air
BUSY_SECONDS = 60.0


def connect(
    path: Path, migrations: Sequence[str], what: str, *, readable: bool = False
) -> sqlite3.Connection:
    """The database at `path`, made or migrated if need be; `what` it is, for the StoreError.

    `PRAGMA user_version` is the number of `migrations` that a file has had; one that has had all is
    opened without a write. `readable`: one that cannot be written is opened to be read.
    """
    try:
        try:
            database = _connect(str(path), migrations, what)
        except sqlite3.OperationalError:
            if not (readable and path.is_file() and not os.access(path.parent, os.W_OK)):
                raise
            database = _connect_to_read(path, migrations, what)
    except sqlite3.OperationalError as error:  # locked, read-only, a full disk
        raise StoreError(f"{path}: this {what} cannot be opened ({error}).") from None
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: not a valid {what}, or it is damaged ({error}).") from None
    database.name = f"{path}: this {what}"
    return database


def _connect_to_read(path: Path, migrations: Sequence[str], what: str) -> _Connection:
    """One where nothing can be written: SQLite then needs no shared memory beside it.

    A log that is not empty, of a process that was killed, holds rows that the file does not have
    yet: a copy of both is read.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return _connect(f"{path.absolute().as_uri()}?immutable=1", migrations, what)
    folder = tempfile.mkdtemp(prefix="unseen-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in (path, log):
        shutil.copyfile(file, Path(folder, file.name))
    return _connect(str(Path(folder, path.name)), migrations, what)


def _connect(location: str, migrations: Sequence[str], what: str) -> _Connection:
    # Transactions are written out (BEGIN IMMEDIATE), so the module shall begin none of its own.
    database = sqlite3.connect(
        location,
        factory=_Connection,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=location.startswith("file:"),
    )
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StoreError(
                f"{location}: a later version of unseen made this {what} (format {version}; this "
                f"version reads up to {len(migrations)}). Upgrade unseen, or move the file away "
                "and make another."
            )
        if version < len(migrations):
            if version == 0:
                database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            database.execute("PRAGMA journal_mode = WAL")
            _migrate(database, migrations)
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, migrations: Sequence[str]) -> None:
    with transaction(database):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        for script in migrations[version:]:
            for statement in script.split(";\n"):
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside, or none of it; other writers wait from the start."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # on a full disk SQLite has ended it already
            database.execute("ROLLBACK")
        raise


def is_temporary(error: sqlite3.DatabaseError) -> bool:
    """Whether the error is around the file, not in it: it will pass."""
    return isinstance(error, sqlite3.OperationalError) and any(
        word in str(error) for word in ("locked", "full", "readonly", "unable to open", "I/O")
    )


class DiskFullError(StoreError):
    """There is no room for what should be written."""


class _Connection(sqlite3.Connection):
    """Its errors are StoreErrors with the name of the file, once it is open.

    Threads that read may still use it when it is closed, after Ctrl-C for instance. They get an
    error: closed during a call it would free the memory that the call works on.
    """

    name: str | None = None  # the file, and what it is

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(*arguments, **options)

    def close(self) -> None:
        with self.lock:
            super().close()

    def cursor(self, *_: Any) -> Any:
        return super().cursor(_Cursor)

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self.cursor().executemany(*arguments)


def _named(method: Callable[..., T]) -> Callable[..., T]:
    """A method of a cursor, whose errors are StoreErrors."""

    @wraps(method)
    def call(self: sqlite3.Cursor, *arguments: Any) -> T:
        try:
            with self.connection.lock:  # type: ignore[attr-defined]
                return method(self, *arguments)
        except sqlite3.DatabaseError as error:
            name = getattr(self.connection, "name", None)
            if name is None or not _is_of_the_file(error):
                raise
            if "full" in str(error):
                raise DiskFullError(f"{name} cannot be written: {error}.") from error
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{name} cannot be written or read: {error}.") from error
            raise StoreError(f"{name} is damaged: {error}.") from error

    return call


def _is_of_the_file(error: sqlite3.DatabaseError) -> bool:
    """And not a mistake of ours, such as a constraint that does not hold."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


class _Cursor(sqlite3.Cursor):
    execute = _named(sqlite3.Cursor.execute)
    executemany = _named(sqlite3.Cursor.executemany)
    fetchone = _named(sqlite3.Cursor.fetchone)
    fetchmany = _named(sqlite3.Cursor.fetchmany)
    fetchall = _named(sqlite3.Cursor.fetchall)
    __next__ = _named(sqlite3.Cursor.__next__)
