"""What an index keeps of the sources that hold many pictures, and of each picture in them.

`source`: each by its path or address, and the version that a model has looked at to its end.
`member`: which source a file of the index comes from, the version of that alone, and its metadata.
Both tables are made with the first source, so that an index of a folder is as it always was.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING

from unseen.system.printable import escaped

if TYPE_CHECKING:
    from unseen.types import Metadata

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS source (address TEXT NOT NULL, "
    "model INTEGER NOT NULL REFERENCES model (id), version TEXT NOT NULL, "
    "PRIMARY KEY (address, model)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS member (path TEXT PRIMARY KEY, source TEXT NOT NULL, "
    "version TEXT NOT NULL, meta TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS member_source ON member (source)",
)
TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('source', 'member')"


def there(database: sqlite3.Connection) -> bool:
    """Whether the index ever had a source that holds many pictures."""
    return bool(database.execute(TABLES).fetchone()[0] == 2)


def prepare(database: sqlite3.Connection) -> None:
    """Make the tables where there are none."""
    for statement in SCHEMA:
        database.execute(statement)


def sources(database: sqlite3.Connection) -> list[str]:
    """The sources of all models, by what the index calls them, escaped."""
    if not there(database):
        return []
    rows = database.execute("SELECT DISTINCT address FROM source ORDER BY address")
    return [address for (address,) in rows]


def note_source(database: sqlite3.Connection, source: str, model: int, version: str) -> None:
    """A model has looked at a source; `version`: "" where it is to look again in any case."""
    database.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", (source, model, version))


def version_seen(database: sqlite3.Connection, source: str, model: int) -> str:
    """The version that a model has looked at to its end; "" for none."""
    row = database.execute(
        "SELECT version FROM source WHERE address = ? AND model = ?", (source, model)
    ).fetchone()
    return "" if row is None else str(row[0])


def note_member(
    database: sqlite3.Connection, path: str, source: str, version: str, meta: Metadata
) -> None:
    """Where a file of the index comes from, and what is known of it."""
    row = (path, source, version, json.dumps({**meta}))
    database.execute("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?)", row)


def stored(database: sqlite3.Connection, path: str, model: int) -> tuple[bytes, str] | None:
    """The content of a picture that a model has encoded, and its version; None where it has not."""
    row = database.execute(
        "SELECT content, version FROM file JOIN picture USING (content) JOIN member USING (path) "
        "WHERE path = ? AND model = ? AND error IS NULL",
        (path, model),
    ).fetchone()
    return None if row is None else (bytes(row[0]), str(row[1]))


def note_seen(database: sqlite3.Connection, source: str) -> int:
    """Enter all files of a source into the table temp.seen → how many there are."""
    return database.execute(
        "INSERT OR IGNORE INTO temp.seen SELECT path FROM member JOIN file USING (path) "
        "WHERE source = ? AND missing IS NULL",
        (source,),
    ).rowcount


def mark_missing(database: sqlite3.Connection, source: str) -> int:
    """Mark the files of a source that are not in temp.seen → how many."""
    return database.execute(
        "UPDATE file SET missing = ? WHERE missing IS NULL AND path IN "
        "(SELECT path FROM member WHERE source = ?) AND path NOT IN (SELECT path FROM temp.seen)",
        (int(time.time()), source),
    ).rowcount


def metadata(database: sqlite3.Connection, path: str) -> Metadata:
    """What is known of a file of the index, beside its picture; nothing of most."""
    row = database.execute("SELECT meta FROM member WHERE path = ?", (escaped(path),)).fetchone()
    facts: Metadata = {} if row is None else json.loads(row[0])
    return facts
