"""Which files of this machine are new to an index or have changed, and what a look comes to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from unseen.images.open import Facts
from unseen.index.collections.reading import Member, key_of
from unseen.sources.formats import counted
from unseen.system.printable import escaped

LOOKED_AT = 512  # files that are compared with their rows at once
KNOWN = "known"  # instead of pixels: this content has its row


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
    member: Member | None = None  # of a source that holds many


@dataclass(frozen=True)
class ReadFile:
    """The same after it was read."""

    file: ChangedFile
    content: bytes
    facts: Facts
    version: str = ""  # of a member, to be asked for with next time


def changed(
    database: sqlite3.Connection, model: int, root: Path, files: Iterable[str], report: Report
) -> Iterator[ChangedFile]:
    """The files whose size or time is another than last time, or that this model never saw."""
    listed = present(root, files)
    while chunk := [*islice(listed, LOOKED_AT)]:
        database.executemany(
            "INSERT OR IGNORE INTO temp.seen VALUES (?)", [(key,) for _, key, *_ in chunk]
        )
        database.execute("DELETE FROM temp.present")
        database.executemany(
            "INSERT OR IGNORE INTO temp.present VALUES (?, ?, ?)", [row for _, *row in chunk]
        )
        rows = database.execute(
            "SELECT path FROM temp.present JOIN file USING (path, size, modified_ns) "
            "JOIN picture USING (content) WHERE model = ?",
            (model,),
        )
        known = {key for (key,) in rows}
        for name, key, size, modified_ns in chunk:
            if key in known:
                report.unchanged += 1
            else:
                yield ChangedFile(Path(name), key, size, modified_ns)


def present(root: Path, files: Iterable[str]) -> Iterator[tuple[str, str, int, int]]:
    """The files that are there: path, key, size and time of change in ns.

    Of a link that leads nowhere these are its own, so that it is a row as without an index.
    """
    for name in files:  # text throughout: a path an object takes three times as long
        try:
            stat = _stat(name)
        except OSError:
            continue  # it went away since it was listed
        yield name, escaped(key_of(name, root)), stat.st_size, stat.st_mtime_ns


def _stat(name: str) -> os.stat_result:
    try:
        return os.stat(name)  # noqa: PTH116
    except OSError:
        return os.lstat(name)
