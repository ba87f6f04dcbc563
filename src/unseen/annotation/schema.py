"""A labelling's SQLite file: its tables, and how older ones become today's.

It holds all that is needed to review and export: neither model nor index is opened again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from unseen.system import sqlite

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
)


def connect(path: Path) -> sqlite3.Connection:
    """The labelling at `path`, made or migrated if need be. Raises StoreError."""
    return sqlite.connect(path, MIGRATIONS, "labelling")
