"""Nearest rows of a large matrix, nearly always the right ones, without comparing every row.

A graph of neighbours (HNSW, Malkov & Yashunin 2016, arXiv:1603.09320) by usearch, the extra `ann`.
Derived from the matrix, kept beside it, and made again where it does not fit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import MissingExtraError
from unseen.index.vectors.matrix import Matrix
from unseen.runtimes import onnx
from unseen.system.cache import replacing, write_atomically
from unseen.system.locks import locked
from unseen.types import Floats

# How widely the graph is searched; benchmarks/index_scale.py --approximate prints the recall.
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 128, 96
CHUNK = 20_000  # rows that are added at once
SAME = 2e-3  # the distance of a vector to itself, in 16 bits, is less; a cosine is 1 minus it
ROUNDS = 5  # two were enough with sixteen threads

logger = logging.getLogger(__name__)


def nearest(
    matrix: Matrix, folder: Path, model: int, query: Floats, top: int
) -> tuple[NDArray[np.int64], Floats]:
    """As `search.nearest`; MissingExtraError without usearch."""
    graph = _graph(matrix, folder, model)
    matches = graph.search(np.asarray(query, dtype=np.float16), top)
    indices = np.asarray(matches.keys, dtype=np.int64)
    # The cosines are those of exact search: the graph's own have other roundings.
    cosines = np.asarray(matrix.vectors[indices], dtype=np.float32) @ query
    order = np.lexsort((indices, -cosines))
    return indices[order], cosines[order]


def _graph(matrix: Matrix, folder: Path, model: int) -> Any:
    kind = _usearch()
    path, note = folder / f"vectors-{model}.graph", folder / f"vectors-{model}.graph.note"
    with locked(folder / f"vectors-{model}.graph.lock", str(path)):
        facts = {"count": len(matrix), "last": int(matrix.ids[-1]), "first": int(matrix.ids[0])}
        before = _read(note)
        if before == facts and path.is_file():
            return _mapped(str(path), path.stat().st_mtime_ns)
        graph = kind(
            ndim=matrix.vectors.shape[1],
            metric="cos",
            dtype="f16",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )
        start = 0
        if _grew(before, matrix) and path.is_file():
            graph.load(str(path))
            start = before["count"]
        logger.info("%s: adding %s pictures, once", path.name, f"{len(matrix) - start:,}")
        for keys, rows in _chunks(matrix, start):
            graph.add(keys, rows)
        for keys, rows in _chunks(matrix, start):
            _mend(graph, keys, rows)
        note.unlink(missing_ok=True)
        with replacing(path) as temporary:
            graph.save(str(temporary))
        write_atomically(note, json.dumps(facts).encode())
        return graph


def _chunks(matrix: Matrix, start: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """The rows from `start` on, some at a time, with their numbers."""
    for first in range(start, len(matrix), CHUNK):
        rows = np.array(matrix.vectors[first : first + CHUNK])
        yield np.arange(first, first + len(rows)), rows


def _mend(graph: Any, keys: NDArray[np.int64], rows: NDArray[np.float16]) -> None:
    """Adds rows anew that do not find themselves, by one thread.

    Threads that add rows at once do not see one another's: of 6,000 rows in narrow clusters, 2 were
    lost with two threads on two cores, 12 with four, and now and then a cluster to all searches.
    """
    for _ in range(ROUNDS):
        distances = np.asarray(graph.search(rows, 1).distances).reshape(len(rows), -1)[:, 0]
        lost = np.flatnonzero(~(distances < SAME))
        if not len(lost):
            return
        keys, rows = keys[lost], rows[lost]
        graph.remove(keys)
        graph.add(keys, rows, threads=1)


@lru_cache(maxsize=4)
def _mapped(path: str, stamp: int) -> Any:
    """The graph of a file, mapped; once, as it takes a while where there are many pictures."""
    return _usearch().restore(path, view=True)


def _read(note: Path) -> dict[str, int]:
    try:
        facts: dict[str, int] = json.loads(note.read_text("utf-8"))
        return facts
    except (OSError, ValueError):
        return {}


def _grew(before: dict[str, int], matrix: Matrix) -> bool:
    """Whether the matrix is what the graph was made of, with more behind it."""
    count = before.get("count", 0)
    return (
        0 < count <= len(matrix)
        and int(matrix.ids[0]) == before.get("first")
        and int(matrix.ids[count - 1]) == before.get("last")
    )


def _usearch() -> Any:
    # ONNX Runtime first: loaded behind usearch (2.26, on Linux) it ends the process.
    onnx.version()
    try:
        from usearch.index import Index  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Approximate search", library="usearch", extra="ann") from None
    return Index
