"""Matrices of made-up vectors."""

from __future__ import annotations

import numpy as np

from unseen.index.vectors.matrix import Matrix


def matrix_of(rows: np.ndarray) -> Matrix:
    """The rows, each of length 1, with the ids 0, 1, …"""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Matrix(np.arange(len(rows)), unit.astype(np.float16))


def blobs(k: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`k` groups of `each` rows of 32 numbers around random centres, and the group of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, 32))
    truth = np.repeat(np.arange(k), each)
    return centres[truth] + spread * rng.normal(size=(len(truth), 32)), truth
