"""Vectors in clusters that are known, as an index holds them."""

from __future__ import annotations

import numpy as np

from unseen.index.vectors.matrix import Matrix


def matrix_of(rows: np.ndarray) -> Matrix:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Matrix(np.arange(len(rows)), unit.astype(np.float16))


def blobs(k: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, 32))
    truth = np.repeat(np.arange(k), each)
    return centres[truth] + spread * rng.normal(size=(len(truth), 32)), truth
