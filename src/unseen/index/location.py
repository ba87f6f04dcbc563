"""Where an index is kept: in a hidden folder beside the pictures, or elsewhere.

`$UNSEEN_INDEX_HOME` is a folder for the indexes of all folders, each by a digest of its path.
`$UNSEEN_INDEX_FILE` (`--index-file`) is one index, which holds the path of its folder.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import StoreError
from unseen.index import schema
from unseen.system.cache import INDEX_HOME, index_home

FOLDER = ".unseen"  # hidden, so that it is never searched for pictures
FILE = "index.sqlite"
INDEX_FILE = "UNSEEN_INDEX_FILE"
ELSEWHERE = (
    f"keep it elsewhere: --index-file FILE, or set {INDEX_HOME} to a folder that can be written to"
)


@dataclass(frozen=True)
class Location:
    """The database of the pictures below `root`."""

    root: Path
    file: Path

    @property
    def folder(self) -> Path:
        """For what is derived from the database."""
        own = self.file.name == FILE
        return self.file.parent if own else self.file.with_name(f"{self.file.name}.derived")

    @property
    def is_outside(self) -> bool:
        """Whether it must hold the path of its pictures itself."""
        return self.file != self.root / FOLDER / FILE


def locate(root: Path) -> Location:
    """Where the index of a folder is, or would be made. StoreError for the file of another's."""
    file = _index_file()
    if file is not None:
        folder = root_of(file) if file.is_file() else root
        if folder != root and folder.is_dir():  # else it was moved
            raise StoreError(f"{file} is the index of {folder}, not of {root}.")
        return Location(root, file)
    own = Location(root, root / FOLDER / FILE)
    home = index_home(root)
    if home is None:
        return own
    shared = Location(root, home / FILE)
    return own if own.file.is_file() and not shared.file.is_file() else shared


def find(start: str | Path) -> Path | None:
    """The folder whose index covers `start`: itself or the nearest parent; None without one."""
    folder = Path(start).absolute()
    root = named_root()
    if root is not None:
        return root if root in (folder, *folder.parents) else None
    for parent in (folder, *folder.parents):
        if locate(parent).file.is_file():
            return parent
    return None


def index_above(sources: Any) -> Path | None:
    """The folder of the index in or above `sources`, where these are one folder; or None."""
    folder = one_folder(sources)
    return None if folder is None else find(folder)


def one_folder(sources: Any) -> Path | None:
    """`sources` where they are one folder, else None."""
    if isinstance(sources, Sequence) and not isinstance(sources, (str, bytes)):
        if len(sources) != 1:
            return None
        (sources,) = sources
    if not isinstance(sources, (str, Path)):
        return None
    try:
        return Path(sources) if Path(sources).is_dir() else None
    except (OSError, ValueError):  # far too long for a path
        return None


def named_root() -> Path | None:
    """The folder of the index that `--index-file` names; None without it. Raises StoreError."""
    file = _index_file()
    if file is None:
        return None
    if not file.is_file():
        raise StoreError(
            f"{file}: there is no such index; make it: unseen index FOLDER --index-file {file}"
        )
    return root_of(file)


def root_of(file: Path) -> Path:
    """The folder that an index outside of it was made for. StoreError."""
    with closing(schema.connect(file)) as database:
        table = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'").fetchone()
        row = table and database.execute("SELECT folder FROM place").fetchone()
    if row is not None:
        return Path(os.fsdecode(row[0]))
    if file.parent.name == FOLDER and file.name == FILE:
        return file.parent.parent
    raise StoreError(f"{file}: this index does not say of which folder it is.")


def is_index(file: Path) -> bool:
    """Whether a file is an index: nothing is made, migrated or locked."""
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('file', 'model', 'picture')"
    for mode in ("mode=ro", "immutable=1"):  # the second where nothing may be made beside it
        try:
            uri = f"{file.absolute().as_uri()}?{mode}"
            with closing(sqlite3.connect(uri, uri=True)) as database:
                count: tuple[int] = database.execute(query).fetchone()
                return count == (3,)
        except sqlite3.Error:
            continue
    return False


def bind(database: sqlite3.Connection, root: Path) -> None:
    """Write into an index outside of its folder which folder it is for."""
    database.execute("CREATE TABLE IF NOT EXISTS place (folder BLOB NOT NULL)")
    database.execute("DELETE FROM place")
    database.execute("INSERT INTO place VALUES (?)", (os.fsencode(root),))


def _index_file() -> Path | None:
    name = os.environ.get(INDEX_FILE)
    return Path(name).expanduser().absolute() if name else None
