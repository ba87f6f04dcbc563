"""API keys: several, hashed in a file, compared in constant time.

A line of the file is NAME:SHA256. Keys are 32 random bytes, for which one SHA-256 is enough: there
is no dictionary to try.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from unseen.errors import SourceError
from unseen.system.cache import write_atomically
from unseen.system.regular_file import read_text

LINE = re.compile(r"([\w.-]{1,64}):([0-9a-f]{64})")


class Keys:
    """The keys of a server; one without keys is open to all."""

    def __init__(self, hashes: Iterable[tuple[str, str]]) -> None:
        self.replace(hashes)

    def replace(self, hashes: Iterable[tuple[str, str]]) -> None:
        """Uses other keys from now on."""
        self._hashes = [(name, bytes.fromhex(digest)) for name, digest in hashes]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def name_of(self, key: str | None) -> str | None:
        """Whose key it is; None for an unknown one. Every hash is compared, so that the time tells
        nothing."""
        key_hash = hashlib.sha256((key or "").encode("utf-8", "surrogatepass")).digest()
        owner = None
        for name, digest in self._hashes:
            if hmac.compare_digest(key_hash, digest):
                owner = name
        return owner


def read(path: Path) -> list[tuple[str, str]]:
    """The names and hashes of a file of keys. SourceError names a line that cannot be read."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: the keys cannot be read: {error}.") from None
    hashes = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise SourceError(
                f"{path}:{number}: a line is NAME:SHA256; `unseen keys add {path} NAME` makes one."
            )
        hashes.append((match[1], match[2]))
    if not hashes:
        raise SourceError(f"{path}: no keys in it; `unseen keys add {path} NAME` makes one.")
    return hashes


def digest(key: str) -> str:
    """The hash of a key, as the file has it."""
    return hashlib.sha256(key.encode()).hexdigest()


def add(path: Path, name: str) -> str:
    """A new key of `name`. It is returned and stored nowhere: the file gets its hash."""
    if LINE.fullmatch(f"{name}:{'0' * 64}") is None:
        raise SourceError(f"bad name of a key: {name!r}; use letters, digits, ., - and _.")
    path.parent.stat()  # an OSError where it is missing: the lock would make it
    with FileLock(path.with_name(f".{path.name}.lock")):
        return _add(path, name)


def _add(path: Path, name: str) -> str:
    entries = read(path) if path.exists() and path.stat().st_size else []
    if name in (owner for owner, _ in entries):
        raise SourceError(f"{path}: there is a key called {name!r} already; remove its line first.")
    key = secrets.token_urlsafe(32)
    old = read_text(path) if path.exists() else ""
    if old and not old.endswith("\n"):
        old += "\n"
    write_atomically(path, f"{old}{name}:{digest(key)}\n".encode())
    return key
