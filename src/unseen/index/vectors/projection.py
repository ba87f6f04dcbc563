"""The vectors of a matrix projected onto the plane: similar pictures lie together."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from unseen.index.vectors.matrix import Matrix
from unseen.prediction.transductive import principal_axes
from unseen.types import Floats

AXES = 50  # principal axes in which neighbours are computed
NEIGHBOURS = 30.0  # t-SNE's perplexity; fewer where there are few pictures


@dataclass(frozen=True, eq=False)
class Projection:
    """A position in the plane for each picture of a matrix.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64
        Ids of the pictures, those of `Hit.id`.
    positions : ndarray of shape (n, 2), float32
        Positions, in no unit: only distances between them mean something.
    method : str
        "t-SNE" or "PCA".
    """

    ids: NDArray[np.int64]
    positions: Floats
    method: str


def project(matrix: Matrix, *, seed: int = 0) -> Projection:
    """Project the vectors of a matrix onto the plane.

    By t-SNE (van der Maaten & Hinton 2008) where scikit-learn is installed (the extra `learn`),
    else by PCA, which is quick and shows less.

    Parameters
    ----------
    matrix : Matrix
        The vectors, n rows.
    seed : int
        Seed of t-SNE; the same seed gives the same positions.

    Returns
    -------
    Projection
        The positions, in the order of the matrix.
    """
    rows = np.asarray(matrix.vectors, dtype=np.float32)
    axes, _ = principal_axes(rows, min(AXES, len(rows), rows.shape[1]))
    if len(rows) < 8 or find_spec("sklearn") is None:
        return Projection(matrix.ids, np.pad(axes, ((0, 0), (0, 2)))[:, :2], "PCA")
    from sklearn.manifold import TSNE  # noqa: PLC0415 - an extra

    # The authors' own code refuses a perplexity of more than (n - 1) / 3.
    perplexity = min(NEIGHBOURS, (len(rows) - 1) / 3)
    estimator = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    positions = np.asarray(estimator.fit_transform(axes), dtype=np.float32)
    return Projection(matrix.ids, positions, "t-SNE")
