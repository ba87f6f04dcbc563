"""The tiles of pictures, kept in an index: rows of one picture, in which a search looks, too.

A table of its own, made by the first `--tiles`: an index without it is as it was, and a version of
unseen that does not know the table leaves it alone. Rows go with their picture. Counts, groups and
clusters are of whole pictures, and never look here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unseen.encoder import Tiles
from unseen.index.schema import FILES_BELOW
from unseen.index.vectors import search
from unseen.index.vectors.matrix import HALF, Table, vector_of
from unseen.sources.containers.container_file import resolve
from unseen.sources.frame_names import frame_of
from unseen.sources.item import Source
from unseen.system.printable import escaped, unescaped
from unseen.system.sqlite import transaction
from unseen.tiles import stream_tiles

if TYPE_CHECKING:
    from unseen.encoder import Encoded, Encoder
    from unseen.images.tiling import PixelBox
    from unseen.index.vectors.matrix import Matrix
    from unseen.types import Floats, Indices, Progress

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS tile (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
    picture INTEGER NOT NULL REFERENCES picture (id) ON DELETE CASCADE,
    tiling TEXT NOT NULL,           -- auto, 2x2, 3x3, pyramid
    box TEXT NOT NULL,              -- JSON: left, top, right, bottom in pixels, upright
    embedding BLOB                  -- float16, little-endian, of length 1; NULL: it has no tiles
)""",
    "CREATE INDEX IF NOT EXISTS tile_picture ON tile (picture)",
)
TABLE = Table("tiles", "tile AS item JOIN picture ON picture.id = item.picture WHERE model = ?")
COMMIT_PICTURES = 16  # what a killed process can lose
VARIABLES = 500  # of one SQL statement: SQLite has a limit


@dataclass(frozen=True)
class StoredTiles:
    """The tiles that an index has of one model's pictures.

    Parameters
    ----------
    tiling : str or None
        How the pictures are divided; None where the index keeps no tiles.
    pictures : int
        Pictures that were divided; one that is too small for tiles counts, too.
    tiles : int
        Their tiles.
    bytes : int
        Of the embeddings of these.
    new : int
        Of these pictures, those of this run.
    failed : int
        Pictures whose file could not be read this time.
    """

    tiling: str | None
    pictures: int
    tiles: int
    bytes: int
    new: int = 0
    failed: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.tiles} tiles ({self.tiling}) of {self.pictures} pictures, "
            f"{self.bytes / 1e6:.1f} MB"
        )
        return f"{text}; {self.failed} could not be read" if self.failed else text


NO_TILES = StoredTiles(None, 0, 0, 0)


def there(database: sqlite3.Connection) -> bool:
    """Whether the index ever kept tiles."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tile'"
    return database.execute(query).fetchone() is not None


def stored_tiles(database: sqlite3.Connection, model: int) -> StoredTiles:
    """What a model's tiles are, and what they cost."""
    if not there(database):
        return NO_TILES
    pictures, tiles, size, tiling = database.execute(
        "SELECT count(DISTINCT picture), count(tile.embedding), "
        "coalesce(sum(length(tile.embedding)), 0), max(tiling) FROM tile "
        "JOIN picture ON picture.id = tile.picture WHERE model = ?",
        (model,),
    ).fetchone()
    return StoredTiles(tiling, pictures, tiles, size)


def keep(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    encoder: Encoder,
    tiling: str,
    *,
    below: str = "",
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> StoredTiles:
    """Encode the tiles of the pictures that have none of this tiling; those of another one go.

    Some pictures at a time are a transaction. Raises ImageError for another tiling.
    """
    for statement in SCHEMA:
        database.execute(statement)
    _forget_others(database, model, tiling)
    todo = _without_tiles(database, model, below)
    sources = (Source(name, resolve(name, root), {"picture": id_}) for id_, name in todo)
    stream = stream_tiles(encoder, sources, tiling, batch_size=batch_size, whole=False)
    done = new = 0
    while batch := list(islice(stream, COMMIT_PICTURES)):
        readable = [encoded for encoded in batch if encoded.error is None]
        with transaction(database):
            for encoded in readable:
                _insert(database, encoded, tiling)
        new, done = new + len(readable), done + len(batch)
        if progress is not None:
            progress(done, len(todo))
    total = stored_tiles(database, model)
    return StoredTiles(tiling, total.pictures, total.tiles, total.bytes, new, done - new)


def _forget_others(database: sqlite3.Connection, model: int, tiling: str) -> None:
    """An index has one tiling a model."""
    own = "tiling <> ? AND picture IN (SELECT id FROM picture WHERE model = ?)"
    with transaction(database):
        deleted = database.execute(f"DELETE FROM tile WHERE {own}", (tiling, model))
        if deleted.rowcount:  # what is derived from the rows is made again
            database.execute("UPDATE model SET changes = changes + 1 WHERE id = ?", (model,))


def _without_tiles(database: sqlite3.Connection, model: int, below: str) -> list[tuple[int, str]]:
    """The pictures that are to be divided, each with the name of a file. Frames of videos are
    not: finding each again in its video would take far longer than its tiles."""
    below = escaped(below)
    rows = database.execute(
        f"SELECT id, min(path) FROM picture JOIN file USING (content) {FILES_BELOW}"
        "AND embedding IS NOT NULL AND id NOT IN (SELECT picture FROM tile) "
        "GROUP BY id ORDER BY id",
        (model, len(below), below),
    )
    named = ((id_, unescaped(path)) for id_, path in rows.fetchall())
    return [(id_, name) for id_, name in named if frame_of(name) is None]


def _insert(database: sqlite3.Connection, encoded: Encoded, tiling: str) -> None:
    assert encoded.tiles is not None
    picture, tiles = encoded.meta["picture"], encoded.tiles
    rows = [
        (picture, tiling, json.dumps(box), embedding.astype(HALF).tobytes())
        for box, embedding in zip(tiles.boxes, tiles.embeddings, strict=True)
    ]
    database.executemany(
        "INSERT INTO tile (picture, tiling, box, embedding) VALUES (?, ?, ?, ?)",
        rows or [(picture, tiling, "[]", None)],
    )


def missing(database: sqlite3.Connection, model: int, below: str) -> int:
    """How many pictures have no tiles."""
    return len(_without_tiles(database, model, below))


def tiles_of(database: sqlite3.Connection, picture: int, dimension: int) -> Tiles | None:
    """The tiles of a picture; None where it was not divided."""
    rows = database.execute(
        "SELECT box, embedding FROM tile WHERE picture = ? ORDER BY id", (picture,)
    ).fetchall()
    if not rows:
        return None
    divided = [(_box(box), vector_of(half)) for box, half in rows if half is not None]
    embeddings = np.array([row for _, row in divided], dtype=np.float32)
    return Tiles(tuple(box for box, _ in divided), embeddings.reshape(-1, dimension))


def _box(stored: str) -> PixelBox:
    left, top, right, bottom = json.loads(stored)
    return left, top, right, bottom


@dataclass(frozen=True)
class Match:
    """A picture that is near to a query: the larger cosine of the whole and of its best tile."""

    picture: int
    cosine: float
    tile: PixelBox | None  # None: the whole


def nearest(
    database: sqlite3.Connection, pictures: Matrix, tiles: Matrix, query: Floats, count: int
) -> list[Match]:
    """The pictures nearest to a query, by the whole or by a tile, best first."""
    best: dict[int, Match] = {}
    rows, cosines = search.nearest(pictures, query, count)
    for id_, cosine in zip(pictures.ids[rows].tolist(), cosines.tolist(), strict=True):
        best[id_] = Match(id_, cosine, None)
    for match in _best_tiles(database, tiles, query, count):
        whole = best.get(match.picture)
        if whole is None or match.cosine > whole.cosine:
            best[match.picture] = match
    ordered = sorted(best.values(), key=lambda match: (-match.cosine, match.picture))
    return ordered[:count]


def _best_tiles(
    database: sqlite3.Connection, tiles: Matrix, query: Floats, count: int
) -> Iterator[Match]:
    """The best tile of each of so many pictures, the nearest, or of all."""
    if not len(tiles):
        return  # all pictures are too small for tiles
    requested = 4 * count
    while True:
        rows, cosines = search.nearest(tiles, query, min(requested, len(tiles)))
        ids = tiles.ids[rows]
        places = _places(database, ids)
        of_picture: dict[int, Match] = {}
        for id_, cosine in zip(ids.tolist(), cosines.tolist(), strict=True):
            picture, box = places[id_]
            of_picture.setdefault(picture, Match(picture, cosine, box))
        if len(of_picture) >= count or requested >= len(tiles):
            yield from of_picture.values()
            return
        requested *= 4


def _places(database: sqlite3.Connection, ids: Indices) -> dict[int, tuple[int, PixelBox]]:
    """The picture and the box of each tile."""
    places: dict[int, tuple[int, PixelBox]] = {}
    for start in range(0, len(ids), VARIABLES):
        chunk: Sequence[int] = ids[start : start + VARIABLES].tolist()
        marks = ",".join("?" * len(chunk))
        query = f"SELECT id, picture, box FROM tile WHERE id IN ({marks})"
        for id_, picture, box in database.execute(query, chunk):
            places[id_] = (picture, _box(box))
    return places
