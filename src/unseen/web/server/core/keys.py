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

from unseen.errors import SourceError
from unseen.system.cache import write_atomically

LINE = re.compile(r"([\w.-]{1,64}):([0-9a-f]{64})")


class Keys:
    """The keys that open a server; none: it is open."""

    def __init__(self, hashes: Iterable[tuple[str, str]]) -> None:
        self.replace(hashes)

    def replace(self, hashes: Iterable[tuple[str, str]]) -> None:
        """Other keys from now on."""
        self._hashes = [(name, bytes.fromhex(digest)) for name, digest in hashes]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def name_of(self, key: str | None) -> str | None:
        """Whose key it is; None for one that is not known. Every key is compared, always."""
        given = hashlib.sha256((key or "").encode("utf-8", "surrogatepass")).digest()
        found = None
        for name, digest in self._hashes:
            if hmac.compare_digest(given, digest):
                found = name
        return found


def read(path: Path) -> list[tuple[str, str]]:
    """The names and hashes of a file of keys. SourceError names the line that is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
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
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def add(path: Path, name: str) -> str:
    """A new key of `name`, which is returned and kept nowhere: its hash is added to the file."""
    if LINE.fullmatch(f"{name}:{'0' * 64}") is None:
        raise SourceError(f"{name!r}: a key's name has letters, digits, ., - and _ only.")
    known = read(path) if path.exists() and path.stat().st_size else []
    if name in (other for other, _ in known):
        raise SourceError(f"{path}: there is a key called {name!r} already; take it out first.")
    key = secrets.token_urlsafe(32)
    old = path.read_text("utf-8") if path.exists() else ""
    if old and not old.endswith("\n"):
        old += "\n"
    write_atomically(path, f"{old}{name}:{digest(key)}\n".encode())
    return key
