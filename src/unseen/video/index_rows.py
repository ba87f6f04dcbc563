"""The frames of videos in an index: a row for each that shows something new, with its time.

A frame is named `clip.mp4 at 00:03:12`, which can be opened like any picture. A video is written
whole: where some of its frames are there, all are. One that breaks off has a row of its own, with
the error, beside the frames that could be read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.encoder import Encoder
from unseen.errors import SourceError
from unseen.sources.frame_names import frame_name
from unseen.system.digest import file_chunks, sha256
from unseen.system.printable import escaped
from unseen.system.sqlite import transaction
from unseen.video.classification import embedded, side_of
from unseen.video.frames import frames_of, readable

if TYPE_CHECKING:
    from unseen.types import Floats

CONTENT_BYTES = 16  # as of pictures
ITS_FRAMES = "path >= ? AND path < ?"
A_FRAME = "* at [0-9][0-9]:[0-5][0-9]:[0-5][0-9]*"


@dataclass(frozen=True)
class VideoFile:
    """A video: its path, what the index calls it, and its size and time."""

    path: Path
    key: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class VideoRows:
    """What was read of a video: its digest, times and embeddings, and why there are no more."""

    file: VideoFile
    digest: bytes
    frames: list[tuple[float, Floats]]
    error: str | None


def has_videos(database: sqlite3.Connection) -> bool:
    """Whether an index has frames of any video; then it is kept up to date in these, too."""
    query = f"SELECT 1 FROM file WHERE path GLOB '{A_FRAME}' LIMIT 1"
    return database.execute(query).fetchone() is not None


def changed(
    database: sqlite3.Connection, model: int, files: Iterable[VideoFile]
) -> Iterator[VideoFile]:
    """The videos that are new, changed or were never seen by a model; the rows of the others are
    noted in the table temp.seen."""
    for file in files:
        names = _names(file.key)
        row = database.execute(
            f"SELECT 1 FROM file JOIN picture USING (content) WHERE (path = ? OR {ITS_FRAMES}) "
            "AND size = ? AND modified_ns = ? AND model = ? LIMIT 1",
            (file.key, *names, file.size, file.modified_ns, model),
        ).fetchone()
        if row is None:
            yield file
        else:
            _note_seen(database, file.key)


def read_video(
    database: sqlite3.Connection,
    model: int,
    encoder: Encoder,
    file: VideoFile,
    *,
    batch_size: int | None = None,
) -> VideoRows | None:
    """The frames of a video, encoded; None where the same content is there under another name,
    whose rows are then copied."""
    try:
        digest = sha256(file_chunks(file.path))
    except OSError as error:
        facts = f"{file.key}\0{file.size}\0{file.modified_ns}".encode()
        reason = f"{file.path}: cannot be read: {error.strerror or error}."
        return VideoRows(file, sha256([facts]), [], reason)
    if _copy_known(database, model, file, digest):
        return None
    errors: list[SourceError] = []
    frames = readable(frames_of(file.path, side=side_of(encoder)), errors)
    rows = [
        (time, embedding)
        for time, embedding in embedded(encoder, frames, batch_size=batch_size)
        if embedding is not None
    ]
    return VideoRows(file, digest, rows, str(errors[0]) if errors else None)


def write_video(database: sqlite3.Connection, model: int, rows: VideoRows) -> None:
    """All rows of a video, in the place of those that it had."""
    file = rows.file
    with transaction(database):
        _forget(database, file.key)
        for time, embedding in rows.frames:
            name = frame_name(file.key, time)
            stored = embedding.astype("<f2").tobytes()
            _insert(database, model, file, name, _content(rows.digest, file.key, name), stored)
        if rows.error is not None:
            content = rows.digest[:CONTENT_BYTES]
            _insert(database, model, file, file.key, content, None, escaped(rows.error))
    _note_seen(database, file.key)


def _insert(
    database: sqlite3.Connection,
    model: int,
    file: VideoFile,
    name: str,
    content: bytes,
    embedding: bytes | None,
    error: str | None = None,
) -> None:
    database.execute(
        "INSERT OR IGNORE INTO picture (model, content, bytes, embedding, error) "
        "VALUES (?, ?, ?, ?, ?)",
        (model, content, file.size, embedding, error),
    )
    _insert_file(database, file, name, content)


def _insert_file(database: sqlite3.Connection, file: VideoFile, name: str, content: bytes) -> None:
    database.execute(
        "INSERT OR REPLACE INTO file (path, content, size, modified_ns) VALUES (?, ?, ?, ?)",
        (name, content, file.size, file.modified_ns),
    )


def _content(digest: bytes, key: str, name: str) -> bytes:
    """What a frame is known by: the content of its video, and its time."""
    return sha256([digest, name[len(key) :].encode()])[:CONTENT_BYTES]


def _copy_known(database: sqlite3.Connection, model: int, file: VideoFile, digest: bytes) -> bool:
    """Whether the video was moved, copied or only touched; its frames get its present name."""
    first = _content(digest, file.key, frame_name(file.key, 0.0))
    row = database.execute(
        "SELECT path FROM file JOIN picture USING (content) WHERE content = ? AND model = ? "
        "LIMIT 1",
        (first, model),
    ).fetchone()
    if row is None:
        return False
    key = str(row[0]).removesuffix(frame_name("", 0.0))
    frames = database.execute(
        f"SELECT path, content FROM file WHERE {ITS_FRAMES}", _names(key)
    ).fetchall()
    with transaction(database):
        _forget(database, file.key)
        for name, content in frames:
            _insert_file(database, file, f"{file.key}{name[len(key) :]}", content)
    _note_seen(database, file.key)
    return True


def _forget(database: sqlite3.Connection, key: str) -> None:
    database.execute(f"DELETE FROM file WHERE path = ? OR ({ITS_FRAMES})", (key, *_names(key)))


def _note_seen(database: sqlite3.Connection, key: str) -> None:
    database.execute(
        f"INSERT OR IGNORE INTO temp.seen SELECT path FROM file WHERE path = ? OR ({ITS_FRAMES})",
        (key, *_names(key)),
    )


def _names(key: str) -> tuple[str, str]:
    """The names of the frames of a video lie from the first up to the second: a digit follows."""
    return f"{key} at 0", f"{key} at :"
