"""SQLite files of ours: opened safely, brought up to date, written in whole transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unseen.errors import StoreError

PAGE_BYTES = 16384  # rows are a little over a kilobyte: smaller pages would be a sixth air
BUSY_SECONDS = 60.0


def connect(path: Path, migrations: Sequence[str], what: str) -> sqlite3.Connection:
    """The database at `path`, made or migrated if need be; `what` it is, for the StoreError.

    `PRAGMA user_version` is the number of `migrations` that a file has had.
    """
    try:
        return _connect(path, migrations, what)
    except sqlite3.OperationalError as error:  # locked, read-only, a full disk
        raise StoreError(f"{path}: this {what} cannot be opened to be written ({error}).") from None
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: this is no {what}, or it is damaged ({error}).") from None


def _connect(path: Path, migrations: Sequence[str], what: str) -> sqlite3.Connection:
    # Transactions are written out (BEGIN IMMEDIATE), so the module shall begin none of its own.
    database = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StoreError(
                f"{path}: a later version of unseen made this {what} (format {version}, this one "
                f"knows {len(migrations)}): upgrade, or put the file elsewhere and make another."
            )
        if version == 0:
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        _migrate(database, migrations)
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
