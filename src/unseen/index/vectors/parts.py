"""What each place of a picture adds to its embedding, kept in an index: any later label is
explained from it, and no picture is opened.

A table of its own, made by the first `--explainable`: an index without it is as it was, and a
version of unseen that does not know the table leaves it alone. Rows go with their picture.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import ModelError, UnseenError
from unseen.index.schema import FILES_BELOW
from unseen.sources.containers.container_file import resolve
from unseen.system.cpu import usable
from unseen.system.printable import escaped, unescaped
from unseen.system.sqlite import transaction

if TYPE_CHECKING:
    from unseen.explanation.explainer import Explainer
    from unseen.explanation.explanation import Explanation
    from unseen.explanation.parts import OpenedPicture, PictureParts
    from unseen.labels.compiled import CompiledLabels
    from unseen.types import Progress

TABLE = """CREATE TABLE IF NOT EXISTS part (
    picture INTEGER PRIMARY KEY REFERENCES picture (id) ON DELETE CASCADE,
    method TEXT NOT NULL,           -- parts, or drop: which earned trust on this model
    exact INTEGER NOT NULL,         -- 1: the rows add up to the embedding; 0: its first order
    geometry TEXT NOT NULL,         -- JSON: size, boxes, grid of the cells
    rows BLOB NOT NULL              -- float16, little-endian: of each cell, and the embedding
)"""
BATCH = 8  # pictures that the network takes at once: each gives up to a megabyte
NUMBER = np.dtype("<f2")
UNCHECKED = (
    "From the rows of an index: the picture itself was not asked again without these places."
)


@dataclass(frozen=True)
class StoredRows:
    """The rows that an index has of one model's pictures.

    Parameters
    ----------
    pictures : int
        Pictures with rows.
    bytes : int
        Of these rows.
    new : int
        Of these pictures, those of this run.
    failed : int
        Pictures whose file could not be read this time.
    """

    pictures: int
    bytes: int
    new: int = 0
    failed: int = 0

    def __str__(self) -> str:
        each = self.bytes / max(1, self.pictures) / 1000
        text = (
            f"rows of {self.pictures} pictures, {self.bytes / 1e6:.1f} MB, {each:.0f} kB a picture"
        )
        return f"{text}; {self.failed} could not be read" if self.failed else text


def there(database: sqlite3.Connection) -> bool:
    """Whether the index was ever made explainable."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'part'"
    return database.execute(query).fetchone() is not None


def stored_rows(database: sqlite3.Connection, model: int) -> StoredRows:
    """How many pictures of a model have rows, and what they cost."""
    if not there(database):
        return StoredRows(0, 0)
    pictures, size = database.execute(
        "SELECT count(*), coalesce(sum(length(rows)), 0) FROM part "
        "JOIN picture ON picture.id = part.picture WHERE model = ?",
        (model,),
    ).fetchone()
    return StoredRows(pictures, size)


def keep(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    explainer: Explainer,
    progress: Progress | None = None,
) -> StoredRows:
    """Make the rows of the pictures that have none. Each batch is a transaction.

    Raises ModelError where no map of the model earns trust: such rows would be of no use.
    """
    method = explainer.own_record().method
    if method == "none":
        raise ModelError(
            f"{explainer.encoder.model.name} cannot be explained by place: no map of it earned "
            "trust, and its rows would be of no use; leave --explainable out."
        )
    database.execute(TABLE)
    todo = database.execute(
        "SELECT id, min(path) FROM picture JOIN file USING (content) WHERE model = ? "
        "AND embedding IS NOT NULL AND missing IS NULL "
        "AND id NOT IN (SELECT picture FROM part) GROUP BY id ORDER BY id",
        (model,),
    ).fetchall()
    new = done = 0
    with ThreadPoolExecutor(usable()) as pool:
        paths = [resolve(unescaped(path), root) for _, path in todo]
        opened = zip(todo, _ahead(pool, explainer.parts_encoder.open, paths), strict=True)
        while batch := list(islice(opened, BATCH)):
            readable = [(id_, p) for (id_, _), p in batch if not isinstance(p, UnseenError)]
            _insert(database, explainer, readable, method)
            new += len(readable)
            done += len(batch)
            if progress is not None:
                progress(done, len(todo))
    total = stored_rows(database, model)
    return StoredRows(total.pictures, total.bytes, new, done - new)


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[str | Path], OpenedPicture | UnseenError],
    paths: list[str | Path],
) -> Iterator[OpenedPicture | UnseenError]:
    """The results in order, of which only some are waiting: decoded pictures are large."""
    for start in range(0, len(paths), 2 * BATCH):
        yield from pool.map(work, paths[start : start + 2 * BATCH])


def _insert(
    database: sqlite3.Connection,
    explainer: Explainer,
    pictures: list[tuple[int, OpenedPicture]],
    method: str,
) -> None:
    all_parts = explainer.parts_encoder.parts([picture for _, picture in pictures])
    values = []
    for (id_, picture), of_places in zip(pictures, all_parts, strict=True):
        parts = explainer.rows(picture, of_places, method)
        numbers = np.concatenate([parts.rows, parts.embedding[None]]).astype(NUMBER)
        geometry = parts.geometry
        place = {"size": geometry.size, "boxes": geometry.boxes, "grid": geometry.grid}
        values.append((id_, method, parts.exact, json.dumps(place), numbers.tobytes()))
    with transaction(database):
        database.executemany("INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?)", values)


# The name of a file, and its rows with the method that made them, or an error, or nothing.
Stored = tuple[str, "PictureParts | None", str, str | None]


def stored(database: sqlite3.Connection, model: int, below: str) -> Iterator[Stored]:
    """The rows of each file that is there and whose path begins with `below`, in their order."""
    below = escaped(below)
    has = there(database)
    columns = "method, exact, geometry, rows" if has else "NULL, NULL, NULL, NULL"
    join = "LEFT JOIN part ON part.picture = picture.id " if has else ""
    files = database.execute(
        f"SELECT path, error, {columns} FROM file JOIN picture USING (content) {join}"
        f"{FILES_BELOW}ORDER BY path",
        (model, len(below), below),
    )
    for path, error, method, exact, geometry, rows in files:
        parts = None if rows is None else _parts(bool(exact), geometry, rows)
        yield unescaped(path), parts, method, None if error is None else unescaped(error)


def _parts(exact: bool, place: str, rows: bytes) -> PictureParts:
    from unseen.explanation.geometry import Geometry  # noqa: PLC0415 - few views explain
    from unseen.explanation.parts import PictureParts  # noqa: PLC0415

    facts: dict[str, Any] = json.loads(place)
    boxes = tuple(tuple(box) for box in facts["boxes"])
    geometry = Geometry(tuple(facts["size"]), boxes, tuple(facts["grid"]))
    numbers = np.frombuffer(rows, dtype=NUMBER).astype(np.float32)
    numbers = numbers.reshape(geometry.cells + 1, -1)
    return PictureParts(numbers[:-1], numbers[-1], geometry, exact)


def explanations(
    rows: Iterable[Stored],
    explainer: Explainer,
    compiled: CompiledLabels,
    for_: str | None,
    against: str | None,
    command: str,
) -> Iterator[Explanation]:
    """An explanation of each file from its rows; `command` makes those that are missing."""
    from unseen.explanation.explanation import Explanation  # noqa: PLC0415 - few views explain

    explainer.check_labels(compiled, for_, against)
    for name, parts, method, error in rows:
        if parts is None:
            missing = f"the index has no rows of it; make them: {command}"
            yield Explanation(name, error=error or missing)
            continue
        contrast = explainer.contrast(compiled, parts.embedding, for_, against)
        explanation = explainer.from_rows(parts, compiled, contrast, method=method)
        yield replace(explanation, source=name, notes=(*explanation.notes, UNCHECKED))
