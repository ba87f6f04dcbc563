"""Embeddings that were made elsewhere → rows of an index, as if it had made them itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unseen.errors import StoreError
from unseen.index.index import Index
from unseen.index.model_rows import Key, add_key
from unseen.index.update import CONTENT_BYTES, key_of
from unseen.system.locks import locked
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
    index: Index,
    name: str,
    revision: str | None,
    key: Key,
    dimension: int,
    files: Iterable[list[EncodedFile]],
) -> int:
    """Add rows to an index, a batch a transaction; a content that it has already keeps its row.

    Parameters
    ----------
    index : Index
        Whose folder is above the files.
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

    Raises
    ------
    StoreError
        If the index cannot be written.
    """
    count = 0
    try:
        with locked(index.folder / "update.lock", str(index.file)):
            model = add_key(index.database, name, revision, key, dimension)
            for batch in files:
                with transaction(index.database):
                    for file in batch:
                        _add(index, model, file)
                count += len(batch)
    except sqlite3.OperationalError as error:
        raise StoreError(f"{index.file}: cannot be written: {error}.") from None
    return count


def _add(index: Index, model: int, file: EncodedFile) -> None:
    content = file.sha256[:CONTENT_BYTES]
    index.database.execute(
        "INSERT OR IGNORE INTO picture "
        "(model, content, bytes, width, height, embedding, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            model, content, file.size, file.width, file.height, file.embedding,
            None if file.error is None else escaped(file.error),
        ),
    )  # fmt: skip
    index.database.execute(
        "INSERT INTO file (path, content, size, modified_ns) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET content = excluded.content, "
        "size = excluded.size, modified_ns = excluded.modified_ns, missing = NULL",
        (escaped(key_of(file.path, index.root)), content, file.size, file.modified_ns),
    )
