"""The pictures of an index, read from its database: by id, by path, each with its files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.encoder import Encoded
from unseen.errors import ImageError
from unseen.index.collections import rows
from unseen.index.hits import Content, Hit, Hits
from unseen.index.schema import FILES_BELOW
from unseen.index.vectors.matrix import vector_of
from unseen.index.vectors.tiles import tiles_of
from unseen.sources.frame_names import frame_of
from unseen.system.printable import escaped, unescaped

if TYPE_CHECKING:
    from unseen.types import Floats, Indices, Metadata

VARIABLES = 500  # of one SQL statement: SQLite has a limit


def vector(database: sqlite3.Connection, model: int, picture: int) -> Floats | None:
    """The embedding (d,) float32 of a picture; None where there is none."""
    row = database.execute(
        "SELECT embedding FROM picture WHERE id = ? AND model = ? AND embedding IS NOT NULL",
        (picture, model),
    ).fetchone()
    return None if row is None else vector_of(row[0])


def hits(database: sqlite3.Connection, root: Path, ids: Indices, cosines: Floats) -> Hits:
    """A hit for each id (n,) and its cosine (n,), in this order, where a file of it is there."""
    by_id = {}
    for start in range(0, len(ids), VARIABLES):
        chunk = [int(i) for i in ids[start : start + VARIABLES]]
        marks = ",".join("?" * len(chunk))
        for row in database.execute(
            "SELECT id, json_group_array(path), width, height, taken FROM picture "
            f"JOIN file USING (content) WHERE id IN ({marks}) AND missing IS NULL GROUP BY id",
            chunk,
        ):
            by_id[row[0]] = row
    present = (
        Hit(i, _paths(by_id[i][1]), float(cosine), *by_id[i][2:])
        for i, cosine in zip(ids.tolist(), cosines, strict=True)
        if i in by_id
    )
    return Hits(present, root)


def encoded(
    database: sqlite3.Connection, model: int, below: str, *, tiles: bool = False
) -> Iterator[Encoded]:
    """Each file that is there and whose path begins with `below`, in the order of the paths;
    `tiles`: with the tiles of its picture."""
    below = escaped(below)
    has_members = rows.there(database)
    files = database.execute(
        "SELECT path, embedding, error, id FROM file JOIN picture USING (content) "
        f"{FILES_BELOW}ORDER BY path",
        (model, len(below), below),
    )
    for path, embedding, error, id_ in files:
        if error is not None:
            yield Encoded(unescaped(path), None, ImageError(unescaped(error)))
        else:
            name = unescaped(path)
            frame = frame_of(name)
            meta: Metadata = {} if frame is None else {"video": frame[0], "time": frame[1]}
            if has_members:
                meta = {**meta, **rows.metadata(database, name)}
            row = vector_of(embedding)
            own = tiles_of(database, id_, len(row)) if tiles else None
            yield Encoded(name, row, meta=meta, tiles=own)


def contents(database: sqlite3.Connection, model: int, below: str) -> Iterator[Content]:
    """Each picture once, with all its paths that are there and begin with `below`."""
    below = escaped(below)
    each = database.execute(
        "SELECT content, json_group_array(path), width, height, embedding, error "
        f"FROM file JOIN picture USING (content) {FILES_BELOW}GROUP BY content",
        (model, len(below), below),
    )
    for content, paths, width, height, embedding, error in each:
        row = None if embedding is None else vector_of(embedding)
        yield Content(content, _paths(paths), width, height, row, error)


def files(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """The name of each file that is there and that a model could read, in the order of the names,
    and its content's digest in hex. Frames of videos are no files."""
    rows = database.execute(
        "SELECT path, content FROM file WHERE missing IS NULL AND EXISTS (SELECT 1 FROM picture "
        "WHERE picture.content = file.content AND embedding IS NOT NULL) ORDER BY path"
    )
    for path, content in rows:
        name = unescaped(path)
        if frame_of(name) is None:
            yield name, content.hex()


def _paths(stored: str) -> tuple[str, ...]:
    """The names of files that SQL gave as one JSON array."""
    return tuple(sorted(map(unescaped, json.loads(stored))))
