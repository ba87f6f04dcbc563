"""Looking at a folder once: what is new is encoded, what moved is recognised, the rest is left.

Rows are committed some at a time, each picture with its file, so that a killed process loses at
most the pictures since the last commit and leaves nothing half-written.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Picture
from unseen.errors import UnseenError, without_frames
from unseen.images.open import Facts, describe
from unseen.index.collections import reading, rows
from unseen.index.collections.changes import (
    KNOWN,
    ChangedFile,
    ReadFile,
    Report,
    changed,
    present,
)
from unseen.index.collections.reading import Member, key_of
from unseen.models.inputs import PictureArrays
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.expand import left_out
from unseen.sources.files import is_image_member
from unseen.sources.formats import VIDEO, by_count, kind_of
from unseen.system.digest import file_chunks, sha256
from unseen.system.printable import escaped
from unseen.system.sqlite import transaction
from unseen.video import index_rows as video_rows
from unseen.video.index_rows import VideoFile

CONTENT_BYTES = 16  # of a sha256: 128 bits tell any number of pictures apart
COMMIT_PICTURES = 64  # and no longer than
COMMIT_SECONDS = 2.0

Progress = Callable[[int, int], None]  # done, of how many that are new


def update(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    files: Iterable[str],
    scopes: Iterable[Path],
    encoder: Encoder,
    *,
    videos: Iterable[Path] | None = None,
    collections: Iterable[str | Path] = (),
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring the index up to date with `files`, with `videos` unless these are None, and with what
    `collections` hold. What lies below `scopes` and is not among them is marked as missing. Raises
    StoreError and ModelError; a broken picture is a row with an error."""
    report = Report()
    began = time.monotonic()
    _forget_seen(database)
    todo = list(changed(database, model, root, files, report))
    films = [] if videos is None else [*_video_files(root, videos)]
    new_films = [*video_rows.changed(database, model, films)]
    report.unchanged += len(films) - len(new_films)
    contents = _Contents(database, model)

    def read_file(
        file: ChangedFile,
    ) -> tuple[ReadFile, Picture | PictureArrays | UnseenError | str]:
        if file.member is not None and file.member.file is None:
            return _read_member(file, file.member, contents, encoder)
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
    collections = [*collections]
    new = [one for one in collections if not _is_unchanged(database, model, root, one, report)]
    for source in new:
        members = _members(database, model, root, source, report)
        for batch in _in_time(encoder.stream(members, read_file, batch_size=batch_size)):
            _commit(database, model, batch, report)
            done += len(batch)
            if progress is not None:
                progress(done, max(done, total))
        report.missing += _finish(database, model, root, source)
    report.missing += _mark_missing(database, root, scopes)
    report.left_out = _left_out([*scopes], new, collections)
    if videos is not None:
        report.left_out.pop(VIDEO, None)
    report.seconds = time.monotonic() - began
    return report


def _left_out(
    scopes: Sequence[Path], new: Sequence[str | Path], collections: Iterable[str | Path]
) -> dict[str, int]:
    """The files of folders and of new collections that gave nothing; a collection did."""
    kinds = Counter(left_out([*scopes, *new]))
    for source in collections:
        is_below = isinstance(source, Path) and any(source.is_relative_to(one) for one in scopes)
        if is_below and not is_image_member(Path(source).name):
            kinds[kind_of(source)] -= 1
    return by_count(kinds)


def _is_unchanged(
    database: sqlite3.Connection, model: int, root: Path, source: str | Path, report: Report
) -> bool:
    """Whether a source is the one that this model has looked at; then nothing of it is read."""
    rows.prepare(database)
    key = escaped(key_of(source, root))
    version = reading.current_version(source)
    if not version or rows.version_seen(database, key, model) != version:
        return False
    report.unchanged += rows.note_seen(database, key)
    return True


def _members(
    database: sqlite3.Connection, model: int, root: Path, source: str | Path, report: Report
) -> Iterator[ChangedFile]:
    """The pictures of a source that are to be read."""
    if reading.current_version(source) is None:
        return  # it is gone, and so are its pictures

    def unchanged(key: str) -> None:
        database.execute("INSERT OR IGNORE INTO temp.seen VALUES (?)", (key,))
        report.unchanged += 1

    for member in reading.members(database, model, root, source, unchanged):
        if member.file is None:
            yield ChangedFile(Path(), member.key, 0, 0, member)
            continue
        for file in changed(database, model, root, [str(member.file)], report):
            yield replace(file, member=member)


def _read_member(
    file: ChangedFile, member: Member, contents: _Contents, encoder: Encoder
) -> tuple[ReadFile, Picture | PictureArrays | UnseenError | str]:
    """As a file is read; one that cannot be has the digest of the reason."""
    try:
        content, version = reading.read(member, encoder.limits)
    except UnseenError as error:
        file = _without_content(file, member)
        digest = sha256([f"{file.key}\0{error}".encode("utf-8", "replace")])
        return ReadFile(file, digest[:CONTENT_BYTES], Facts()), without_frames(error)
    file = _without_content(file, member)
    if content is None:
        return ReadFile(file, member.digest, Facts(), version), KNOWN
    file = replace(file, size=len(content))
    digest = sha256([content])
    if not contents.first(digest[:CONTENT_BYTES]):
        return ReadFile(file, digest[:CONTENT_BYTES], Facts(), version), KNOWN
    read = ReadFile(file, digest[:CONTENT_BYTES], describe(content), version)
    return read, encoder.cached(digest) or encoder.pixels(content)


def _without_content(file: ChangedFile, member: Member) -> ChangedFile:
    """Many wait for the transaction that they are written in, and a picture may be large."""
    return replace(file, member=replace(member, content=None))


def _finish(database: sqlite3.Connection, model: int, root: Path, source: str | Path) -> int:
    """A source was looked at to its end → how many of its pictures are gone."""
    key = escaped(key_of(source, root))
    failed = "SELECT 1 FROM temp.seen JOIN file USING (path) JOIN picture USING (content) "
    failed += "WHERE path = ? AND model = ? AND error IS NOT NULL"
    is_broken = database.execute(failed, (key, model)).fetchone() is not None
    with transaction(database):
        if is_broken and is_elsewhere(source):
            rows.note_source(database, key, model, "")
            rows.note_seen(database, key)  # it could not be had today: nothing is known to be gone
            return 0
        rows.note_source(database, key, model, reading.current_version(source) or "")
        return rows.mark_missing(database, key)


def _video_files(root: Path, videos: Iterable[Path]) -> Iterator[VideoFile]:
    for name, key, size, modified_ns in present(root, map(str, videos)):
        yield VideoFile(Path(name), key, size, modified_ns)


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
    files: Iterable[str],
    scopes: Iterable[Path],
    videos: Iterable[Path] = (),
) -> bool:
    """Whether `update` would find nothing new or changed among `files` and `videos`, and nothing
    missing."""
    _forget_seen(database)
    if any(video_rows.changed(database, model, _video_files(root, videos))):
        return False
    if any(changed(database, model, root, files, Report())):
        return False
    for key in rows.sources(database):
        version = reading.current_version(reading.source_of(key, root))
        if version is None or (version and rows.version_seen(database, key, model) != version):
            return False
        rows.note_seen(database, key)
    return not any(
        database.execute(
            f"SELECT 1 FROM file WHERE missing IS NULL AND {inside} "
            "AND path NOT IN (SELECT path FROM temp.seen) LIMIT 1",
            values,
        ).fetchone()
        for inside, values in (_inside(scope, root) for scope in scopes)
    )


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
            member = file.member
            if isinstance(result, str):
                same = member is not None and _is_at(database, file.key, picture.content)
                report.known += not same
                report.unchanged += same
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
            if member is not None:
                version = "" if isinstance(result, UnseenError) else picture.version
                rows.note_member(database, file.key, member.source, version, member.meta)
                database.execute("INSERT OR IGNORE INTO temp.seen VALUES (?)", (file.key,))


def _is_at(database: sqlite3.Connection, key: str, content: bytes) -> bool:
    """Whether this content is there under this name already."""
    query = "SELECT 1 FROM file WHERE path = ? AND content = ? AND missing IS NULL"
    return database.execute(query, (key, content)).fetchone() is not None


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
