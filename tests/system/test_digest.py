"""A file's SHA-256, against hashlib over the whole of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from unseen.system.digest import CHUNK_BYTES, file_chunks, sha256


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_file_of_any_size(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    assert sha256(file_chunks(path)) == hashlib.sha256(content[:size]).digest()


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256(file_chunks(tmp_path / "none"))
