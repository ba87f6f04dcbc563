"""The embeddings of pictures, cached by content in one SQLite file under `$UNSEEN_HOME`.

What was encoded once is not encoded again, whatever command meets it and whatever its name is. The
file is bounded: those that were not used for longest go first. Numbers are kept as they were
computed (float32), so that an answer from the cache is the answer without it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unseen.errors import StoreError, UnseenWarning
from unseen.system.cache import home
from unseen.system.locks import locked
from unseen.system.sqlite import is_temporary
from unseen.types import Floats

FILE = "embeddings.sqlite"
LIMIT = "UNSEEN_CACHE_BYTES"
DEFAULT_BYTES = 1_000_000_000  # 180,000 pictures of the built-in model, 480,000 of 512 numbers
PAGE_BYTES = 8192  # holds a row of 1,384 numbers
DAY = 24 * 3600  # so exactly is kept when a row was used: reading need not write each time
REMAINING = 0.9  # of the limit, after rows were deleted
BUSY_SECONDS = 5.0  # longer than this nobody waits for a cache
_INHERITED: list[sqlite3.Connection] = []  # of a parent that was forked
SCHEMA = """
CREATE TABLE IF NOT EXISTS model (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS embedding (
    content BLOB NOT NULL,     -- sha256 of the bytes of a picture
    model INTEGER NOT NULL,
    used INTEGER NOT NULL,     -- days since 1970
    crc INTEGER NOT NULL,      -- of the key, the content and the vector
    vector BLOB NOT NULL,      -- float32, little-endian
    UNIQUE (content, model)
);
CREATE INDEX IF NOT EXISTS embedding_used ON embedding (used);
"""


def limit() -> int:
    """The bytes that the file may take: `$UNSEEN_CACHE_BYTES`; 0: there is no cache. StoreError."""
    given = os.environ.get(LIMIT)
    if given is None:
        return DEFAULT_BYTES
    if not given.isdecimal():
        raise StoreError(f"{LIMIT} is {given!r}; it is a number of bytes, or 0 for no cache.")
    return int(given)


class EmbeddingCache:
    """(what encodes, SHA-256 of a picture) → float32 (d,). May be used by several threads.

    A cache never stands in the way: what cannot be read or written is left, and a damaged file is
    made again, with a warning.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._opened: tuple[Path, int, sqlite3.Connection] | None = None
        self._used: list[tuple[int, bytes, str]] = []  # rows whose day is to be written

    def get(self, key: str, content: bytes) -> Floats | None:
        """The embedding of a content, if it is here."""
        if not limit() or not _path().exists():
            return None
        with self._lock, self._undamaged() as connected:
            row = (
                connected()
                .execute(
                    "SELECT vector, crc, used FROM embedding "
                    "WHERE content = ? AND model = (SELECT id FROM model WHERE key = ?)",
                    (content, key),
                )
                .fetchone()
            )
            if row is None:
                return None
            vector, crc, used = row
            if not isinstance(vector, bytes) or _checksum(key, content, vector) != crc:
                return None
            if used < _today():
                self._used.append((_today(), content, key))
            return np.frombuffer(vector, dtype="<f4").astype(np.float32)
        return None

    def put(self, key: str, embeddings: Mapping[bytes, Floats]) -> None:
        """Keep embeddings by content; those that were not used for longest make room."""
        if not limit():
            return
        rows = []
        for content, embedding in embeddings.items():
            vector = embedding.astype("<f4").tobytes()
            rows.append((content, _today(), _checksum(key, content, vector), vector, key))
        with self._lock, self._undamaged() as connected:
            database = connected()
            with database:
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT OR IGNORE INTO model (key) VALUES (?)", (key,))
                database.executemany(
                    "INSERT OR REPLACE INTO embedding (content, used, crc, vector, model) "
                    "VALUES (?, ?, ?, ?, (SELECT id FROM model WHERE key = ?))",
                    rows,
                )
            _shrink(database, limit())

    def note_use(self) -> None:
        """Write the day of the rows that were read."""
        with self._lock:
            used, self._used = self._used, []
            if not used:
                return
            with self._undamaged() as connected, connected() as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "UPDATE embedding SET used = ? WHERE content = ? "
                    "AND model = (SELECT id FROM model WHERE key = ?)",
                    used,
                )

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._opened is not None and self._opened[1] == os.getpid():
                self._opened[2].close()
                self._opened = None

    def __del__(self) -> None:
        self.close()

    def _database(self) -> sqlite3.Connection:
        """The connection of this process: a forked one must leave that of its parent alone."""
        path, process = _path(), os.getpid()
        if self._opened is not None and self._opened[1] != process:
            _INHERITED.append(self._opened[2])
            self._opened = None
        if self._opened is None or self._opened[0] != path:
            self.close()
            self._opened = (path, process, _connect(path))
        return self._opened[2]

    @contextmanager
    def _undamaged(self) -> Iterator[Callable[[], sqlite3.Connection]]:
        try:
            yield self._database
        except sqlite3.DatabaseError as error:
            if is_temporary(error):
                return
            warnings.warn(
                f"{_path()}: {error}; it is damaged, and is made again.",
                UnseenWarning,
                stacklevel=5,
            )
            self.close()
            delete()


@dataclass(frozen=True)
class Contents:
    """What the file holds."""

    path: Path
    embeddings: int
    models: int
    bytes: int
    limit: int


def contents() -> Contents:
    """Counts and sizes; zeros where there is no file."""
    path = _path()
    counts = (0, 0)
    if path.exists():
        with suppress(sqlite3.DatabaseError):
            database = _connect(path)
            try:
                counts = database.execute(
                    "SELECT count(*), count(DISTINCT model) FROM embedding"
                ).fetchone()
            finally:
                database.close()
    size = sum(file.stat().st_size for file in _files() if file.exists())
    return Contents(path, *counts, size, limit())


def delete() -> None:
    """Delete the file."""
    with locked(home() / ".embeddings.lock", str(_path())):
        for file in _files():
            file.unlink(missing_ok=True)


def _path() -> Path:
    return home() / FILE


def _files() -> list[Path]:
    """The log first: never a new file beside an old log."""
    return [Path(f"{_path()}{suffix}") for suffix in ("-wal", "-shm", "")]


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        database.isolation_level = None
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file, as the next line
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a cache may lose its last rows
        database.executescript(SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _shrink(database: sqlite3.Connection, most: int) -> None:
    """Delete what was not used for longest, until the file is below its limit."""
    if _bytes(database) <= most:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        (count,) = database.execute("SELECT count(*) FROM embedding").fetchone()
        surplus = count - int(count * REMAINING * most / _bytes(database))
        database.execute(
            "DELETE FROM embedding WHERE rowid IN "
            "(SELECT rowid FROM embedding ORDER BY used, rowid LIMIT ?)",
            (surplus,),
        )
    database.execute("PRAGMA incremental_vacuum").fetchall()


def _bytes(database: sqlite3.Connection) -> int:
    """That rows take; pages that are free are used again."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE_BYTES


def _today() -> int:
    return int(time.time()) // DAY


def _checksum(key: str, content: bytes, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(content, zlib.crc32(key.encode())))
