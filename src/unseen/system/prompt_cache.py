"""The embeddings of prompts, cached in one SQLite file under `$UNSEEN_HOME`."""

from __future__ import annotations

import sqlite3
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from unseen.errors import UnseenWarning
from unseen.system.cache import home
from unseen.system.locks import locked
from unseen.system.sqlite import is_temporary
from unseen.types import Floats

SQL_VARIABLES = 900  # prompts in one query: SQLite before 3.32 takes 999


class VectorCache:
    """Embeddings of prompts in one SQLite file: (model fingerprint, prompt) → float32 (d,).

    A row's checksum is over its key too: a flipped bit must not turn one prompt into another.
    """

    def get_many(self, model: str, prompts: Sequence[str]) -> dict[str, Floats]:
        """The vectors of `prompts` that are cached; rows that fail their checksum are left out."""
        unique = list(dict.fromkeys(filter(_is_utf8, prompts)))
        if not unique or not self._path.exists():
            return {}
        cached = {}
        with self._recreated_if_damaged() as connect, closing(connect()) as db:
            for start in range(0, len(unique), SQL_VARIABLES):
                chunk = unique[start : start + SQL_VARIABLES]
                query = (
                    "SELECT prompt, vector, crc FROM vectors WHERE model = ? "
                    f"AND prompt IN ({', '.join('?' * len(chunk))})"
                )
                for prompt, vector, crc in db.execute(query, (model, *chunk)):
                    if isinstance(vector, bytes) and _checksum(model, prompt, vector) == crc:
                        cached[prompt] = np.frombuffer(vector, dtype="<f4").astype(np.float32)
        return cached

    def put_many(self, model: str, vectors: Mapping[str, Floats]) -> None:
        """Store them; on a full disk the cache is of no use, but the run goes on."""
        rows = []
        for prompt in filter(_is_utf8, vectors):
            blob = vectors[prompt].astype("<f4").tobytes()
            rows.append((model, prompt, blob, _checksum(model, prompt, blob)))
        with self._recreated_if_damaged() as connect, closing(connect()) as db, db:
            db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def lock(self, model: str) -> Iterator[None]:
        """Held while new prompts of `model` are encoded: another process waits and finds them."""
        with locked(home() / f".prompts-{model}.lock", f"the prompts in {self._path}"):
            yield

    def count(self) -> int:
        """How many prompts are cached."""
        if not self._path.exists():
            return 0
        with self._recreated_if_damaged() as connect, closing(connect()) as db:
            return int(db.execute("SELECT count(*) FROM vectors").fetchone()[0])
        return 0

    def bytes(self) -> int:
        """Of the file."""
        return sum(file.stat().st_size for file in self._files if file.exists())

    def delete(self) -> None:
        """Delete the file."""
        with locked(home() / ".prompts.lock", str(self._path)):
            for file in self._files:
                file.unlink(missing_ok=True)

    @property
    def _files(self) -> list[Path]:
        """The log first: never a new file beside an old log."""
        return [Path(f"{self._path}{suffix}") for suffix in ("-wal", "-shm", "")]

    @property
    def _path(self) -> Path:
        return home() / "prompts.sqlite"

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=60)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # a cache may lose its last rows
            db.execute(
                "CREATE TABLE IF NOT EXISTS vectors (model TEXT, prompt TEXT, vector BLOB, "
                "crc INTEGER, PRIMARY KEY (model, prompt)) WITHOUT ROWID"
            )
        except BaseException:  # it is damaged, or full
            db.close()
            raise
        return db

    @contextmanager
    def _recreated_if_damaged(self) -> Iterator[Callable[[], sqlite3.Connection]]:
        try:
            yield self._connect
        except sqlite3.DatabaseError as error:
            if is_temporary(error):
                action = "continuing without it"
            else:
                action = "it is damaged, and is made again"
                self._discard()
            warnings.warn(f"{self._path}: {error}; {action}.", UnseenWarning, stacklevel=4)

    def _discard(self) -> None:
        with locked(home() / ".prompts.lock", str(self._path)):
            if self._healthy():
                return  # another process has made it again by now
            for file in self._files:
                file.unlink(missing_ok=True)

    def _healthy(self) -> bool:
        try:
            with closing(self._connect()) as db:
                db.execute("SELECT model, prompt, vector, crc FROM vectors LIMIT 1").fetchall()
                answer: tuple[str] = db.execute("PRAGMA quick_check").fetchone()
                return answer == ("ok",)
        except sqlite3.DatabaseError as error:
            return is_temporary(error)


def _is_utf8(prompt: str) -> bool:
    """SQLite stores UTF-8, which a lone surrogate does not have: the tokenizer will refuse it."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checksum(model: str, prompt: str, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(f"{model}\0{prompt}".encode()))
