"""Predictions as Parquet: a typed column for each thing that a row says, some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import IO, Any

from unseen.errors import MissingExtraError
from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction
from unseen.system.printable import escaped, unescaped

GROUP_ROWS = 16384  # that are held before they are written
BATCH_ROWS = 4096  # that are read at once
NO_ANSWER = Prediction("")  # of a picture that could not be read


class ParquetRows:
    """A file that grows a group of rows at a time; nobody can read it before it is closed.

    Columns: ``source``, ``label``, ``score``, ``unknown``; ``labels``, the ranking; ``left_out``,
    ``likely``, ``evidence``, ``abstained``; ``error``; ``metadata`` as JSON. Of several label sets
    those from ``label`` to ``abstained`` are NAME, NAME.score and so on.
    """

    def __init__(self, path: Path, facets: Iterable[str] | None = None) -> None:
        _, parquet = _arrow()
        self._facets = None if facets is None else tuple(facets)
        self._schema = _schema(self._facets)
        self._rows: list[Any] = []
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        """Add a row. OSError."""
        self._rows.append(prediction)
        if len(self._rows) == GROUP_ROWS:
            self._write()

    def close(self) -> None:
        """Write what is left, and the end of the file. OSError."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        pa, _ = _arrow()
        columns = [pa.array([escaped(row.source) for row in rows], pa.string())]
        if self._facets is None:
            columns += _answers(rows)
        else:
            for name in self._facets:
                columns += _answers([row.facets.get(name, NO_ANSWER) for row in rows])
        errors = [None if row.error is None else escaped(row.error) for row in rows]
        columns.append(pa.array(errors, pa.string()))
        # ASCII: what is no UTF-8 in a name becomes an escape that JSON reads back.
        metadata = [json.dumps(dict(row.meta)) if row.meta else None for row in rows]
        columns.append(pa.array(metadata, pa.string()))
        self._writer.write_table(pa.table(columns, schema=self._schema))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise MissingExtraError("Parquet output", "pyarrow", "parquet") from None
    return pa, parquet


def _scored() -> Any:
    pa, _ = _arrow()
    numbers = [("score", pa.float32()), ("cosine", pa.float32())]
    return pa.struct([("label", pa.string()), *numbers, ("tile", pa.list_(pa.int32()))])


def _schema(facets: Sequence[str] | None) -> Any:
    pa, _ = _arrow()
    answer = [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("unknown", pa.bool_()),
        ("labels", pa.list_(_scored())),
        ("left_out", pa.int32()),
        ("likely", pa.list_(pa.string())),
        ("evidence", pa.float64()),
        ("abstained", pa.bool_()),
    ]
    columns = [("source", pa.string())]
    for name in (None,) if facets is None else facets:
        columns += [(_column(name, column), kind) for column, kind in answer]
    columns += [("error", pa.string()), ("metadata", pa.string())]
    return pa.schema(columns)


def _column(facet: str | None, name: str) -> str:
    if facet is None:
        return name
    return facet if name == "label" else f"{facet}.{name}"


def _answers(rows: Sequence[Prediction]) -> list[Any]:
    """The columns from ``label`` to ``abstained``; null where a picture could not be read."""
    pa, _ = _arrow()
    read = [row.ok and row is not NO_ANSWER for row in rows]

    def column(values: Iterable[Any], kind: Any) -> Any:
        given = zip(values, read, strict=True)
        return pa.array([value if ok else None for value, ok in given], kind)

    return [
        column((row.label for row in rows), pa.string()),
        column((row.score for row in rows), pa.float32()),
        column((row.unknown for row in rows), pa.bool_()),
        _rankings(rows),
        column((row.left_out for row in rows), pa.int32()),
        column((row.likely for row in rows), pa.list_(pa.string())),
        column((row.evidence for row in rows), pa.float64()),
        column((row.abstained for row in rows), pa.bool_()),
    ]


def _rankings(rows: Sequence[Prediction]) -> Any:
    """The labels of all rows one after the other, and where each row begins: an object a label
    would take ten times as long."""
    pa, _ = _arrow()
    ends = [*accumulate((len(row.ranking) for row in rows), initial=0)]
    labels = [*chain.from_iterable(row.ranking for row in rows)]
    kind = _scored()
    columns = [
        pa.array([scored.label for scored in labels], pa.string()),
        pa.array([scored.score for scored in labels], pa.float32()),
        pa.array([scored.cosine for scored in labels], pa.float32()),
        pa.array([scored.tile for scored in labels], pa.list_(pa.int32())),
    ]
    return pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), pa.StructArray.from_arrays(columns, fields=list(kind))
    )


def records(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The rows of a file of `ParquetRows`, in the shape that JSON has.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    ValueError, KeyError
        If it is another file.
    """
    _, parquet = _arrow()
    table = parquet.ParquetFile(file)
    names = table.schema_arrow.names
    facets = [name.removesuffix(".labels") for name in names if name.endswith(".labels")]
    for batch in table.iter_batches(BATCH_ROWS):
        for cells in batch.to_pylist():
            record: dict[str, Any] = {
                "source": unescaped(cells["source"]),
                "error": None if cells["error"] is None else unescaped(cells["error"]),
                "meta": {} if cells["metadata"] is None else json.loads(cells["metadata"]),
            }
            if record["error"] is None and facets:
                record["facets"] = {name: _answer(cells, name) for name in facets}
            elif record["error"] is None:
                record |= _answer(cells, None)
            yield record


def _answer(cells: dict[str, Any], facet: str | None) -> dict[str, Any]:
    def cell(name: str) -> Any:
        return cells[_column(facet, name)]

    answer = {
        "label": cell("label"),
        "ranking": cell("labels"),
        "left_out": cell("left_out"),
        "abstained": cell("abstained"),
    }
    optional = {name: cell(name) for name in ("likely", "evidence")}
    return answer | {name: value for name, value in optional.items() if value is not None}
