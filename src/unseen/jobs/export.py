"""The rows of a job → one file, .parquet, .jsonl or .csv; or one data set of Lance."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import MissingExtraError, SourceError
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.rows import schema_of
from unseen.results.result_file import check_output, writing
from unseen.results.spreadsheet import harmless
from unseen.system.cache import draft_folder, replacing

JSON_COLUMNS = ("labels", "likely")  # of a CSV: a cell of JSON each
NO_CSV_COLUMNS = ("embedding",)
LANCE = ".lance"
LANCE_VERSIONS = "_versions"  # a folder of every data set of Lance


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
        A .parquet, .jsonl or .csv file, or a .lance data set, which is a folder. A CSV has no
        embeddings, and `labels` as JSON.
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
    MissingExtraError
        For .lance without pylance.
    """
    path = Path(path)
    kind = path.suffix.lower()
    write = WRITERS.get(kind)
    if write is None:
        raise SourceError(f"{path}: a job is exported as {', '.join(WRITERS)}.")
    if kind == LANCE:
        _require_lance()
    if path.is_dir() and not (kind == LANCE and (path / LANCE_VERSIONS).is_dir()):
        raise SourceError(f"{path}: that is a folder of something else; give another name.")
    check_output(path, overwrite=overwrite)
    check_done(job, partial=partial)
    rows = errors = 0

    def tables() -> Iterator[Any]:
        nonlocal rows, errors
        for _, table in merged(job):
            yield table
            rows += table.num_rows
            errors += table.num_rows - table.column("error_class").null_count
            if progress is not None:
                progress(rows, job.pictures)

    replaced = _replacing_folder if kind == LANCE else replacing
    with writing(path), replaced(path) as temporary:
        write(temporary, schema_of(job.facts), tables())
    return Exported(rows, job.pictures - rows, errors)


def check_done(job: Job, *, partial: bool) -> None:
    """SourceError where a job is not done, unless what there is shall do."""
    published = job.parts()
    pending = sum(shard.count for shard in job.shards if shard.id not in published)
    if pending and not partial:
        raise SourceError(
            f"{job.store.address}: {pending:,} pictures have no row yet: unseen job run "
            f"{job.store.address}; or pass --partial for what there is."
        )


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """A name beside `path` for a folder, which takes its place at the end."""
    with draft_folder(path.parent) as draft:
        folder = draft / path.name
        yield folder
        if path.exists():
            path.rename(draft / "before")
        folder.rename(path)


def _require_lance() -> None:
    try:
        import lance  # noqa: PLC0415, F401 - an extra
    except ImportError:
        raise MissingExtraError("A data set of Lance", "pylance", "lance") from None


def _write_parquet(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.cast(schema).combine_chunks())


def _write_lance(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    import lance  # noqa: PLC0415 - an extra
    import pyarrow as pa  # noqa: PLC0415 - an extra

    batches = (batch for table in tables for batch in table.cast(schema).to_batches())
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), path, mode="create")


def _write_json_lines(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for table in tables:
            for row in table.to_pylist():
                if row.get("metadata") is not None:
                    row["metadata"] = json.loads(row["metadata"])
                if row.get("embedding") is not None:
                    row["embedding"] = [_number(number) for number in row["embedding"]]
                file.write(json.dumps(row) + "\n")


def _write_csv(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    columns = [name for name in schema.names if name not in NO_CSV_COLUMNS]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for table in tables:
            for row in table.select(columns).to_pylist():
                writer.writerow([_cell(name, value) for name, value in row.items()])


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


WRITERS: dict[str, Callable[[Path, Any, Iterator[Any]], None]] = {
    ".parquet": _write_parquet,
    ".jsonl": _write_json_lines,
    ".csv": _write_csv,
    ".lance": _write_lance,
}
