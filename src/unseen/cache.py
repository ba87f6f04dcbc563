"""What is kept on disk under `$UNSEEN_HOME`: compiled networks, prompt vectors, file hashes.

Keys are content. Whatever is written goes to a temporary name in the same folder and is renamed, a
lock guards each key, and what is damaged is thrown away and made again, with a warning. A home
that cannot be written to is replaced by a temporary one for this process, with a warning.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from unseen.errors import UnseenWarning

MANIFEST = "manifest.json"  # written last: a folder without one was never finished
STALE_SECONDS = 24 * 3600  # older leftovers of killed processes are swept away
HEX_256 = re.compile(r"[0-9a-f]{64}")


def home() -> Path:
    """`$UNSEEN_HOME`, or the platform's cache folder; made when it is missing."""
    wanted = os.environ.get("UNSEEN_HOME") or platformdirs.user_cache_dir("unseen", appauthor=False)
    return _usable(wanted)


@cache
def _usable(wanted: str) -> Path:
    folder = Path(wanted).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(
            f"{folder} cannot be written to ({error.strerror}); what is compiled is kept for this "
            "process only. Set UNSEEN_HOME to a folder of your own.",
            UnseenWarning,
            stacklevel=3,
        )
        return Path(tempfile.mkdtemp(prefix="unseen-"))


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file, or the one that was there before."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what was written there takes its place at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# folders that are made once


def build_folder(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of `key`; `make` fills it when it is not there, in one process of all.

    Sizes are checked here; `verify` checks the bytes.
    """
    folder = home() / "networks" / key
    if _complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{key}.lock")):
        if _complete(folder):  # made while this process waited
            return folder
        if folder.exists():
            warnings.warn(f"{folder} is damaged; making it again.", UnseenWarning, stacklevel=2)
            discard(folder)
        _sweep(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".tmp", dir=folder.parent))
        try:
            make(temporary)
            files = {
                p.name: {"size": p.stat().st_size, "sha256": _sha256(p)}
                for p in sorted(temporary.iterdir())
            }
            write_atomically(temporary / MANIFEST, json.dumps(files).encode())
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def verify(folder: Path) -> bool:
    """Whether every file has the bytes that were written; about 2 GB a second."""
    files = _manifest(folder)
    return files is not None and all(
        (folder / name).is_file() and _sha256(folder / name) == facts["sha256"]
        for name, facts in files.items()
    )


def discard(folder: Path) -> None:
    """Out of sight in one step, then away, so that no reader sees half of it."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    folder.replace(aside / "gone")
    shutil.rmtree(aside, ignore_errors=True)


def _manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    try:
        files: dict[str, dict[str, Any]] = json.loads((folder / MANIFEST).read_text("utf-8"))
        return files
    except (OSError, ValueError):
        return None


def _complete(folder: Path) -> bool:
    files = _manifest(folder)
    try:
        return files is not None and all(
            (folder / name).stat().st_size == facts["size"] for name, facts in files.items()
        )
    except OSError:
        return False


def _sweep(folder: Path) -> None:
    for leftover in folder.glob(".*.tmp"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


# hashes of files


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex: remembered as long as the file's size and times stay.

    The Hugging Face cache names large files by their sha256: such a name is taken at its word.
    """
    path = path.resolve()
    if path.parent.name == "blobs" and HEX_256.fullmatch(path.name):
        return path.name
    stat = path.stat()
    if stat.st_size < 1 << 20:
        return _sha256(path)
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    memo = home() / "hashes" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.txt"
    try:
        known = memo.read_text("ascii")
        if HEX_256.fullmatch(known):
            return known
    except (OSError, UnicodeDecodeError):
        pass
    memo.parent.mkdir(parents=True, exist_ok=True)
    digest = _sha256(path)
    write_atomically(memo, digest.encode())
    return digest


# vectors of prompts


class VectorCache:
    """Embeddings of prompts in one SQLite file: (model fingerprint, prompt) → float32 (d,)."""

    def get_many(self, model: str, prompts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Those of `prompts` that are known. Rows that fail their checksum are not."""
        path = self._path
        if not prompts or not path.exists():
            return {}
        wanted = set(prompts)
        query = (
            "SELECT prompt, vector, crc FROM vectors WHERE model = ? AND prompt IN "
            "(SELECT value FROM json_each(?))"
        )
        with self._remade_when_damaged() as connect, closing(connect()) as db:
            rows = db.execute(query, (model, json.dumps(list(wanted)))).fetchall()
            return {
                prompt: np.frombuffer(vector, dtype="<f4").astype(np.float32)
                for prompt, vector, crc in rows
                if zlib.crc32(vector) == crc
            }
        return {}

    def put_many(self, model: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep them; a full disk loses the cache's use, not the run."""
        rows = []
        for prompt, vector in vectors.items():
            blob = vector.astype("<f4").tobytes()
            rows.append((model, prompt, blob, zlib.crc32(blob)))
        with self._remade_when_damaged() as connect, closing(connect()) as db, db:
            db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def lock(self, model: str) -> Iterator[None]:
        """Held while new prompts of `model` are encoded: another process waits and finds them."""
        with FileLock(home() / f".prompts-{model}.lock"):
            yield

    @property
    def _path(self) -> Path:
        return home() / "prompts.sqlite"

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=60)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a cache may lose its last rows, not its order
        db.execute(
            "CREATE TABLE IF NOT EXISTS vectors (model TEXT, prompt TEXT, vector BLOB, "
            "crc INTEGER, PRIMARY KEY (model, prompt)) WITHOUT ROWID"
        )
        return db

    @contextmanager
    def _remade_when_damaged(self) -> Iterator[Callable[[], sqlite3.Connection]]:
        try:
            yield self._connect
        except sqlite3.OperationalError as error:  # locked, full, read-only
            warnings.warn(f"{self._path}: {error}; going on without.", UnseenWarning, stacklevel=4)
        except sqlite3.DatabaseError as error:
            warnings.warn(
                f"{self._path} is damaged ({error}); it is thrown away and made again.",
                UnseenWarning,
                stacklevel=4,
            )
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes in all files below `folder`."""
    return sum(_sizes(folder.rglob("*")))


def _sizes(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        if path.is_file():
            yield path.stat().st_size
