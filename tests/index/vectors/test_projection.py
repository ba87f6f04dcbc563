"""The collection in the plane."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from blobs import blobs, matrix_of
from unseen.index.vectors import projection


def test_what_is_alike_lies_together() -> None:
    rows, truth = blobs(5, 30, 0.3)
    matrix = matrix_of(rows)
    plane = projection.project(matrix)
    assert plane.method == "t-SNE" and plane.positions.shape == (150, 2)
    vectors = matrix.vectors.astype(np.float32)
    assert trustworthiness(vectors, plane.positions, n_neighbors=5) > 0.9
    middles = np.stack([plane.positions[truth == k].mean(0) for k in range(5)])
    nearest = ((plane.positions[:, None] - middles) ** 2).sum(-1).argmin(1)
    assert (nearest == truth).mean() > 0.95
    np.testing.assert_array_equal(plane.positions, projection.project(matrix).positions)


def test_without_scikit_learn_it_is_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    rows, _ = blobs(3, 20, 0.3)
    matrix = matrix_of(rows)
    plane = projection.project(matrix)
    assert plane.method == "PCA"
    judge = PCA(2, svd_solver="full").fit_transform(matrix.vectors.astype(np.float64))
    np.testing.assert_allclose(np.abs(plane.positions), np.abs(judge), atol=1e-3)  # signs are free


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pictures(count: int) -> None:
    plane = projection.project(matrix_of(np.random.default_rng(0).normal(size=(count, 32))))
    assert (
        plane.positions.shape == (count, 2)
        and plane.method == "PCA"
        and np.isfinite(plane.positions).all()
    )
