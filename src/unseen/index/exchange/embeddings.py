"""Embeddings that were made elsewhere → rows of an index, as if it had made them itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unseen.index.collections.reading import key_of
from unseen.index.model_rows import Key, add_key
from unseen.index.update import CONTENT_BYTES
from unseen.system.printable import escaped
from unseen.system.sqlite import transaction


@dataclass(frozen=True)
class EncodedFile:
    """A file, and what a model made of it.

    Parameters
    ----------
    path : Path
        Where it lies.
    sha256 : bytes
        The 32 bytes of the SHA-256 of its content.
    size, modified_ns : int
        Of the file, by which an update knows it again.
    width, height : int, optional
        Upright, in pixels.
    embedding : bytes, optional
        float16, little-endian, of length 1. None: there is an error.
    error : str, optional
        Why there is no embedding.
    """

    path: Path
    sha256: bytes
    size: int
    modified_ns: int
    width: int | None = None
    height: int | None = None
    embedding: bytes | None = None
    error: str | None = None


def add_embeddings(
    database: sqlite3.Connection,
    root: Path,
    name: str,
    revision: str | None,
    key: Key,
    dimension: int,
    files: Iterable[list[EncodedFile]],
) -> int:
    """Add rows to an index, a batch a transaction; a content that it has already keeps its row.

    Parameters
    ----------
    database : sqlite3.Connection
        Of an index that nobody else writes meanwhile.
    root : Path
        The folder of the index, above the files.
    name, revision : str
        Of the model.
    key : Key
        What its embeddings are kept under.
    dimension : int
        Numbers of an embedding.
    files : iterable of list of EncodedFile
        In batches.

    Returns
    -------
    int
        How many files.
    """
    count = 0
    model = add_key(database, name, revision, key, dimension)
    for batch in files:
        with transaction(database):
            for file in batch:
                _add(database, root, model, file)
        count += len(batch)
    return count


def _add(database: sqlite3.Connection, root: Path, model: int, file: EncodedFile) -> None:
    content = file.sha256[:CONTENT_BYTES]
    database.execute(
        "INSERT OR IGNORE INTO picture "
        "(model, content, bytes, width, height, embedding, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            model, content, file.size, file.width, file.height, file.embedding,
            None if file.error is None else escaped(file.error),
        ),
    )  # fmt: skip
    database.execute(
        "INSERT INTO file (path, content, size, modified_ns) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET content = excluded.content, "
        "size = excluded.size, modified_ns = excluded.modified_ns, missing = NULL",
        (escaped(key_of(file.path, root)), content, file.size, file.modified_ns),
    )
