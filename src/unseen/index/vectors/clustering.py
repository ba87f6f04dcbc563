"""Pictures of a matrix that belong together: near-duplicates, and clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.index.vectors.matrix import Matrix
from unseen.index.vectors.search import products
from unseen.types import Floats

Indices = NDArray[np.int64]

LEADERS = 256  # rows that are compared with all others at once
SAMPLE = 20_000  # rows that centres are computed from; all others are only assigned
AUTO_SAMPLE = 4_000
AUTO_K = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
ROUNDS = 30
STARTS = 5  # each from other seeds; the best is kept, as the end depends on the beginning


def duplicates(
    matrix: Matrix,
    order: Indices,
    threshold: float,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Indices]:
    """Groups of rows, each near its first: the cosine to that one is at least `threshold`.

    `order`: the indices of the rows, best first: the first of a group is the best. A row is in one
    group at most, and every member is near the first itself, not only near another member, so that
    a group does not drift. Cost: n²/2 products, in blocks. `progress`: rows done, of how many.
    """
    vectors = matrix.vectors[order]  # a copy in memory: 2 bytes a number
    ordered = Matrix(matrix.ids[order], vectors)
    free = np.ones(len(order), dtype=bool)
    groups = []
    for start in range(0, len(order), LEADERS):
        leaders = np.asarray(vectors[start : start + LEADERS], dtype=np.float32)
        rest = Matrix(ordered.ids[start:], vectors[start:])
        similar = np.concatenate([block >= threshold for block in products(rest, leaders)])
        for column in range(len(leaders)):
            leader = start + column
            if not free[leader]:
                continue
            members = start + np.flatnonzero(similar[:, column])
            members = members[free[members] & (members > leader)]
            if len(members):
                free[members] = False
                groups.append(order[np.concatenate([[leader], members])])
        if progress is not None:
            progress(start + len(leaders), len(order))
    return groups


def clusters(matrix: Matrix, k: int | None = None, *, seed: int = 0) -> tuple[Indices, Floats]:
    """Spherical k-means (Dhillon & Modha 2001) → the cluster of each row (n,), centres (k, d).

    Clusters come by size, the largest first. `k` None: the one of `AUTO_K` whose clusters are the
    best apart, by the silhouette to the centres. Deterministic for a seed.
    """
    rng = np.random.default_rng(seed)
    count = len(matrix)
    sampled = np.sort(rng.permutation(count)[:SAMPLE])
    sample = np.asarray(matrix.vectors[sampled], dtype=np.float32)
    if k is None:
        k = _best_k(sample[:AUTO_SAMPLE], rng)
    centres = _kmeans(sample, min(k, count), rng)
    nearest = np.concatenate([block.argmax(1) for block in products(matrix, centres)])
    sizes = np.bincount(nearest, minlength=len(centres))
    by_size = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    rank = np.zeros(len(centres), dtype=np.int64)
    rank[by_size] = np.arange(len(by_size))
    return rank[nearest], centres[by_size]


def names(centres: Floats, words: Sequence[str], texts: Floats, count: int = 3) -> list[list[str]]:
    """The words that fit each centre (k, d) best, of texts (w, d), against the other centres.

    A word that is near every centre says nothing about one of them: what counts is how much nearer
    it is to this centre than to the mean of all.
    """
    cosines = centres @ texts.T
    apart = cosines - cosines.mean(0)
    return [[words[i] for i in np.argsort(-row, kind="stable")[:count]] for row in apart]


def _best_k(sample: Floats, rng: np.random.Generator) -> int:
    """The number of clusters whose members are nearest to their own centre, against the next."""
    candidates = [k for k in AUTO_K if 3 * k <= len(sample)] or [1]
    scores = []
    for k in candidates:
        distances = 1 - sample @ _kmeans(sample, k, rng).T
        if k == 1:
            scores.append(0.0)
            continue
        nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
        # The silhouette to the centres (Rousseeuw 1987): how much farther the next centre is.
        scores.append(float(((second - nearest) / np.maximum(second, 1e-6)).mean()))
    return candidates[int(np.argmax(scores))]


def _kmeans(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    starts = [_kmeans_once(rows, k, rng) for _ in range(STARTS)]
    return max(starts, key=lambda centres: float((rows @ centres.T).max(1).sum()))


def _kmeans_once(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    centres = _seeds(rows, k, rng)
    nearest = np.full(len(rows), -1)
    for _ in range(ROUNDS):
        now = (rows @ centres.T).argmax(1)
        if (now == nearest).all():
            break
        nearest = now
        for index in range(k):
            members = rows[nearest == index]
            if len(members):
                centres[index] = _unit(members.sum(0))
    return centres


def _seeds(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    """k-means++ (Arthur & Vassilvitskii 2007): far from those that there are already."""
    centres = np.empty((k, rows.shape[1]), dtype=np.float32)
    centres[0] = rows[rng.integers(len(rows))]
    distance = 1 - rows @ centres[0]
    for index in range(1, k):
        weights = np.maximum(distance, 0).astype(np.float64) + 1e-12
        centres[index] = rows[rng.choice(len(rows), p=weights / weights.sum())]
        distance = np.minimum(distance, 1 - rows @ centres[index])
    return centres


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
