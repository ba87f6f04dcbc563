"""The rows of a job → one file: .parquet, .jsonl or .csv."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from unseen.errors import SourceError
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.rows import schema_of
from unseen.results.result_file import check_output, writing
from unseen.results.spreadsheet import harmless
from unseen.system.cache import replacing

JSON_COLUMNS = ("labels", "likely")  # of a CSV: a cell of JSON each
NO_CSV_COLUMNS = ("embedding",)


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    rows : int
        Of the file.
    missing : int
        Planned pictures that have no row yet.
    errors : int
        Rows that are errors.
    """

    rows: int
    missing: int
    errors: int


class Sink(Protocol):
    """A file that takes tables."""

    def write(self, table: Any) -> None:
        """Add the rows of a table. OSError."""

    def close(self) -> None:
        """There are no more. OSError."""


def export(
    job: Job,
    path: str | Path,
    *,
    partial: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the rows of a job to one file, in the order of its plan.

    Parameters
    ----------
    job : Job
        What was planned.
    path : str or Path
        A .parquet, .jsonl or .csv file. A CSV has no embeddings, and `labels` as JSON.
    partial : bool
        Write what there is, where the job is not done.
    overwrite : bool
        Replace a file that exists.
    progress : callable, optional
        Called with how many rows are written, and how many are planned.

    Returns
    -------
    Exported

    Raises
    ------
    SourceError
        If the job is not done, or the file cannot be written, or must not be.
    StoreError
        If a part is damaged.
    """
    path = Path(path)
    kind = SINKS.get(path.suffix.lower())
    if kind is None:
        raise SourceError(f"{path}: a job is exported as {', '.join(SINKS)}.")
    check_output(path, overwrite=overwrite)
    published = job.parts()
    pending = [shard for shard in job.shards if shard.id not in published]
    if pending and not partial:
        count = sum(shard.count for shard in pending)
        raise SourceError(
            f"{job.store.address}: {count:,} pictures have no row yet: unseen job run "
            f"{job.store.address}; or pass --partial for what there is."
        )
    rows = errors = 0
    with writing(path), replacing(path) as temporary, _open(kind, temporary, job) as sink:
        for _, table in merged(job):
            sink.write(table)
            rows += table.num_rows
            errors += table.num_rows - table.column("error_class").null_count
            if progress is not None:
                progress(rows, job.pictures)
    return Exported(rows, job.pictures - rows, errors)


@contextmanager
def _open(kind: Any, path: Path, job: Job) -> Iterator[Sink]:
    sink = kind(path, schema_of(job.facts))
    try:
        yield sink
    finally:
        sink.close()


class _Parquet:
    def __init__(self, path: Path, schema: Any) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - an extra

        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")

    def write(self, table: Any) -> None:
        self._writer.write_table(table.cast(self._schema).combine_chunks())

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, path: Path, schema: Any) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")

    def write(self, table: Any) -> None:
        for row in table.to_pylist():
            if row.get("metadata") is not None:
                row["metadata"] = json.loads(row["metadata"])
            if row.get("embedding") is not None:
                row["embedding"] = [_number(number) for number in row["embedding"]]
            self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        self._file.close()


class _Csv:
    def __init__(self, path: Path, schema: Any) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._columns = [name for name in schema.names if name not in NO_CSV_COLUMNS]
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(self._columns)

    def write(self, table: Any) -> None:
        for row in table.select(self._columns).to_pylist():
            self._writer.writerow([_cell(name, value) for name, value in row.items()])

    def close(self) -> None:
        self._file.close()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in JSON_COLUMNS:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, bool):
        return str(value).lower()
    return harmless(str(value))


def _number(number: Any) -> float | None:
    """A half-precision number as JSON has it, at its own precision."""
    value = float(number)
    return float(f"{value:.5g}") if math.isfinite(value) else None


SINKS: dict[str, Any] = {".parquet": _Parquet, ".jsonl": _JsonLines, ".csv": _Csv}
