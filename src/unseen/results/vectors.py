"""Embeddings and their names in one file, for other programs: .npy, .safetensors, .parquet.

Rows go to the disk as they come, so a file may be larger than memory; only the names are held.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.errors import MissingExtraError, SourceError
from unseen.results.manifest import manifest, write_ended
from unseen.results.result_file import check_output, writing_alone
from unseen.results.summary import Progress, RunSummary, no_progress
from unseen.sources.expand import left_out
from unseen.system.cache import replacing, write_atomically
from unseen.system.printable import escaped

if TYPE_CHECKING:
    from unseen.classifier import Classifier  # the command line starts without it
    from unseen.types import Sources

Row = NDArray[np.float32]
ROW_GROUP = 4096  # rows of Parquet that are held before they are written


class VectorFile(Protocol):
    """Takes one row at a time."""

    def add(self, name: str, row: Row) -> None:
        """Add the embedding (d,) of one picture."""

    def finish(self) -> None:
        """Write what is left, and put the file in its place."""

    def close(self) -> None:
        """Release the file; one that is not finished is removed."""


def embed(
    classifier: Classifier,
    sources: Sources,
    output: str | Path,
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RunSummary:
    """Write the embedding of each picture to a file, and the manifest beside it.

    A picture that cannot be read is left out, and stands in ``failures`` of the summary. When
    interrupted (KeyboardInterrupt) the file holds what is done.

    Parameters
    ----------
    classifier : Classifier
        Its model encodes the pictures.
    sources : str, Path, or iterable of sources
        A folder, a glob, or many pictures.
    output : str or Path
        A .npy file (the names lie beside it in a .json file), .safetensors or .parquet: float32
        rows of length 1.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.
    overwrite : bool
        Replace a file that exists.
    progress : callable
        Called when the run begins and after each picture.

    Returns
    -------
    RunSummary
        How many pictures were done, and which failed.

    Raises
    ------
    SourceError
        If a folder has no pictures; or the file exists, cannot be written, or has another
        suffix.
    MissingExtraError
        For Parquet, if pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import unseen
    >>> path = Path(tempfile.mkdtemp(), "vectors.npy")
    >>> unseen.embed(unseen.load(), ["examples/cat.jpg"], path).pictures
    1
    >>> np.load(path).dtype
    dtype('float32')
    """
    path, model = Path(output), classifier.model
    check_output_files(path, overwrite=overwrite)
    facts = {"model": model.name, "fingerprint": model.fingerprint}
    if model.revision:
        facts["revision"] = model.revision
    made = manifest(model, None, classifier.encoder.options.facts())
    stream = classifier.encoder.stream_images(sources, batch_size=batch_size)
    summary = RunSummary(path, left_out=left_out(sources))
    started = time.perf_counter()
    interrupt = None
    progress(summary)
    with writing_alone(path), writing_vectors(path, model.dimension, facts) as file:
        try:
            for encoded in stream:
                error = None if encoded.error is None else str(encoded.error)
                if encoded.embedding is not None:
                    file.add(encoded.name, encoded.embedding)
                summary.count(encoded.name, error)
                progress(summary)
        except KeyboardInterrupt as stopped:
            interrupt = stopped
    summary.seconds = time.perf_counter() - started
    summary.complete = interrupt is None
    made["summary"] = summary.to_dict()
    write_ended(
        path, made, summary.pictures, summary.errors, complete=summary.complete, hidden=False
    )
    if interrupt is not None:
        raise interrupt
    return summary


def check_output_files(path: Path, *, overwrite: bool) -> None:
    """SourceError or MissingExtraError, before any work, for a file that cannot be written."""
    check_suffix(path)
    for file in filter(None, (path, beside(path))):
        check_output(file, overwrite=overwrite)


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
        self._names.append(escaped(name))
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
