"""A file's SHA-256, against hashlib over the whole of it; and its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from unseen.system.digest import CHUNK_BYTES, checksum, file_chunks, sha256


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_file_of_any_size(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    assert sha256(file_chunks(path)) == hashlib.sha256(content[:size]).digest()


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256(file_chunks(tmp_path / "none"))


def test_the_checksum_of_a_file_is_xxh3(tmp_path: Path) -> None:
    """Against what `xxhsum -H2` prints."""
    path = tmp_path / "file"
    for content, right in {
        b"": "99aa06d3014798d86001c324468d497f",
        b"a": "a96faf705af16834e6c632b61e964e1f",
    }.items():
        path.write_bytes(content)
        assert checksum(path) == right
    with pytest.raises(FileNotFoundError):
        checksum(tmp_path / "none")
