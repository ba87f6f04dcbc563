"""The index's SQLite file: its tables, and how older files are migrated.

Plain enough for the `sqlite3` shell: docs/index.md says what each column means. `PRAGMA
user_version` is the number of migrations that a file has had.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from unseen.system import sqlite

# Each takes a file from its place in this tuple to the next.
MIGRATIONS = (
    """
    CREATE TABLE model (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,             -- hub id, folder or builtin, as it was given
        revision TEXT,
        fingerprint TEXT NOT NULL,      -- of every file of it that can change a result
        preprocess TEXT NOT NULL,       -- what is done to a picture before the net sees it
        precision TEXT NOT NULL,        -- fp32, fp16, bf16, int8
        dimension INTEGER NOT NULL,
        changes INTEGER NOT NULL DEFAULT 0,  -- grows when a row of it is changed or deleted
        UNIQUE (fingerprint, preprocess, precision)
    );
    CREATE TABLE picture (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
        model INTEGER NOT NULL REFERENCES model (id),
        content BLOB NOT NULL,          -- the first 16 bytes of the file's sha256
        bytes INTEGER NOT NULL,
        width INTEGER,                  -- upright, in pixels
        height INTEGER,
        taken TEXT,                     -- EXIF time, ISO 8601, no time zone
        embedding BLOB,                 -- float16, little-endian, of length 1; NULL: see error
        error TEXT,
        CHECK ((embedding IS NULL) = (error IS NOT NULL)),
        UNIQUE (content, model)
    );
    CREATE INDEX picture_embedded ON picture (model, id) WHERE embedding IS NOT NULL;
    CREATE TABLE file (
        path TEXT PRIMARY KEY,          -- below the index's folder with /, else absolute
        content BLOB NOT NULL,
        size INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        missing INTEGER                 -- Unix time when first not found; NULL: there
    ) WITHOUT ROWID;
    CREATE INDEX file_content ON file (content);
    """,
)
VERSION = len(MIGRATIONS)

# The files that are there, of a model, and whose path begins so: its length, and the beginning.
FILES_BELOW = "WHERE missing IS NULL AND model = ? AND substr(path, 1, ?) = ? "


def connect(path: Path) -> sqlite3.Connection:
    """The index at `path`, made or migrated if need be; read-only if it must. Raises StoreError."""
    return sqlite.connect(path, MIGRATIONS, "index", readable=True)
