"""The SHA-256 of files, read in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from unseen.system.regular_file import open_regular

CHUNK_BYTES = 1 << 20


def file_chunks(path: Path) -> Iterator[bytes]:
    """The content of a file, a megabyte at a time. Raises OSError."""
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def sha256(chunks: Iterable[bytes | memoryview]) -> bytes:
    """The 32 bytes of the SHA-256 of all chunks together."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
