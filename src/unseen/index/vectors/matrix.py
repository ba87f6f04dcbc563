"""The embeddings of a model as one memory-mapped float16 array, derived from the rows.

Three files beside the database: the vectors, the ids of their rows, and a note of what they were
made of, written last. What does not fit the rows is made again; new rows are appended.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.system.cache import write_atomically
from unseen.system.locks import locked

ROWS = 4096  # read from the database at once
HALF, ID = np.dtype("<f2"), np.dtype("<i8")


@dataclass(frozen=True)
class Table:
    """Whose embeddings a matrix has.

    Parameters
    ----------
    stem : str
        What its files are called, before the id of the model.
    rows : str
        SQL: the rows of a model, called `item`, of which `id` and `embedding` are read.
    """

    stem: str
    rows: str


PICTURES = Table("vectors", "picture AS item WHERE item.model = ?")


@dataclass(frozen=True)
class Matrix:
    """`ids` (n,) int64, of the rows in a table; `vectors` (n, d) float16, rows of length 1."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class _State:
    """What a matrix is made of: `changes` of its model, and its rows up to the id `last`."""

    changes: int
    count: int
    last: int
    dimension: int


def matrix(
    database: sqlite3.Connection, folder: Path, model: int, table: Table = PICTURES
) -> Matrix:
    """The matrix of a model, brought up to date; its files are in `folder`.

    Where the folder cannot be written, what does not fit the rows is made in memory.
    """
    stem = folder / f"{table.stem}-{model}"
    target = _target(database, model, table)
    if not os.access(folder, os.W_OK):
        state = _current(stem, target)
        fits = state is not None and state.last == target.last
        return _map(stem, state) if state and fits else _in_memory(database, model, target, table)
    with locked(stem.with_suffix(".lock"), f"{stem}.*"):
        target = _target(database, model, table)
        state = _current(stem, target)
        if state is None:
            state = _State(target.changes, 0, 0, target.dimension)
            clear(folder, model, table)
        if state.last < target.last:
            state = _append(_rows_after(database, model, table, state.last), stem, state)
        return _map(stem, state)


def vector_of(half: bytes) -> NDArray[np.float32]:
    """An embedding as a row of `picture` holds it → float32 (d,)."""
    return np.frombuffer(half, dtype=HALF).astype(np.float32)


def _target(database: sqlite3.Connection, model: int, table: Table) -> _State:
    """The state that the matrix is to be in; its count is not known yet."""
    changes, dimension = database.execute(
        "SELECT changes, dimension FROM model WHERE id = ?", (model,)
    ).fetchone()
    (last,) = database.execute(
        f"SELECT coalesce(max(item.id), 0) FROM {table.rows} AND item.embedding IS NOT NULL",
        (model,),
    ).fetchone()
    return _State(changes, 0, last, dimension)


def _current(stem: Path, target: _State) -> _State | None:
    """The state of the files, if they are whole and rows need only be appended to them."""
    try:
        state = _State(**json.loads(stem.with_suffix(".note").read_text("utf-8")))
        sizes = [stem.with_suffix(suffix).stat().st_size for suffix in (".f16", ".ids")]
        whole = sizes[0] >= state.count * state.dimension * 2 and sizes[1] >= state.count * 8
    except (OSError, ValueError, TypeError):
        return None
    fits = (state.changes, state.dimension) == (target.changes, target.dimension)
    return state if whole and fits else None


def _in_memory(database: sqlite3.Connection, model: int, target: _State, table: Table) -> Matrix:
    rows = _rows_after(database, model, table, 0).fetchall()
    vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=HALF)
    return Matrix(
        np.array([row[0] for row in rows], dtype=ID), vectors.reshape(-1, target.dimension)
    )


def _rows_after(
    database: sqlite3.Connection, model: int, table: Table, last: int
) -> sqlite3.Cursor:
    return database.execute(
        f"SELECT item.id, item.embedding FROM {table.rows} AND item.id > ? "
        "AND item.embedding IS NOT NULL ORDER BY item.id",
        (model, last),
    )


def _append(rows: sqlite3.Cursor, stem: Path, state: _State) -> _State:
    count, last = state.count, state.last
    with _opened(stem.with_suffix(".f16")) as vectors, _opened(stem.with_suffix(".ids")) as ids:
        # What a killed process wrote after its last note is written over.
        vectors.seek(count * state.dimension * 2)
        ids.seek(count * 8)
        while batch := rows.fetchmany(ROWS):
            vectors.write(b"".join(row[1] for row in batch))
            ids.write(np.array([row[0] for row in batch], dtype=ID).tobytes())
            count, last = count + len(batch), batch[-1][0]
    state = _State(state.changes, count, last, state.dimension)
    write_atomically(stem.with_suffix(".note"), json.dumps(state.__dict__).encode())
    return state


def _opened(path: Path) -> Any:
    return path.open("r+b" if path.exists() else "w+b")


def _map(stem: Path, state: _State) -> Matrix:
    if state.count == 0:
        return Matrix(np.zeros(0, dtype=ID), np.zeros((0, state.dimension), dtype=HALF))
    return Matrix(
        np.memmap(stem.with_suffix(".ids"), ID, "r", shape=(state.count,)),
        np.memmap(stem.with_suffix(".f16"), HALF, "r", shape=(state.count, state.dimension)),
    )


def clear(folder: Path, model: int, table: Table = PICTURES) -> None:
    """Throws the derived files of a model away."""
    # The note first: without it nothing is trusted.
    for suffix in (".note", ".f16", ".ids"):
        (folder / f"{table.stem}-{model}{suffix}").unlink(missing_ok=True)
