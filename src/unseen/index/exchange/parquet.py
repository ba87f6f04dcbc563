"""An index as a .parquet file: plain columns, which any other tool reads."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from unseen.errors import MissingExtraError
from unseen.index.vectors.matrix import vector_of
from unseen.system import cache

ROWS = 4096  # that are written at once

# The columns, and their types in Arrow.
EXPORTED = [
    ("path", "string"),
    ("content", "string"),
    ("bytes", "int64"),
    ("modified_ns", "int64"),
    ("width", "int32"),
    ("height", "int32"),
    ("taken", "string"),
    ("model", "string"),
    ("revision", "string"),
    ("fingerprint", "string"),
    ("precision", "string"),
    ("embedding", "list<float>"),
    ("error", "string"),
]


def write_parquet(database: sqlite3.Connection, path: Path, model: int | None = None) -> int:
    """Every file that is there, a row for each model or for that one → how many rows.

    MissingExtraError without pyarrow.
    """
    parquet = _parquet()
    import pyarrow  # noqa: PLC0415 - an extra

    rows = database.execute(
        "SELECT path, lower(hex(content)), picture.bytes, modified_ns, width, height, taken, "
        "name, revision, fingerprint, precision, embedding, error FROM file "
        "JOIN picture USING (content) JOIN model ON model.id = picture.model "
        "WHERE missing IS NULL AND (? IS NULL OR model.id = ?) ORDER BY path, model.id",
        (model, model),
    )
    types = {"list<float>": pyarrow.list_(pyarrow.float32())}
    schema = pyarrow.schema([(name, types.get(kind, kind)) for name, kind in EXPORTED])
    count = 0
    with cache.replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as file:
        while batch := rows.fetchmany(ROWS):
            records = [dict(zip(schema.names, row, strict=True)) for row in batch]
            for record in records:
                if record["embedding"] is not None:
                    record["embedding"] = vector_of(record["embedding"])
            file.write_table(pyarrow.Table.from_pylist(records, schema))
            count += len(batch)
    return count


def _parquet() -> Any:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("A .parquet file", library="pyarrow", extra="parquet") from None
    return parquet
