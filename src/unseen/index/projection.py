"""A matrix laid out in the plane: what is alike lies together."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from unseen.index.matrix import Matrix
from unseen.prediction.transductive import principal_axes

AXES = 50  # principal axes that neighbours are looked for in
NEIGHBOURS = 30.0  # t-SNE's perplexity; fewer where there are few pictures

Floats = NDArray[np.float32]


def layout(matrix: Matrix, *, seed: int = 0) -> tuple[Floats, str]:
    """(n, 2) float32, and by which method: "t-SNE" (van der Maaten & Hinton 2008) where
    scikit-learn is installed (the extra `learn`), else "PCA", which is quick and shows less.
    """
    rows = np.asarray(matrix.vectors, dtype=np.float32)
    axes, _ = principal_axes(rows, min(AXES, len(rows), rows.shape[1]))
    if len(rows) < 8 or find_spec("sklearn") is None:
        return np.pad(axes, ((0, 0), (0, 2)))[:, :2], "PCA"
    from sklearn.manifold import TSNE  # noqa: PLC0415 - an extra

    perplexity = min(NEIGHBOURS, (len(rows) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return np.asarray(method.fit_transform(axes), dtype=np.float32), "t-SNE"
