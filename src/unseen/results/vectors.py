"""Embeddings and their names in one file, for other programs: .npy, .safetensors, .parquet.

Rows go to the disk as they come, so a file may be larger than memory; only the names are held.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.errors import MissingExtraError, SourceError
from unseen.system.cache import replacing, write_atomically

Row = NDArray[np.float32]
ROW_GROUP = 4096  # rows of Parquet that are held before they are written


class VectorFile(Protocol):
    """Takes one row at a time."""

    def add(self, name: str, row: Row) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def writing_vectors(path: Path, dimension: int, facts: Mapping[str, str]) -> Iterator[VectorFile]:
    """A file of float32 rows of `dimension` and their names; the suffix of `path` says which.

    .npy holds the rows, and NAME.json beside it the names and facts; .safetensors holds the rows
    as "embeddings" and the rest as metadata; .parquet a row a picture, the facts as its schema's
    metadata. What was added is there when the block ends; when it fails, nothing is. SourceError
    for another suffix, or a file that cannot be written.
    """
    check_suffix(path)
    facts = {**facts, "dimension": str(dimension)}
    try:
        with replacing(path) as temporary:
            file = FORMATS[path.suffix.lower()](path, temporary, dimension, facts)
            with closing(file):
                yield file
                file.finish()
    except OSError as error:
        raise SourceError(f"{path}: it cannot be written: {error.strerror or error}.") from None


def check_suffix(path: Path) -> None:
    """SourceError for a suffix that is none of ours, or MissingExtraError."""
    if path.suffix.lower() not in FORMATS:
        raise SourceError(f"{path}: vectors are written as {', '.join(FORMATS)}.")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: PLC0415, F401 - an extra
        except ImportError:
            raise MissingExtraError("Parquet output", "pyarrow", "parquet") from None


def beside(path: Path) -> Path | None:
    """The second file that goes with `path`: the names of an .npy."""
    return path.with_suffix(".json") if path.suffix.lower() == ".npy" else None


class _Rows:
    """Raw rows in an unnamed file, until their number, which the header needs, is known."""

    def __init__(
        self, path: Path, temporary: Path, dimension: int, facts: Mapping[str, str]
    ) -> None:
        self._path, self._temporary = path, temporary
        self._dimension, self._facts = dimension, facts
        self._names: list[str] = []
        self._rows: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - close

    def add(self, name: str, row: Row) -> None:
        self._rows.write(row.astype("<f4").tobytes())
        self._names.append(name)

    def close(self) -> None:
        self._rows.close()

    def _write(self, header: bytes) -> None:
        with self._temporary.open("wb") as file:
            file.write(header)
            self._rows.seek(0)
            shutil.copyfileobj(self._rows, file, 1 << 20)


class _Npy(_Rows):
    def finish(self) -> None:
        shape = (len(self._names), self._dimension)
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        self._write(b"\x93NUMPY\x01\x00\x76\x00" + f"{text:<117}\n".encode("ascii"))
        names = beside(self._path)
        if names is not None:
            content = {"names": self._names, **self._facts}
            text = json.dumps(content, ensure_ascii=False, indent=1)
            write_atomically(names, text.encode("utf-8", "backslashreplace"))


class _Safetensors(_Rows):
    def finish(self) -> None:
        shape = [len(self._names), self._dimension]
        header = {
            "__metadata__": {"names": json.dumps(self._names), **self._facts},
            "embeddings": {
                "dtype": "F32",
                "shape": shape,
                "data_offsets": [0, 4 * shape[0] * shape[1]],
            },
        }
        text = json.dumps(header).encode("ascii")
        text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
        self._write(len(text).to_bytes(8, "little") + text)


class _Parquet:
    def __init__(
        self, path: Path, temporary: Path, dimension: int, facts: Mapping[str, str]
    ) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415

        columns = [("name", pa.string()), ("embedding", pa.list_(pa.float32(), dimension))]
        self._schema: Any = pa.schema(columns, metadata=dict(facts))
        self._writer: Any = parquet.ParquetWriter(temporary, self._schema)
        self._names: list[str] = []
        self._rows: list[Row] = []

    def add(self, name: str, row: Row) -> None:
        self._names.append(name.encode("utf-8", "backslashreplace").decode("utf-8"))
        self._rows.append(row)
        if len(self._rows) >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa  # noqa: PLC0415

        width = self._schema.field("embedding").type.list_size
        numbers = pa.array(np.array(self._rows, dtype=np.float32).reshape(-1), pa.float32())
        rows = pa.FixedSizeListArray.from_arrays(numbers, width)
        names = pa.array(self._names, pa.string())
        self._writer.write_table(pa.table([names, rows], schema=self._schema))
        self._names, self._rows = [], []

    def finish(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()  # writes the end of the file

    def close(self) -> None:
        self._writer.close()


FORMATS: dict[str, Any] = {".npy": _Npy, ".safetensors": _Safetensors, ".parquet": _Parquet}
