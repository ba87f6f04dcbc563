"""SQLite files: opened safely, brought up to date, written in whole transactions."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unseen.errors import StoreError

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
            return _connect(str(path), migrations, what)
        except sqlite3.OperationalError:
            if not (readable and path.is_file() and not os.access(path.parent, os.W_OK)):
                raise
            return _connect_to_read(path, migrations, what)
    except sqlite3.OperationalError as error:  # locked, read-only, a full disk
        raise StoreError(f"{path}: this {what} cannot be opened ({error}).") from None
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: not a valid {what}, or it is damaged ({error}).") from None


def _connect_to_read(path: Path, migrations: Sequence[str], what: str) -> sqlite3.Connection:
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


def _connect(location: str, migrations: Sequence[str], what: str) -> sqlite3.Connection:
    # Transactions are written out (BEGIN IMMEDIATE), so the module shall begin none of its own.
    database = sqlite3.connect(
        location,
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
        database.execute("ROLLBACK")
        raise


def is_temporary(error: sqlite3.DatabaseError) -> bool:
    """Whether the error is around the file, not in it: it will pass."""
    return isinstance(error, sqlite3.OperationalError) and any(
        word in str(error) for word in ("locked", "full", "readonly", "unable to open", "I/O")
    )
