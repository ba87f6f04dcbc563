"""Tables with a picture a row: CSV and JSON lines of paths or addresses, Parquet and Arrow.

A row that cannot be used is one item with an error; a table that breaks off ends with one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.containers.rows import ROW, picture_column, row_source
from unseen.sources.item import Source, Unreadable, name_of, shortened

MAX_CELL = 64 * 1024 * 1024  # characters: a picture in base64
MAX_COLUMNS = 1_000
MAX_VALUES = 500_000  # of a line of JSON
BATCH_ROWS = 64  # of Parquet: pictures in memory
MAX_RATIO, SMALL_BYTES = 200, 32 * 1024 * 1024  # of Parquet, as of archives: pictures hardly shrink
TAB_SUFFIXES = (".tsv", ".tab")


def read_csv(path: str | Path) -> Iterator[Source]:
    """The pictures that a CSV or TSV file with a header names, in its order.

    Parameters
    ----------
    path : str or Path
        UTF-8. Relative paths begin at its folder.
    """
    name = name_of(path, 0)
    with _lines(path) as (lines, problem):
        if lines is None:
            yield _failed(name, problem)
            return
        table = _csv_reader(lines, path)
        try:
            columns = _csv_columns(table, name)
            column = picture_column(columns, name)
            for number, row in enumerate(table, 1):
                cells = dict(zip(columns, row, strict=False))
                yield row_source(cells, column, number, name, Path(path).parent)
        except SourceError as error:
            yield _failed(name, str(error).removeprefix(f"{name}: "))
        except (csv.Error, UnicodeDecodeError, OSError) as error:
            yield _failed(name, f"it cannot be read beyond line {table.line_num}: {error}")


def csv_fields(path: str | Path) -> tuple[str, ...]:
    """The keys of the metadata of a CSV file; none where it cannot be read."""
    name = name_of(path, 0)
    with _lines(path) as (lines, _):
        if lines is None:
            return ()
        try:
            columns = _csv_columns(_csv_reader(lines, path), name)
            column = picture_column(columns, name)
        except (SourceError, csv.Error, UnicodeDecodeError, OSError):
            return ()
    return (ROW, *(one for one in columns if one != column))


def _csv_reader(lines: IO[str], path: str | Path) -> Any:
    csv.field_size_limit(MAX_CELL)
    delimiter = "\t" if Path(path).suffix.lower() in TAB_SUFFIXES else ","
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _csv_columns(table: Any, name: str) -> list[str]:
    columns = [cell.strip() for cell in next(table, [])]
    if not columns or len(columns) > MAX_COLUMNS or len({*columns}) != len(columns):
        raise SourceError(
            f"{name}: its first line must name the columns, each once, and at most {MAX_COLUMNS}."
        )
    return columns


def read_json_lines(path: str | Path) -> Iterator[Source]:
    """The pictures that a file of JSON objects, one a line, names, in its order.

    Parameters
    ----------
    path : str or Path
        UTF-8. Relative paths begin at its folder.
    """
    name = name_of(path, 0)
    with _lines(path) as (lines, problem):
        if lines is None:
            yield _failed(name, problem)
            return
        number, column = 0, None
        try:
            while line := lines.readline(MAX_CELL):
                if not line.strip():
                    continue
                number += 1
                row = _json_row(line)
                if row is None:
                    yield _failed(f"{name}#row={number}", "this line is not a JSON object.")
                    continue
                column = column or picture_column(row, name)
                yield row_source(row, column, number, name, Path(path).parent)
        except SourceError as error:
            yield _failed(name, str(error).removeprefix(f"{name}: "))
        except (UnicodeDecodeError, OSError) as error:
            yield _failed(name, f"it cannot be read beyond row {number}: {error}")


def _json_row(line: str) -> dict[str, Any] | None:
    if sum(map(line.count, "[{,")) > MAX_VALUES:  # each would be an object: a gigabyte of a line
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and len(row) <= MAX_COLUMNS else None


@contextmanager
def _lines(path: str | Path) -> Iterator[tuple[IO[str] | None, str]]:
    """The file as text, or None and why it cannot be opened."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open(encoding="utf-8-sig", newline=""))
        except OSError as error:
            yield None, f"it cannot be read: {error.strerror or error}."
            return
        yield file, ""


def read_parquet(path: str | Path) -> Iterator[Source]:
    """The pictures of a Parquet file, a batch of rows at a time.

    Parameters
    ----------
    path : str or Path
        One column holds encoded images, ``{"bytes", "path"}`` as Hugging Face writes them, paths
        or addresses. Relative paths begin at the folder of the file.

    Raises
    ------
    MissingExtraError
        Without pyarrow.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Reading Parquet", "pyarrow", "parquet") from None

    def batches() -> Iterator[Any]:
        file = parquet.ParquetFile(path)
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        if unpacked > max(SMALL_BYTES, MAX_RATIO * Path(path).stat().st_size):
            reason = f"it would grow to more than {MAX_RATIO} times its size."
            raise SourceError(f"{name_of(path, 0)}: {reason}")
        yield from file.iter_batches(batch_size=BATCH_ROWS)

    yield from _arrow_rows(path, batches)


def read_arrow(path: str | Path) -> Iterator[Source]:
    """The pictures of an Arrow or Feather file, as `datasets` keeps them; otherwise as Parquet.

    Parameters
    ----------
    path : str or Path
        In the file format of Arrow IPC, or in that of its streams.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Reading Arrow", "pyarrow", "parquet") from None

    def batches() -> Iterator[Any]:
        with pa.memory_map(str(path)) as source:
            try:
                file = pa.ipc.open_file(source)
                whole = (file.get_batch(i) for i in range(file.num_record_batches))
            except pa.ArrowInvalid:
                whole = pa.ipc.open_stream(source)
            for batch in whole:
                for start in range(0, len(batch), BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)

    yield from _arrow_rows(path, batches)


def parquet_fields(path: str | Path) -> tuple[str, ...]:
    """The keys of the metadata of a Parquet file; none where it cannot be read."""
    try:
        from pyarrow import ArrowException, parquet, types  # noqa: PLC0415 - an extra
    except ImportError:
        return ()
    try:
        schema = parquet.read_schema(path)
        column = picture_column(schema.names, name_of(path, 0))
    except (ArrowException, OSError, SourceError):
        return ()
    plain = [
        field.name
        for field in schema
        if types.is_string(field.type)
        or types.is_large_string(field.type)
        or types.is_boolean(field.type)
        or types.is_integer(field.type)
        or types.is_floating(field.type)
    ]
    return (ROW, *(name for name in plain if name != column))


def _arrow_rows(path: str | Path, batches: Any) -> Iterator[Source]:
    import pyarrow as pa  # noqa: PLC0415 - the caller has it

    name, number, column = name_of(path, 0), 0, ""
    try:
        for batch in batches():
            batch.validate(full=True)  # what a file says of lengths may lead out of its memory
            column = column or picture_column(batch.schema.names, name)
            for row in batch.to_pylist():
                number += 1
                yield row_source(row, column, number, name, Path(path).parent)
    except SourceError as error:
        yield _failed(name, str(error).removeprefix(f"{name}: "))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        yield _failed(name, f"it cannot be read beyond row {number}: {shortened(reason)}")


def _failed(name: str, reason: str) -> Source:
    return Source(name, Unreadable(SourceError(f"{name}: {reason}")))
