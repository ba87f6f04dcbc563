"""Nearest rows of a matrix, exactly: every row is compared, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unseen.index.vectors.matrix import Matrix
from unseen.runtimes import graph, onnx
from unseen.system import cache
from unseen.types import Floats


def products(matrix: Matrix, queries: Floats) -> Iterator[Floats]:
    """Cosines of all rows to queries (q, d), rows of length 1 → blocks of (rows, q), in order."""
    yield from _half_products()(matrix.vectors, np.ascontiguousarray(queries.T, dtype=np.float32))


@lru_cache(maxsize=1)
def _half_products() -> onnx.HalfProducts:
    folder = cache.build_folder(f"half-products-opset{graph.OPSET}", onnx.write_half_products)
    return onnx.HalfProducts(folder / onnx.HALF_PRODUCTS)


def nearest(matrix: Matrix, query: Floats, top: int) -> tuple[NDArray[np.int64], Floats]:
    """The `top` rows nearest to a query (d,) → their indices and cosines, best first.

    Of equal cosines the earlier row comes first. Memory: one block, whatever the matrix is.
    """
    indices: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    cosines: Floats = np.zeros(0, dtype=np.float32)
    start = 0
    for block in products(matrix, query[None]):
        column = block[:, 0]
        if len(cosines) == top:  # only what beats the last of the best
            better = np.flatnonzero(column > cosines[-1])
        else:
            better = np.arange(len(column))
        indices = np.concatenate([indices, start + better])
        cosines = np.concatenate([cosines, column[better]])
        order = np.lexsort((indices, -cosines))[:top]
        indices, cosines = indices[order], cosines[order]
        start += len(block)
    return indices, cosines
