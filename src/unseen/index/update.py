"""Looking at a folder once: what is new is encoded, what moved is recognised, the rest is left.

Rows are committed some at a time, each picture with its file, so that a killed process loses at
most the pictures since the last commit and leaves nothing half-written.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Picture
from unseen.errors import UnseenError
from unseen.images.open import Facts, describe
from unseen.models.inputs import PictureArrays
from unseen.sources.expand import left_out
from unseen.sources.formats import VIDEO, counted
from unseen.system.digest import file_chunks, sha256
from unseen.system.printable import escaped
from unseen.system.sqlite import transaction
from unseen.video import index_rows as video_rows
from unseen.video.index_rows import VideoFile

CONTENT_BYTES = 16  # of a sha256: 128 bits tell any number of pictures apart
LOOKED_AT = 512  # files that are compared with their rows at once
COMMIT_PICTURES = 64  # and no longer than
COMMIT_SECONDS = 2.0

Progress = Callable[[int, int], None]  # done, of how many that are new


@dataclass
class Report:
    """Counts of one update.

    Parameters
    ----------
    unchanged : int
        Files of the same size and time as before.
    encoded : int
        New pictures.
    known : int
        Files that were moved, copied or only touched: their content was there already.
    failed : int
        Pictures that could not be read.
    missing : int
        Files that were there and are not.
    videos : int
        Videos that are new or have changed, where videos were looked at.
    frames : int
        Frames of these that were encoded.
    left_out : dict of str to int
        Kind → how many files of the folders that are no pictures to be read.
    seconds : float
        How long it took.
    """

    unchanged: int = 0
    encoded: int = 0
    known: int = 0
    failed: int = 0
    missing: int = 0
    videos: int = 0
    frames: int = 0
    left_out: dict[str, int] = field(default_factory=dict, compare=False)
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        looked_at = self.encoded + self.known + self.failed
        line = (
            f"{self.encoded} new, {self.known} known elsewhere, {self.unchanged} unchanged, "
            f"{self.failed} could not be read, {self.missing} missing"
        )
        if self.videos:
            line += f"; {self.frames} frames of {self.videos} videos"
        if looked_at and self.seconds:
            rate = looked_at / self.seconds
            line += f"; {self.seconds:.1f} s, {rate:.1f} pictures a second"
        return line + (f"; left out: {counted(self.left_out)}." if self.left_out else ".")


@dataclass(frozen=True)
class ChangedFile:
    """A file that is new or has changed."""

    path: Path
    key: str  # the path in the index, as it is stored
    size: int
    modified_ns: int


@dataclass(frozen=True)
class ReadFile:
    """The same after it was read."""

    file: ChangedFile
    content: bytes
    facts: Facts


KNOWN = "known"  # instead of pixels: this content has its row


def update(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    files: Iterable[Path],
    scopes: Iterable[Path],
    encoder: Encoder,
    *,
    videos: Iterable[Path] | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring the index up to date with `files`, and with `videos` unless these are None. What lies
    below `scopes` and is not among them is marked as missing. Raises StoreError and ModelError; a
    broken picture is a row with an error."""
    report = Report()
    began = time.monotonic()
    _forget_seen(database)
    todo = list(_changed(database, model, root, files, report))
    films = [] if videos is None else [*_video_files(root, videos)]
    new_films = [*video_rows.changed(database, model, films)]
    report.unchanged += len(films) - len(new_films)
    contents = _Contents(database, model)

    def read_file(
        file: ChangedFile,
    ) -> tuple[ReadFile, Picture | PictureArrays | UnseenError | str]:
        digest = _sha256(file)
        content = digest[:CONTENT_BYTES]
        if not content or not contents.first(content):
            return ReadFile(file, content, Facts()), KNOWN
        facts = describe(file.path)
        return ReadFile(file, content, facts), encoder.cached(digest) or encoder.pixels(file.path)

    done, total = 0, len(todo) + len(new_films)
    for batch in _in_time(encoder.stream(todo, read_file, batch_size=batch_size)):
        _commit(database, model, batch, report)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    for film in new_films:
        _update_video(database, model, encoder, film, report, batch_size)
        done += 1
        if progress is not None:
            progress(done, total)
    report.missing = _mark_missing(database, root, scopes)
    report.left_out = left_out([*scopes])
    if videos is not None:
        report.left_out.pop(VIDEO, None)
    report.seconds = time.monotonic() - began
    return report


def _video_files(root: Path, videos: Iterable[Path]) -> Iterator[VideoFile]:
    for path in videos:
        try:
            stat = _stat(path)
        except OSError:
            continue  # it went away since it was listed
        yield VideoFile(path, escaped(key_of(path, root)), stat.st_size, stat.st_mtime_ns)


def _update_video(
    database: sqlite3.Connection,
    model: int,
    encoder: Encoder,
    film: VideoFile,
    report: Report,
    batch_size: int | None,
) -> None:
    rows = video_rows.read_video(database, model, encoder, film, batch_size=batch_size)
    if rows is None:
        report.known += 1
        return
    video_rows.write_video(database, model, rows)
    report.videos += 1
    report.frames += len(rows.frames)
    report.failed += rows.error is not None


def is_current(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    files: Iterable[Path],
    scopes: Iterable[Path],
    videos: Iterable[Path] = (),
) -> bool:
    """Whether `update` would find nothing new or changed among `files` and `videos`, and nothing
    missing."""
    _forget_seen(database)
    if any(video_rows.changed(database, model, _video_files(root, videos))):
        return False
    if any(_changed(database, model, root, files, Report())):
        return False
    return not any(
        database.execute(
            f"SELECT 1 FROM file WHERE missing IS NULL AND {inside} "
            "AND path NOT IN (SELECT path FROM temp.seen) LIMIT 1",
            values,
        ).fetchone()
        for inside, values in (_inside(scope, root) for scope in scopes)
    )


def key_of(path: Path, root: Path) -> str:
    """What a file is called in the index: below its folder with /, else its whole path."""
    name, below = os.path.abspath(path), os.path.join(root, "")  # noqa: PTH100, PTH118
    # Links stay as they are named. By text first, in a tenth of the time that paths take.
    if name.startswith(below):
        return name[len(below) :].replace(os.sep, "/")
    path = Path(name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _changed(
    database: sqlite3.Connection, model: int, root: Path, files: Iterable[Path], report: Report
) -> Iterator[ChangedFile]:
    """The files whose size or time is another than last time, or that this model never saw."""
    listed = _listed(root, files)
    while chunk := [*islice(listed, LOOKED_AT)]:
        database.executemany(
            "INSERT OR IGNORE INTO temp.seen VALUES (?)", [(file.key,) for file in chunk]
        )
        database.execute("DELETE FROM temp.present")
        database.executemany(
            "INSERT OR IGNORE INTO temp.present VALUES (?, ?, ?)",
            [(file.key, file.size, file.modified_ns) for file in chunk],
        )
        rows = database.execute(
            "SELECT path FROM temp.present JOIN file USING (path, size, modified_ns) "
            "JOIN picture USING (content) WHERE model = ?",
            (model,),
        )
        known = {key for (key,) in rows}
        for file in chunk:
            if file.key in known:
                report.unchanged += 1
            else:
                yield file


def _listed(root: Path, files: Iterable[Path]) -> Iterator[ChangedFile]:
    for path in files:
        try:
            stat = _stat(path)
        except OSError:
            continue  # it went away since it was listed
        yield ChangedFile(path, escaped(key_of(path, root)), stat.st_size, stat.st_mtime_ns)


def _stat(path: Path) -> os.stat_result:
    """Of the file; of a link that leads nowhere of itself, so that it is a row as without an index.

    Raises OSError.
    """
    try:
        return path.stat()
    except OSError:
        return path.lstat()


class _Contents:
    """Which contents have a row, or will have one from this run; asked by several threads."""

    def __init__(self, database: sqlite3.Connection, model: int) -> None:
        self._database = database
        self._model = model
        self._lock = threading.Lock()
        self._claimed: set[bytes] = set()

    def first(self, content: bytes) -> bool:
        """Whether this content is new here; the first to ask is to encode it."""
        with self._lock:
            if content in self._claimed:
                return False
            query = "SELECT 1 FROM picture WHERE content = ? AND model = ?"
            if self._database.execute(query, (content, self._model)).fetchone():
                return False
            self._claimed.add(content)
            return True


def _sha256(file: ChangedFile) -> bytes:
    """Of the content; of an unreadable file of its path, size and time, so that it is a row too.

    Empty for one that is gone.
    """
    try:
        return sha256(file_chunks(file.path))
    except OSError:
        if not os.path.lexists(file.path):
            return b""
        facts = f"{file.key}\0{file.size}\0{file.modified_ns}"
        return sha256([facts.encode("utf-8")])


Row = tuple[ReadFile, "NDArray[np.float32] | UnseenError | str"]


def _in_time(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Batches for a transaction: so many pictures, or what came in so many seconds."""
    batch: list[Row] = []
    began = time.monotonic()
    for row in rows:
        batch.append(row)
        if len(batch) >= COMMIT_PICTURES or time.monotonic() - began > COMMIT_SECONDS:
            yield batch
            batch, began = [], time.monotonic()
    if batch:
        yield batch


def _commit(database: sqlite3.Connection, model: int, batch: list[Row], report: Report) -> None:
    with transaction(database):
        for picture, result in batch:
            file = picture.file
            if not picture.content:
                continue  # it went away while it was to be read
            if isinstance(result, str):
                report.known += 1
            else:
                _insert_picture(database, model, picture, result)
                report.failed += isinstance(result, UnseenError)
                report.encoded += not isinstance(result, UnseenError)
            database.execute(
                "INSERT INTO file (path, content, size, modified_ns) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (path) DO UPDATE SET content = excluded.content, "
                "size = excluded.size, modified_ns = excluded.modified_ns, missing = NULL",
                (file.key, picture.content, file.size, file.modified_ns),
            )


def _insert_picture(
    database: sqlite3.Connection,
    model: int,
    picture: ReadFile,
    result: NDArray[np.float32] | UnseenError,
) -> None:
    failed = isinstance(result, UnseenError)
    embedding = None if isinstance(result, UnseenError) else result.astype("<f2").tobytes()
    database.execute(
        "INSERT OR IGNORE INTO picture "  # another process may have been at the same folder
        "(model, content, bytes, width, height, taken, embedding, error) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            model,
            picture.content,
            picture.file.size,
            picture.facts.width,
            picture.facts.height,
            picture.facts.taken,
            embedding,
            escaped(str(result)) if failed else None,
        ),
    )


def _mark_missing(database: sqlite3.Connection, root: Path, scopes: Iterable[Path]) -> int:
    """Marks what was not seen below the scopes; what is back is no longer marked."""
    marked = 0
    with transaction(database):
        for scope in scopes:
            inside, values = _inside(scope, root)
            marked += database.execute(
                f"UPDATE file SET missing = ? WHERE missing IS NULL AND {inside} "
                "AND path NOT IN (SELECT path FROM temp.seen)",
                (int(time.time()), *values),
            ).rowcount
        database.execute(
            "UPDATE file SET missing = NULL WHERE missing IS NOT NULL "
            "AND path IN (SELECT path FROM temp.seen)"
        )
    return marked


def _inside(scope: Path, root: Path) -> tuple[str, tuple[int, str]]:
    """The condition on a path that lies below `scope`, and its values."""
    key = key_of(scope, root)
    below = "" if key == "." else escaped(f"{key}/")
    inside = "substr(path, 1, ?) = ?" + (" AND substr(path, 1, 1) <> '/'" * (not below))
    return inside, (len(below), below)


def _forget_seen(database: sqlite3.Connection) -> None:
    """Empty tables of the files that one look at them meets, and of the last of these; no other
    connection has them."""
    database.execute("CREATE TEMP TABLE IF NOT EXISTS seen (path TEXT PRIMARY KEY) WITHOUT ROWID")
    database.execute("DELETE FROM temp.seen")
    database.execute(
        "CREATE TEMP TABLE IF NOT EXISTS present "
        "(path TEXT PRIMARY KEY, size INTEGER, modified_ns INTEGER) WITHOUT ROWID"
    )
