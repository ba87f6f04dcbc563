"""What is cached on disk under `$UNSEEN_HOME`: compiled networks, file hashes; atomic writes.

Keys are content. Whatever is written goes to a temporary name in the same folder and is renamed, a
lock guards each key, and what is damaged is deleted and made again, with a warning. A home
that is read-only or full is replaced by a temporary one for this process, with a warning.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

from unseen.errors import StoreError, UnseenWarning
from unseen.system.digest import checksum, file_chunks, sha256
from unseen.system.locks import give_back, hold, locked

MANIFEST = "manifest.json"  # written last: a folder without one was never finished
CHECKSUM = "xxh3_128"  # of each file, in a manifest
STALE_SECONDS = 24 * 3600  # older leftovers of killed processes are swept away
INDEX_HOME = "UNSEEN_INDEX_HOME"
DRAFT = ".unseen-"  # what the folders of unfinished files begin with
DRAFT_LOCK = ".lock"
DRAFT_SECONDS = 5.0  # a younger one may not have its lock yet
HEX_256 = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"[\w-][\w.+-]*")
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

_homes: dict[str, Path] = {}  # what is configured → what can be written to


def index_home(root: Path) -> Path | None:
    """Where `$UNSEEN_INDEX_HOME` keeps the index and the labellings of a folder, by a digest of its
    path; None where it is not set."""
    home = os.environ.get(INDEX_HOME)
    if not home:
        return None
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    return Path(home).expanduser().absolute() / digest


def home() -> Path:
    """`$UNSEEN_HOME`, or the platform's cache folder; made when it is missing.

    StoreError where nothing can be written to at all.
    """
    location = os.environ.get("UNSEEN_HOME") or platformdirs.user_cache_dir(
        "unseen", appauthor=False
    )
    if location not in _homes:
        folder = Path(location).expanduser().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                _homes[location] = folder
        except OSError as error:
            _homes[location] = _temporary_home(folder, error)
    return _homes[location]


def _temporary_home(folder: Path, error: OSError) -> Path:
    warnings.warn(
        f"{folder} cannot be written to ({error.strerror}); what is compiled is kept for this "
        "process only. Set UNSEEN_HOME to a folder of your own, with room in it.",
        UnseenWarning,
        stacklevel=3,
    )
    try:
        temporary = tempfile.mkdtemp(prefix="unseen-")
    except FileNotFoundError:
        raise StoreError(
            f"{folder} cannot be written to ({error.strerror}), and neither can any folder for "
            "temporary files. Set UNSEEN_HOME to a folder of your own, with room in it."
        ) from None
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file, or the one that was there before."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what was written there takes its place at the end."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent` for what is not finished, deleted at the end.

    Those of processes that were killed, whose locks nobody holds any more, are deleted first.
    """
    for leftover in parent.glob(f"{DRAFT}*/{DRAFT_LOCK}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > DRAFT_SECONDS and (lock := hold(leftover)):
                give_back(lock)
                shutil.rmtree(leftover.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=parent) as folder:
        lock = hold(Path(folder) / DRAFT_LOCK)
        try:
            yield Path(folder)
        finally:
            if lock is not None:
                give_back(lock)


# folders that are made once


def build_folder(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of `key`; `make` fills it when it is not there, in one process of all.

    Sizes are checked here; `verify` checks the bytes.
    """
    if not KEY.fullmatch(key):
        raise ValueError(f"invalid cache key {key!r}: use letters, digits, _, -, + and . only.")
    try:
        return _build(home() / "networks" / key, make)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        for location, folder in _homes.items():
            if folder == home():
                _homes[location] = _temporary_home(folder, error)
        return _build(home() / "networks" / key, make)


def intact_folder(key: str, make: Callable[[Path], None]) -> Path:
    """As `build_folder`, its files held against their digests: a damaged one is made again."""
    folder = build_folder(key, make)
    if not verify(folder):
        discard(folder)
        folder = build_folder(key, make)
    return folder


def complete_folder(key: str) -> Path | None:
    """The folder of `key` where it is there, by the sizes of its files; nothing is made."""
    folder = home() / "networks" / key
    return folder if _complete(folder) else None


def kept_folder(key: str) -> Path | None:
    """The folder of `key` where it is there and intact; nothing is made."""
    folder = home() / "networks" / key
    return folder if verify(folder) else None


def _build(folder: Path, make: Callable[[Path], None]) -> Path:
    if _complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        if _complete(folder):  # made while this process waited
            return folder
        if folder.exists():
            warnings.warn(f"{folder} is damaged; making it again.", UnseenWarning, stacklevel=3)
            _remove(folder)
        _sweep(folder)
        temporary = _temporary_folder(folder)
        try:
            make(temporary)
            files = {
                p.name: {"size": p.stat().st_size, CHECKSUM: checksum(p)}
                for p in sorted(temporary.iterdir())
            }
            write_atomically(temporary / MANIFEST, json.dumps(files).encode())
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def verify(folder: Path) -> bool:
    """Whether every file has the bytes that were written; about 13 GB a second."""
    try:
        return _complete(folder) and all(
            _is_intact(folder / name, facts) for name, facts in _manifest(folder).items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _is_intact(path: Path, facts: dict[str, Any]) -> bool:
    if CHECKSUM in facts:
        return bool(checksum(path) == facts[CHECKSUM])
    return bool(_sha256(path) == facts["sha256"])  # as 0.1.0 wrote it


def remove(key: str) -> None:
    """Delete the folder of `key`."""
    folder = home() / "networks" / key
    with _lock(folder):
        _remove(folder)


def discard(folder: Path) -> None:
    """Delete a damaged folder, unless another process has made it again by now."""
    with _lock(folder):
        if not verify(folder):
            _remove(folder)


def _lock(folder: Path) -> AbstractContextManager[None]:
    return locked(folder.with_name(f".{folder.name}.lock"), str(folder))


def _temporary_folder(folder: Path) -> Path:
    """A new temporary folder, named so that `_sweep` knows whose it is."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()  # not mkdtemp: a home may be shared, and its folders are for all to read
    return temporary


def _remove(folder: Path) -> None:
    """Out of sight in one step, then away, so that no reader sees half of it."""
    if folder.exists():
        trash = _temporary_folder(folder)
        folder.replace(trash / "gone")
        shutil.rmtree(trash, ignore_errors=True)


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """The files that were written. OSError or ValueError when the manifest cannot be read."""
    files = json.loads((folder / MANIFEST).read_text("utf-8"))
    if not isinstance(files, dict) or not all(isinstance(f, dict) for f in files.values()):
        raise ValueError("this is not a manifest")
    return files


def _complete(folder: Path) -> bool:
    try:
        return all(
            (folder / name).stat().st_size == facts["size"]
            for name, facts in _manifest(folder).items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _sweep(folder: Path) -> None:
    """Delete leftovers of killed processes: of this folder, whose lock is held, or a day old."""
    for leftover in folder.parent.glob(".*.tmp"):
        if leftover.name.startswith(f".{folder.name}.") or is_stale(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def is_stale(leftover: Path) -> bool:
    """Whether a temporary folder is a day old, so that whoever began it was killed."""
    try:
        return time.time() - leftover.stat().st_mtime > STALE_SECONDS
    except OSError:  # another process sweeps as well
        return False


# hashes of files


def _sha256(path: Path) -> str:
    return sha256(file_chunks(path)).hex()


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
    facts = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    key = hashlib.sha256(os.fsencode(facts)).hexdigest()[:32]
    remembered = recall(key)
    if remembered is not None and HEX_256.fullmatch(remembered):
        return remembered
    digest = _sha256(path)
    if path.stat().st_mtime_ns == stat.st_mtime_ns:  # not written to meanwhile
        remember(key, digest)
    return digest


def recall(key: str) -> str | None:
    """What `remember` was given for `key`, by this process or another; else None."""
    with suppress(OSError, UnicodeDecodeError):
        return _memo(key).read_text("ascii")
    return None


def remember(key: str, text: str) -> None:
    """Keep a short ASCII text, where there is room for it: it must be easy to make again."""
    memo = _memo(key)
    with suppress(OSError):  # a full disk, a folder that is read-only
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memo, text.encode("ascii"))


def _memo(key: str) -> Path:
    return home() / "hashes" / f"{key}.txt"


def size_of(folder: Path) -> int:
    """Bytes in all files below `folder`."""
    return sum(_sizes(folder.rglob("*")))


def _sizes(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        if path.is_file():
            yield path.stat().st_size
