"""A labelling's SQLite file: its tables, how older ones become today's, and what was reviewed.

It holds all that is needed to review and export: neither model nor index is opened again.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from unseen.errors import SourceError
from unseen.system import sqlite
from unseen.system.cache import index_home
from unseen.system.printable import unescaped

FOLDER = ".unseen"  # below the folder of the pictures, beside its index
NAME = "labels"  # of the labelling of a folder, where there is only one
FILE = re.compile(r"labelling-([\w-]{1,60})\.sqlite")
SUFFIX = ".sqlite"

# Each takes a file from its place in this tuple to the next.
MIGRATIONS = (
    """
    CREATE TABLE fact (
        name TEXT PRIMARY KEY,          -- manifest: what proposed, and how (unseen/runs.py),
                                        -- asked: the names that scores are of
        value TEXT NOT NULL             -- JSON
    ) WITHOUT ROWID;
    CREATE TABLE label (
        place INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        added INTEGER NOT NULL          -- 1: by the person who reviews; the model does not know it
    );
    CREATE TABLE picture (
        content BLOB PRIMARY KEY,       -- the first 16 bytes of the file's sha256
        paths TEXT NOT NULL,            -- JSON: every place below the folder, sorted
        first TEXT NOT NULL,            -- the first of them
        width INTEGER,                  -- upright, in pixels
        height INTEGER,
        embedding BLOB,                 -- float16, little-endian, of length 1
        scores BLOB,                    -- float32, little-endian, of the labels that were asked
        doubt REAL,                     -- 0…1: how little the first label leads
        draw BLOB NOT NULL,             -- of a random order
        pile TEXT NOT NULL,             -- sure, unsure, none, error
        error TEXT,
        CHECK ((embedding IS NULL) = (error IS NOT NULL))
    ) WITHOUT ROWID;
    CREATE INDEX picture_pile ON picture (pile, first);
    CREATE INDEX picture_doubt ON picture (doubt) WHERE pile IN ('unsure', 'none');
    CREATE INDEX picture_draw ON picture (draw) WHERE pile = 'sure';
    CREATE TABLE decision (
        id INTEGER PRIMARY KEY,         -- the last one of a picture counts
        content BLOB NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('label', 'none', 'skip')),
        label TEXT,
        at TEXT NOT NULL,               -- UTC, ISO 8601
        CHECK ((verdict = 'label') = (label IS NOT NULL))
    );
    CREATE INDEX decision_content ON decision (content);
    CREATE VIEW verdict AS
        SELECT content, verdict, label AS chosen FROM decision
        WHERE id = (SELECT max(id) FROM decision AS other WHERE other.content = decision.content);
    """,
    """
    -- 1: what proposed had learnt from this picture.
    ALTER TABLE picture ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
    -- As the model proposed, where what was learnt from the answers proposes otherwise now.
    ALTER TABLE picture ADD COLUMN model_scores BLOB;
    ALTER TABLE picture ADD COLUMN model_pile TEXT;
    -- The label set as the model encoded it (CompiledLabels), from which is learnt: one row.
    CREATE TABLE label_set (content BLOB NOT NULL);
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """The labelling at `path`, made or migrated if need be. Raises StoreError."""
    return sqlite.connect(path, MIGRATIONS, "labelling")


def file_name(name: str) -> str:
    """Of the labelling of that name."""
    return f"labelling-{name}{SUFFIX}"


def locate(root: Path, name: str) -> Path:
    """Where the labelling of a folder is, or would be made: beside its pictures, or in
    `$UNSEEN_INDEX_HOME`, where that is set and the folder has none of that name."""
    own, home = root / FOLDER / file_name(name), index_home(root)
    return own if home is None or own.is_file() else home / file_name(name)


def folder_of(file: Path) -> Path:
    """The folder whose labelling this file is. StoreError, SourceError."""
    if file.parent.name == FOLDER:
        return file.parent.parent
    with closing(sqlite.connect(file, MIGRATIONS, "labelling", readable=True)) as database:
        row = database.execute("SELECT value FROM fact WHERE name = 'folder'").fetchone()
    if row is None:
        raise SourceError(f"{file}: this labelling does not say of which folder it is.")
    return Path(unescaped(json.loads(row[0])))


def labelling_of(folder: Path) -> Path | None:
    """The file of the labelling of a folder, None without one. SourceError where it has several,
    and none of the usual name."""
    home = index_home(folder.absolute())
    files = [
        path
        for place in (folder / FOLDER, *([] if home is None else [home]))
        for path in place.glob(file_name("*"))
        if FILE.fullmatch(path.name)
    ]
    usual = next((path for path in files if path.name == file_name(NAME)), None)
    if usual is not None:
        return usual
    if len(files) > 1:
        raise SourceError(
            f"{folder} has {len(files)} labellings; give the file of one: "
            f"{', '.join(map(str, sorted(files)))}."
        )
    return files[0] if files else None


@dataclass(frozen=True)
class Reviewed:
    """A picture that a person gave a label: its content's digest in hex, its paths below the
    folder, with /."""

    id: str
    paths: tuple[str, ...]
    label: str


def reviewed(file: Path) -> Iterator[Reviewed]:
    """The pictures of a labelling that a person gave a label, by path. Raises StoreError."""
    with closing(sqlite.connect(file, MIGRATIONS, "labelling", readable=True)) as database:
        rows = database.execute(
            "SELECT content, paths, chosen FROM picture JOIN verdict USING (content) "
            "WHERE verdict = 'label' AND pile <> 'error' ORDER BY first"
        )
        for content, paths, label in rows:
            yield Reviewed(content.hex(), tuple(json.loads(paths)), label)
