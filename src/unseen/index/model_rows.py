"""The models that have encoded the pictures of an index: a row each, and how one is chosen."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import ModelError, StoreError
from unseen.load_options import LoadOptions
from unseen.models import catalog

if TYPE_CHECKING:
    from unseen.encoder import Encoder

EXACT = " exact"  # the end of the column `preprocess` when JPEGs were decoded in full
LOADABLE = ("fp32", "fp16", "int8")  # precisions that may be asked for; "auto" may choose bf16

# fingerprint, preprocess, precision: what makes two embeddings comparable
Key = tuple[str, str, str]


@dataclass(frozen=True)
class ModelRow:
    """A model whose embeddings an index holds, and in which way they were made.

    Parameters
    ----------
    id : int
        Of the row in the table `model`.
    name : str
        Hub id, folder, file or `builtin`, as it was given.
    revision : str or None
        Branch, tag or commit, where one was given.
    fingerprint : str
        Of every file of the model that can change a result.
    precision : str
        fp32, fp16, bf16 or int8.
    exact : bool
        Whether JPEGs were decoded in full.
    dimension : int
        Numbers of an embedding.
    pictures, errors : int
        Pictures with an embedding, and pictures that could not be read.
    """

    id: int
    name: str
    revision: str | None
    fingerprint: str
    precision: str
    exact: bool
    dimension: int
    pictures: int
    errors: int

    def __str__(self) -> str:
        """The model and what differs from the defaults: "fast@v2 (int8, exact)"."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.name}{revision} ({self.precision}{', exact' if self.exact else ''})"

    @property
    def options(self) -> LoadOptions:
        """What loads the same encoder again."""
        return LoadOptions(
            model=self.name,
            revision=self.revision,
            precision=self.precision if self.precision in LOADABLE else "auto",
            exact=self.exact,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "precision": self.precision,
            "exact": self.exact,
            "dimension": self.dimension,
            "pictures": self.pictures,
            "errors": self.errors,
        }


def read_rows(database: sqlite3.Connection) -> list[ModelRow]:
    """The rows of an index, the latest last."""
    rows = database.execute(
        # Two counts that SQLite has from its indices alone: errors would read every embedding.
        "SELECT id, name, revision, fingerprint, precision, preprocess, dimension, "
        "(SELECT count(*) FROM picture WHERE model = model.id AND embedding IS NOT NULL), "
        "(SELECT count(*) FROM picture WHERE model = model.id) FROM model ORDER BY id"
    )
    return [
        ModelRow(
            id_,
            name,
            revision,
            fingerprint,
            precision,
            preprocess.endswith(EXACT),
            dimension,
            embedded,
            total - embedded,
        )
        for (
            id_,
            name,
            revision,
            fingerprint,
            precision,
            preprocess,
            dimension,
            embedded,
            total,
        ) in rows
    ]


def key_of(encoder: Encoder) -> Key:
    """What the embeddings of an encoder are kept under. Precision "auto" compiles to find out."""
    preprocess = f"{encoder.model.preprocess}{EXACT if encoder.exact else ''}"
    return encoder.model.fingerprint, preprocess, encoder.precision


def find_row(database: sqlite3.Connection, key: Key) -> int | None:
    """The id of the row of a key; None where there is none."""
    row = database.execute(
        "SELECT id FROM model WHERE fingerprint = ? AND preprocess = ? AND precision = ?", key
    ).fetchone()
    return None if row is None else int(row[0])


def add_row(database: sqlite3.Connection, encoder: Encoder) -> int:
    """The id of the row of an encoder, inserted if it is new."""
    model = encoder.model
    return add_key(database, model.name, model.revision, key_of(encoder), model.dimension)


def add_key(
    database: sqlite3.Connection, name: str, revision: str | None, key: Key, dimension: int
) -> int:
    """As `add_row`, of a model that is not loaded."""
    database.execute(
        "INSERT OR IGNORE INTO model (name, revision, fingerprint, preprocess, precision, "
        "dimension) VALUES (?, ?, ?, ?, ?, ?)",
        (name, revision, *key, dimension),
    )
    row = find_row(database, key)
    assert row is not None
    return row


def select(rows: Sequence[ModelRow], overrides: Mapping[str, Any]) -> list[ModelRow]:
    """The rows with pictures that fit, the latest last.

    `overrides` are fields of LoadOptions; model, revision, precision and exact count, where they
    are there. A model is known by its name; one that no row has, such as another path of the same
    folder, by its fingerprint, for which its files are read.
    """
    rows = [row for row in rows if row.pictures or row.errors]
    model, revision = overrides.get("model"), overrides.get("revision")
    if model is not None:
        commercial = bool(overrides.get("commercial"))
        rows = _of_model(rows, *name_and_revision(model, revision), commercial)
    elif revision is not None:
        rows = [row for row in rows if row.revision == revision]
    if overrides.get("precision") not in (None, "auto"):
        rows = [row for row in rows if row.precision == overrides["precision"]]
    if "exact" in overrides:
        rows = [row for row in rows if row.exact == overrides["exact"]]
    return rows


def name_and_revision(model: str, revision: str | None) -> tuple[str, str | None]:
    """A model as rows name it: `fast@v2` is the id that `fast` stands for, and its revision v2."""
    if Path(model).expanduser().exists():
        return model, revision
    name, _, pinned = catalog.resolve(model).partition("@")
    return name, pinned or revision


def _of_model(
    rows: Sequence[ModelRow], model: str, revision: str | None, commercial: bool
) -> list[ModelRow]:
    named = [
        row
        for row in rows
        if (row.name == model or _same_path(row.name, model)) and revision in (None, row.revision)
    ]
    if named or not rows:
        return named
    fingerprint = _fingerprint(model, revision, commercial)
    return [row for row in rows if row.fingerprint == fingerprint]


def _same_path(first: str, second: str) -> bool:
    paths = Path(first).expanduser(), Path(second).expanduser()
    return all(path.exists() for path in paths) and paths[0].samefile(paths[1])


def _fingerprint(model: str, revision: str | None, commercial: bool) -> str | None:
    """Of a model that is on this machine; None of another, for which nothing is downloaded."""
    from unseen.models import families, hub  # noqa: PLC0415 - only for a name that no row has

    try:
        if not (Path(model).expanduser().exists() or hub.is_here(model)):
            return None
        checkpoint = hub.locate(model, revision=revision, commercial=commercial)
        return families.read(checkpoint).fingerprint
    except ModelError:
        return None


def preferred(rows: Sequence[ModelRow]) -> ModelRow:
    """The row to take of several: of the latest model, the newest files that were decoded quickly.

    A command line can ask for a revision or for --exact, and cannot ask for their absence: without
    these options a row that was made without them comes first.
    """
    same_model = [row for row in rows if row.name == rows[-1].name]
    return max(same_model, key=lambda row: (row.revision is None, not row.exact, row.id))


def options_of(row: ModelRow, overrides: Mapping[str, Any]) -> LoadOptions:
    """What loads the encoder of a row, with what else is wanted of it (device, threads, …)."""
    recorded = row.options
    # "auto" and no revision are not wishes: what the row has is what they came to.
    changes = {name: value for name, value in overrides.items() if value not in (None, "auto")}
    return replace(recorded, **{**changes, "precision": recorded.precision})


def not_encoded(root: Path, rows: Sequence[ModelRow], model: str) -> StoreError:
    """The error when a model, or with "" every model, has encoded no pictures of an index."""
    command = f"unseen index {root}" + (f" -m {model}" if model else "")
    known = "; ".join(str(row) for row in rows if row.pictures or row.errors)
    if not known:
        return StoreError(f"{root}: no model has encoded these pictures yet: {command}")
    return StoreError(
        f"{root}: {model or 'such a model'} has not encoded these pictures with these options; "
        f"choose one of: {known}; or run: {command}"
    )
