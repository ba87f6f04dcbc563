"""Label sets that clients and label files put here: named, versioned, compiled, in one SQLite file.

Each change of a set is a new version; a set that is compiled for a model is kept with it. Several
workers share the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from unseen.errors import StoreError
from unseen.system.sqlite import connect, transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS name (
    name TEXT PRIMARY KEY,
    newest INTEGER NOT NULL,        -- the number of its newest version; never used twice
    gone INTEGER NOT NULL           -- 1: deleted
);
CREATE TABLE IF NOT EXISTS version (
    name TEXT NOT NULL REFERENCES name (name),
    version INTEGER NOT NULL,
    created TEXT NOT NULL,          -- ISO 8601, UTC
    definition TEXT NOT NULL,       -- JSON: labels, templates, background
    labels INTEGER NOT NULL,        -- how many
    PRIMARY KEY (name, version)
);
CREATE TABLE IF NOT EXISTS compiled (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,      -- of the model
    file BLOB,                      -- safetensors; NULL: see error
    error TEXT,
    PRIMARY KEY (name, version, fingerprint)
);
"""


JOURNAL_BYTES = 4 * 1024 * 1024  # to which SQLite's journal is cut once it is written


@dataclass(frozen=True)
class StoredSet:
    """One version of a set, and whether it is compiled for a model."""

    name: str
    version: int
    created: str
    text: str  # JSON, of the definition
    labels: int
    status: str  # ready, compiling (or not begun), failed
    error: str | None

    @property
    def definition(self) -> dict[str, Any]:
        """Labels, templates and calibration. Parsed here, as most requests need none of it."""
        definition: dict[str, Any] = json.loads(self.text)
        return definition


class LabelStore:
    """The file of label sets. One thread at a time."""

    def __init__(self, path: Path, fingerprint: str, versions: int) -> None:
        """For the model of that fingerprint; so many versions of each set stay. StoreError where
        the file cannot be used."""
        self._path = path
        self._fingerprint = fingerprint
        self._versions = versions
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: label sets cannot be stored there: {error}.") from None
        self._database = connect(path, [SCHEMA], "file of label sets")
        self._database.execute("PRAGMA synchronous = FULL")  # an answered PUT outlives a power cut
        self._database.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        if self._database.execute("PRAGMA auto_vacuum").fetchone() == (0,):
            with suppress(StoreError):  # another worker has it open, or the disk is full: next time
                self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")
                self._database.execute("VACUUM")

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def put(self, name: str, definition: dict[str, Any], labels: int) -> tuple[StoredSet, bool]:
        """A new version, or the newest where it says the same → it, and whether the name is new."""
        text = json.dumps(definition, ensure_ascii=False, sort_keys=True)
        with transaction(self._database):
            row = self._one("SELECT newest, gone FROM name WHERE name = ?", name)
            newest, gone = row or (0, 1)
            same = None if gone else self._one(
                "SELECT 1 FROM version WHERE name = ? AND version = ? AND definition = ?",
                name, newest, text,
            )  # fmt: skip
            if same is None:
                newest += 1
                self._database.execute(
                    "INSERT INTO name VALUES (?, ?, 0) "
                    "ON CONFLICT (name) DO UPDATE SET newest = excluded.newest, gone = 0",
                    (name, newest),
                )
                created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._database.execute(
                    "INSERT INTO version VALUES (?, ?, ?, ?, ?)",
                    (name, newest, created, text, labels),
                )
                self._forget(name, newest - self._versions)
        if same is None:
            self._shrink()
        stored = self.get(name, newest)
        assert stored is not None
        return stored, bool(gone)

    def get(self, name: str, version: int | None = None) -> StoredSet | None:
        """A version; None: the newest. None where there is no such."""
        sets = self._sets("name = ? AND version = coalesce(?, newest)", name, version)
        return next(sets, None)

    def ready(self, name: str) -> StoredSet | None:
        """The newest version that is compiled: what is used while a newer one is compiling."""
        sets = self._sets("name = ? AND file IS NOT NULL ORDER BY version DESC LIMIT 1", name)
        return next(sets, None)

    def list(self) -> list[StoredSet]:
        """The newest version of each, by name."""
        return list(self._sets("version = newest ORDER BY name"))

    def count(self) -> int:
        """How many names there are."""
        return int(self._database.execute("SELECT count(*) FROM name WHERE NOT gone").fetchone()[0])

    def delete(self, name: str) -> bool:
        """Every version of it; whether there was one."""
        with transaction(self._database):
            done = self._database.execute(
                "UPDATE name SET gone = 1 WHERE name = ? AND NOT gone", (name,)
            )
            for table in ("version", "compiled"):
                self._database.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
        self._shrink()
        return done.rowcount > 0

    def _forget(self, name: str, last: int) -> None:
        """Deletes the versions up to `last`, but for the one that answers while none is newer."""
        ready = self._one(
            "SELECT max(version) FROM compiled "
            "WHERE name = ? AND fingerprint = ? AND file IS NOT NULL",
            name, self._fingerprint,
        )[0]  # fmt: skip
        for table in ("version", "compiled"):
            self._database.execute(
                f"DELETE FROM {table} WHERE name = ? AND version <= ? AND version IS NOT ?",
                (name, last, ready),
            )

    def _shrink(self) -> None:
        """Gives the space of deleted rows back to the disk, if nobody else reads just now."""
        with suppress(sqlite3.Error):  # nothing depends on it; `execute` would free one page
            self._database.executescript(
                "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(PASSIVE);"
            )

    def compiled(self, name: str, version: int) -> bytes | None:
        """The safetensors file of a version."""
        row = self._one(
            "SELECT file FROM compiled WHERE name = ? AND version = ? AND fingerprint = ?",
            name, version, self._fingerprint,
        )  # fmt: skip
        return row[0] if row else None

    def keep(self, name: str, version: int, file: bytes | None, error: str | None = None) -> None:
        """The result of compiling. Nothing is stored for a version that was deleted meanwhile."""
        with transaction(self._database):
            self._database.execute(
                "INSERT OR REPLACE INTO compiled SELECT name, version, ?, ?, ? FROM version "
                "WHERE name = ? AND version = ?",
                (self._fingerprint, file, error, name, version),
            )

    def _sets(self, where: str, *values: Any) -> Iterator[StoredSet]:
        query = (
            "SELECT name, version, created, definition, labels, file IS NOT NULL, error FROM ("
            "SELECT v.name, v.version, created, definition, labels, newest, file, error "
            "FROM version v JOIN name USING (name) LEFT JOIN compiled c "
            "ON c.name = v.name AND c.version = v.version AND fingerprint = ? WHERE NOT gone"
            f") WHERE {where}"
        )
        for row in self._database.execute(query, (self._fingerprint, *values)):
            name, version, created, text, labels, ready, error = row
            status = "ready" if ready else "failed" if error else "compiling"
            yield StoredSet(name, version, created, text, labels, status, error)

    def _one(self, query: str, *values: Any) -> Any:
        return self._database.execute(query, values).fetchone()
