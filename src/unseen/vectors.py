"""Embeddings and their names in one file, for other programs: .npy, .safetensors, .parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from unseen.cache import write_atomically
from unseen.errors import MissingExtraError, SourceError

Embeddings = NDArray[np.float32]
Facts = Mapping[str, str]


def save_vectors(path: Path, names: Sequence[str], embeddings: Embeddings, facts: Facts) -> None:
    """Write (n, d) float32 rows and their n names; the suffix of `path` says how.

    .npy holds the rows, and NAME.json beside it the names and facts; .safetensors holds the rows
    as "embeddings" and the rest as metadata; .parquet a row a picture, the facts as its schema's
    metadata. A file is whole or not there. SourceError for another suffix.
    """
    check_suffix(path)
    WRITERS[path.suffix.lower()](path, names, embeddings, facts)


def check_suffix(path: Path) -> None:
    """SourceError for a suffix that `save_vectors` does not know, or MissingExtraError."""
    if path.suffix.lower() not in WRITERS:
        raise SourceError(f"{path}: vectors are written as {', '.join(WRITERS)}.")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: PLC0415, F401 - an extra
        except ImportError:
            raise MissingExtraError("Parquet output", "pyarrow", "parquet") from None


def _npy(path: Path, names: Sequence[str], embeddings: Embeddings, facts: Facts) -> None:
    buffer = io.BytesIO()
    np.save(buffer, embeddings)
    beside = json.dumps({"names": list(names), **facts}, ensure_ascii=False, indent=1)
    write_atomically(path.with_suffix(".json"), beside.encode())
    write_atomically(path, buffer.getvalue())


def _safetensors(path: Path, names: Sequence[str], embeddings: Embeddings, facts: Facts) -> None:
    metadata = {"names": json.dumps(list(names), ensure_ascii=False), **facts}
    write_atomically(path, save({"embeddings": np.ascontiguousarray(embeddings)}, metadata))


def _parquet(path: Path, names: Sequence[str], embeddings: Embeddings, facts: Facts) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    flat = pa.array(embeddings.reshape(-1), pa.float32())
    rows = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    table = pa.table({"name": pa.array(list(names), pa.string()), "embedding": rows})
    table = table.replace_schema_metadata(dict(facts))
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())


WRITERS: dict[str, Callable[[Path, Sequence[str], Embeddings, Facts], None]] = {
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
