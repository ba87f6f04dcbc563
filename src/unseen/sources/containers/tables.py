"""Tables with a picture a row: CSV and JSON lines of paths or addresses, Parquet and Arrow.

A row that cannot be used is one item with an error; a table that breaks off ends with one.
"""

from __future__ import annotations

import atexit
import bisect
import csv
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.containers.arrow_messages import unpacked_bytes
from unseen.sources.containers.container_file import (
    container_file,
    container_size,
    container_version,
    is_elsewhere,
    open_container,
)
from unseen.sources.containers.cursor import Cursor
from unseen.sources.containers.rows import ROW, picture_column, row_source
from unseen.sources.item import Source, Unreadable, name_of, shortened

MAX_CELL = 64 * 1024 * 1024  # characters: a picture in base64
MAX_COLUMNS = 1_000
MAX_VALUES = 500_000  # of a line of JSON
BATCH_ROWS = 8  # of Parquet and Arrow: pictures in memory
BATCH_BYTES = 256 * 1024 * 1024  # of Parquet, where each row is as large as its group is stored
ARROW_MAGIC, ARROW_START = b"ARROW1", 8  # of its file format, and where the first message begins
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
                yield row_source(cells, column, number, name, _folder(path))
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
                yield row_source(row, column, number, name, _folder(path))
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
            file = stack.enter_context(container_file(path))
        except OSError as error:
            yield None, f"it cannot be read: {error.strerror or error}."
            return
        yield stack.enter_context(io.TextIOWrapper(file, encoding="utf-8-sig", newline="")), ""


def _folder(path: str | Path) -> Path | str:
    """What the relative paths of a table begin at."""
    return str(path).rpartition("/")[0] if is_elsewhere(path) else Path(path).parent


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
        with container_file(path) as file:
            table = _bounded(parquet.ParquetFile(file), path)
            yield from table.iter_batches(batch_size=_rows_at_once(table))

    yield from _arrow_rows(path, batches)


def _bounded(table: Any, path: str | Path) -> Any:
    """A Parquet file that does not grow beyond all measure. Raises SourceError."""
    facts = table.metadata
    unpacked = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
    if unpacked > max(SMALL_BYTES, MAX_RATIO * container_size(path)):
        raise SourceError(_too_large(path))
    return table


def _rows_at_once(table: Any) -> int:
    """A value that many rows share is stored once, and each row of a batch has its own."""
    facts = table.metadata
    sizes: list[int] = [facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)]
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max([1, *sizes])))


def _too_large(path: str | Path) -> str:
    return f"{name_of(path, 0)}: it would grow to more than {MAX_RATIO} times its size."


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
        with _arrow_file(pa, path) as source:
            # The file format is the stream with a frame around it; the places that its end names
            # are not used, so that what is looked at before is what is read.
            start = ARROW_START if source.read(len(ARROW_MAGIC)) == ARROW_MAGIC else 0
            most = max(SMALL_BYTES, MAX_RATIO * container_size(path))
            source.seek(start)
            if any(grown > most for grown in unpacked_bytes(pa, source)):
                raise SourceError(_too_large(path))
            source.seek(start)
            for batch in pa.ipc.open_stream(source):
                for start in range(0, len(batch), BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)

    yield from _arrow_rows(path, batches)


def _arrow_file(pa: Any, path: str | Path) -> Any:
    """What is on this machine is not copied to be read."""
    if is_elsewhere(path):
        return pa.PythonFile(open_container(path), mode="r")
    return pa.memory_map(str(path))


def row_picture(path: str | Path, number: str) -> Any:
    """The content of the picture in one row of a table.

    Rows that follow one another are cheap; of a Parquet file any row costs no more than the group
    of rows that it lies in.

    Parameters
    ----------
    path : str or Path
        The table.
    number : str
        Of the row, from 1.

    Raises
    ------
    SourceError
        If there is no such row.
    """
    name = f"{name_of(path, 0)}#{ROW}={number}"
    try:
        item = _cursor(path, container_version(path)).item(number)
    except OSError as error:
        raise SourceError(f"{name}: it cannot be read: {error.strerror or error}.") from None
    if item is None:
        raise SourceError(f"{name}: there is no such row.")
    return item.content


@lru_cache(maxsize=4)
def _cursor(path: str | Path, version: str) -> Cursor:
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        return Cursor(lambda number: _parquet_from(path, int(number)), _row_of, BATCH_ROWS)
    read = {".csv": read_csv, ".tsv": read_csv, ".arrow": read_arrow, ".feather": read_arrow}
    return Cursor(lambda _: read.get(suffix, read_json_lines)(path), _row_of)


atexit.register(_cursor.cache_clear)  # a generator that Python's end meets open complains


def _row_of(item: Source) -> str | None:
    row = item.meta.get(ROW)
    return None if row is None else str(row)


def _parquet_from(path: str | Path, number: int) -> Iterator[Source]:
    """The pictures from the group of rows on that has a row."""
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Reading Parquet", "pyarrow", "parquet") from None
    with container_file(path) as file:
        table = _bounded(parquet.ParquetFile(file), path)
        facts = table.metadata
        ends = [*accumulate(facts.row_group(i).num_rows for i in range(facts.num_row_groups))]
        first = bisect.bisect_left(ends, number)
        groups = range(first, len(ends))
        yield from _arrow_rows(
            path,
            lambda: table.iter_batches(batch_size=_rows_at_once(table), row_groups=[*groups]),
            ends[first - 1] if first else 0,
        )


def parquet_fields(path: str | Path) -> tuple[str, ...]:
    """The keys of the metadata of a Parquet file; none where it cannot be read."""
    try:
        from pyarrow import ArrowException, parquet, types  # noqa: PLC0415 - an extra
    except ImportError:
        return ()
    try:
        with container_file(path) as file:
            schema = parquet.read_schema(file)
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


def _arrow_rows(path: str | Path, batches: Any, before: int = 0) -> Iterator[Source]:
    import pyarrow as pa  # noqa: PLC0415 - the caller has it

    name, number, column = name_of(path, 0), before, ""
    try:
        for batch in batches():
            batch.validate(full=True)  # what a file says of lengths may lead out of its memory
            column = column or picture_column(batch.schema.names, name)
            for row in batch.to_pylist():
                number += 1
                yield row_source(row, column, number, name, _folder(path))
    except SourceError as error:
        yield _failed(name, str(error).removeprefix(f"{name}: "))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        yield _failed(name, f"it cannot be read beyond row {number}: {shortened(reason)}")


def _failed(name: str, reason: str) -> Source:
    return Source(name, Unreadable(SourceError(f"{name}: {reason}")))
