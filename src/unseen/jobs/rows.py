"""The rows of a part: one for each picture, as Arrow has them, and files of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.prediction.prediction import Prediction
from unseen.system.printable import escaped

if TYPE_CHECKING:
    from unseen.types import Floats

GROUP_ROWS = 1024  # that are held before they are written
PLAIN_COLUMNS = ("label", "error_class")  # of few values: a dictionary makes them small
FORMAT_KEY, SHARD_KEY, ANSWER_KEY = b"unseen.format", b"unseen.shard", b"unseen.answer"


@dataclass(frozen=True)
class Row:
    """A picture that is done.

    Parameters
    ----------
    key : str
        Of its entry.
    sha256 : str, optional
        Of its bytes. None: they could not be read, or it is a frame of a video.
    width, height : int, optional
        In pixels, upright. None: it could not be opened.
    prediction : Prediction, optional
        None: no labels were given, or it failed.
    embedding : ndarray of shape (d,), float32, optional
        None: it was not asked for, or the picture failed.
    error : str, optional
        Why it failed.
    error_class : str, optional
        What kind of error that is.
    meta : Mapping[str, str | int | float | bool | None]
        Of its source.
    """

    key: str
    sha256: str | None
    width: int | None
    height: int | None
    prediction: Prediction | None
    embedding: Floats | None
    error: str | None
    error_class: str | None
    meta: Mapping[str, Any]


def schema_of(facts: Mapping[str, Any], shard: str = "") -> Any:
    """The columns of the parts of a job, and what the part of a shard says of itself.

    Parameters
    ----------
    facts : Mapping[str, Any]
        Of the job.
    shard : str
        The id of a shard; "": of none.

    Returns
    -------
    pyarrow.Schema
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra

    options = facts["answer"]["options"]
    scored = pa.struct([("label", pa.string()), ("score", pa.float32()), ("cosine", pa.float32())])
    columns = [("key", pa.string())]
    if "multi" in options:
        columns += [("label", pa.string()), ("score", pa.float32()), ("unknown", pa.bool_())]
        columns += [("labels", pa.list_(scored))]
        if (options["calibration"] or {}).get("likely"):
            columns += [("likely", pa.list_(pa.string()))]
        if options["unknown"]:
            columns += [("evidence", pa.float32())]
    if options["embed"]:
        columns += [("embedding", pa.list_(pa.float16(), facts["dimension"]))]
    columns += [("sha256", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    columns += [("error", pa.string()), ("error_class", pa.string()), ("metadata", pa.string())]
    metadata = {FORMAT_KEY: facts["format"], ANSWER_KEY: facts["answer_sha256"], SHARD_KEY: shard}
    return pa.schema(columns, metadata=metadata)


def table_of(rows: Sequence[Row], schema: Any) -> Any:
    """Rows as a table.

    Parameters
    ----------
    rows : sequence of Row
        In the order of their entries.
    schema : pyarrow.Schema
        As `schema_of` gives it.

    Returns
    -------
    pyarrow.Table
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra

    columns = [
        _embeddings(rows, field.type)
        if field.name == "embedding"
        else pa.array([CELLS[field.name](row) for row in rows], field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _embeddings(rows: Sequence[Row], kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    numbers = np.zeros((len(rows), kind.list_size), dtype=np.float16)
    for i, row in enumerate(rows):
        if row.embedding is not None:
            numbers[i] = row.embedding
    missing = np.array([row.embedding is None for row in rows])
    return pa.FixedSizeListArray.from_arrays(
        pa.array(numbers.reshape(-1)), kind.list_size, mask=pa.array(missing)
    )


def _of_prediction(name: str) -> Any:
    return lambda row: None if row.prediction is None else getattr(row.prediction, name)


def _labels(row: Row) -> Any:
    if row.prediction is None:
        return None
    return [
        {"label": scored.label, "score": scored.score, "cosine": scored.cosine}
        for scored in row.prediction.ranking
    ]


def _metadata(row: Row) -> str | None:
    # ASCII: what is no UTF-8 in a name becomes an escape that JSON reads back.
    return json.dumps(dict(row.meta)) if row.meta else None


CELLS: Mapping[str, Any] = {
    "key": lambda row: escaped(row.key),
    "label": _of_prediction("label"),
    "score": _of_prediction("score"),
    "unknown": _of_prediction("unknown"),
    "labels": _labels,
    "likely": _of_prediction("likely"),
    "evidence": _of_prediction("evidence"),
    "sha256": lambda row: row.sha256,
    "width": lambda row: row.width,
    "height": lambda row: row.height,
    "error": lambda row: None if row.error is None else escaped(row.error),
    "error_class": lambda row: row.error_class,
    "metadata": _metadata,
}


class PartFile:
    """A part that grows a group of rows at a time.

    Parameters
    ----------
    path : Path
        Where it is written.
    schema : pyarrow.Schema
        As `schema_of` gives it.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - an extra

        self._schema = schema
        self._rows: list[Row] = []
        plain = [name for name in PLAIN_COLUMNS if name in schema.names]
        self._writer = parquet.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=plain, write_statistics=False
        )

    def add(self, row: Row) -> None:
        """Add a row. OSError."""
        self._rows.append(row)
        if len(self._rows) == GROUP_ROWS:
            self._write()

    def close(self) -> None:
        """Write what is left, and the end of the file. OSError."""
        self._write()
        self._writer.close()

    def discard(self) -> None:
        """Let go of the file, whatever it holds."""
        self._rows = []
        try:
            self._writer.close()
        except OSError:
            self._writer.is_open = False  # else it is tried again when it is collected

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(table_of(self._rows, self._schema))
            self._rows = []
