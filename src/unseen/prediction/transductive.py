"""Embeddings of a whole collection → probabilities that use what its pictures share, no labels.

Zero-shot asks each picture by itself which text is nearest. Where a collection differs from what
the model was trained on (a blur, a tint, a scanner), all its pictures are moved alike, and the
texts are not; but pictures of one thing still lie together. So the zero-shot answers are taken as
a first guess, each class learns where its pictures lie, and both count in the next guess.

The idea, and the sum of a Gaussian mixture and a penalty for leaving the texts' answer, are those
of TransCLIP (Zanella, Gérin & Ben Ayed 2024, arXiv:2406.01837). Without its graph, the gradient of
its objective is zero at z ∝ softmax(text logits) · p(picture | class), as here. What differs,
because classes that no picture belongs to brought that method down (docs/transductive.md):

- A class's mean is not a point but known as well as its pictures make it known. Within a class a
  coordinate is normal with variance w around a mean that is itself normal with variance b around
  the collection's (the two-covariance model of PLDA: Ioffe 2006; Prince & Elder 2007). An empty
  class then is a broad one, not a wrong one, and a class of one picture stands between.
- A picture has no say in the mean that it is compared with, so that it cannot confirm itself.
- w and b are those of the analysis of variance, one pair a principal axis of the collection.
- There is no graph of neighbours: in trials it helped as often as it harmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unseen.models.model import Score
from unseen.prediction.score import cosines, logits, softmax
from unseen.types import Doubles, Floats, Indices, Progress

# Fewer different pictures than this say too little of classes: they keep their zero-shot answers.
MIN_PICTURES = 20

# Passes over the collection. Four reach most of what eight do; the last ones change few answers.
PASSES = 8

# The weight of the log likelihood beside the texts' logits, once there are many pictures a class:
# coordinates of a picture are not independent, as the likelihood has it, so it is too sure. 1
# gained a little more where zero-shot was bad, and lost more where it was good.
LIKELIHOOD_WEIGHT = 0.5

# Pictures' worth of belief that there are no classes to be seen (w is all the variance there is,
# and b nothing): so many, and so many more a label, as each label has a mean to be estimated.
PRIOR_PICTURES, PRIOR_PICTURES_PER_LABEL = 5.0, 0.25

# Principal axes with less of the variance than this, as a part of the first one's, are left out:
# with fewer pictures than dimensions they are rounding. So are axes whose variance between classes
# is less than MIN_BETWEEN times that within them: they can say nothing and cost time.
MIN_VARIANCE = 1e-4
MIN_BETWEEN = 1e-3

# A picture is taken out of the mean of a class when it makes up more of it than this. At most
# 1 / MIN_SHARE pictures of a class do, so the exact answer costs nothing; below, the difference is
# lost in the rounding of the rest.
MIN_SHARE = 0.01

# Numbers in one working array: 16 MB each, and there are about eight of them.
BLOCK = 1 << 22


def transduce(
    images: Floats, texts: Floats, score: Score, *, progress: Progress | None = None
) -> Floats:
    """Probabilities of the labels of a whole collection, each picture with the help of the others.

    The source of the formulas is at the head of this file. Where the rule of `score` is sigmoid,
    the logits of the texts go through a softmax all the same: one label a picture is meant, and
    sigmoids do not compete. Pictures with the same embedding count once and get the same row. With
    fewer than `MIN_PICTURES` different ones it is the softmax alone.

    Deterministic; the order of pictures or labels changes rounding only. Costs
    PASSES · 8 · n · k · r operations (r ≤ min(n, d) principal axes) and 2 · n · d² + d³ once;
    memory for the answer, one (n, r) array and blocks of fixed size.

    Parameters
    ----------
    images : float32 array (n, d)
        The embeddings of the collection, rows of length 1.
    texts : float32 array (k, d)
        The vectors of the labels, rows of length 1.
    score : Score
        How the model makes logits of cosines.
    progress : callable, optional
        Called with how many pictures are done, and of how many, over all passes.

    Returns
    -------
    float32 array (n, k)
        Probabilities; each row sums to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if images.ndim != 2 or texts.ndim != 2 or images.shape[1] != texts.shape[1]:
        raise ValueError(f"shapes {images.shape} and {texts.shape} are not (n, d) and (k, d)")
    first_indices, inverse = _unique(images)
    rows = images if len(first_indices) == len(images) else images[first_indices]
    probabilities = _transduce_unique(rows, texts, score, progress)
    return probabilities if rows is images else probabilities[inverse]


def _transduce_unique(
    rows: Floats, texts: Floats, score: Score, progress: Progress | None
) -> Floats:
    """`transduce` for pictures that all differ."""
    n, k = len(rows), len(texts)
    probabilities = np.empty((n, k), dtype=np.float32)
    for block in _blocks(n, k):
        probabilities[block] = softmax(logits(cosines(rows[block], texts), score))
    if n < MIN_PICTURES or k < 2:
        return probabilities
    axes, variance = principal_axes(rows, min_variance=MIN_VARIANCE)
    weight = np.float32(LIKELIHOOD_WEIGHT * n / (n + k))  # few pictures a label are worth less
    statistics = _Statistics.zeros(k, axes.shape[1])
    for block in _blocks(n, k + axes.shape[1]):
        statistics.add(probabilities[block], axes[block])
    for done in range(PASSES):
        classes = _Classes.of(statistics, variance, n)
        statistics = _Statistics.zeros(k, axes.shape[1])
        for block in _blocks(n, k + axes.shape[1]):
            # z ∝ softmax(text logits + weight · log p(picture | class)), a fixed point of
            # TransCLIP's objective without its graph.
            log_posterior = logits(cosines(rows[block], texts), score)
            log_posterior += weight * classes.likelihood(axes[block], probabilities[block])
            probabilities[block] = softmax(log_posterior)
            statistics.add(probabilities[block], axes[block])
            if progress is not None:
                progress(done * n + min(block.stop, n), PASSES * n)
    return probabilities


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Runs of rows, each with at most BLOCK numbers (and at least one row)."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, n, step))


def _unique(rows: Floats) -> tuple[Indices, Indices]:
    """The index of the first of each different row, and which of these each row is.

    As `numpy.unique` gives them, but in the order of the rows, and without a sorted copy.
    """
    by_hash: dict[int, list[tuple[int, int]]] = {}  # index and number; hashes may collide
    first_indices: list[int] = []
    inverse = np.empty(len(rows), dtype=np.int64)
    for i, row in enumerate(rows):
        candidates = by_hash.setdefault(hash(row.tobytes()), [])
        for index, number in candidates:
            if np.array_equal(rows[index], row):
                inverse[i] = number
                break
        else:
            candidates.append((i, len(first_indices)))
            inverse[i] = len(first_indices)
            first_indices.append(i)
    return np.array(first_indices, dtype=np.int64), inverse


def principal_axes(
    rows: Floats, count: int | None = None, *, min_variance: float | None = None
) -> tuple[Floats, Doubles]:
    """Coordinates on the principal axes of a collection, in blocks of bounded memory.

    Parameters
    ----------
    rows : float32 array (n, d)
        The collection.
    count : int, optional
        The largest number of axes; by default d.
    min_variance : float, optional
        Leave out axes whose variance is not above this part of the first one's; by default none.

    Returns
    -------
    coordinates : float32 array (n, r)
        The rows less their mean, on the first r axes.
    variance : float64 array (r,)
        Along each axis, the largest first.
    """
    n, d = rows.shape
    mean = rows.mean(0, dtype=np.float64)
    # The eigenvectors of the covariance: (d, d), where an SVD of the rows would be (n, d).
    products = np.zeros((d, d))
    for block in _blocks(n, d):
        centred = rows[block] - mean
        products += centred.T @ centred
    variance, directions = np.linalg.eigh(products / max(n - 1, 1))
    indices = np.arange(d)[::-1][:count]
    if min_variance is not None:
        threshold = max(variance[-1] * min_variance, np.finfo(np.float32).tiny)
        indices = indices[variance[indices] > threshold]
    coordinates = np.empty((n, len(indices)), dtype=np.float32)
    for block in _blocks(n, d):
        coordinates[block] = (rows[block] - mean) @ directions[:, indices]
    return coordinates, variance[indices]


@dataclass
class _Statistics:
    """What the mixture is fitted to: each picture belongs to each class with its probability."""

    count: Doubles  # (k,) pictures
    squared: Doubles  # (k,) the sum of the squares of their probabilities
    total: Doubles  # (k, r) the sum of their coordinates

    @classmethod
    def zeros(cls, k: int, r: int) -> _Statistics:
        return cls(np.zeros(k), np.zeros(k), np.zeros((k, r)))

    def add(self, probabilities: Floats, axes: Floats) -> None:
        self.count += probabilities.sum(0, dtype=np.float64)
        self.squared += np.einsum("ik,ik->k", probabilities, probabilities, dtype=np.float64)
        self.total += probabilities.T @ axes


@dataclass(frozen=True)
class _Classes:
    """The mixture. `axes` are those of the principal axes along which classes differ."""

    axes: Indices
    within: Floats  # (r,)
    between: Floats  # (r,)
    count: Floats  # (k,)
    total: Floats  # (k, r)

    @classmethod
    def of(cls, statistics: _Statistics, variance: Doubles, n: int) -> _Classes:
        """Analysis of variance: w from the residuals, over the degrees of freedom left to them.

        A class takes as many of these as its pictures lean on themselves, Σ z² / Σ z, which is 1
        for a class whose pictures are sure.
        """
        count = np.maximum(statistics.count, np.finfo(np.float32).tiny)
        # Σ (x - mean of its class)² = Σ x² - Σ (sum of the class)² / its count: x has mean 0.
        residuals = variance * (n - 1) - (statistics.total**2 / count[:, None]).sum(0)
        freedom = n - (statistics.squared / count).sum()
        # So many more pictures whose variance within classes is all there is (a conjugate prior).
        prior = PRIOR_PICTURES + PRIOR_PICTURES_PER_LABEL * len(count)
        within = (np.maximum(residuals, 0) + prior * variance) / (max(freedom, 0) + prior)
        within = np.minimum(within, variance)
        between = variance - within
        axes = np.flatnonzero(between > MIN_BETWEEN * within)
        arrays = (within[axes], between[axes], count, statistics.total[:, axes])
        return cls(axes, *(array.astype(np.float32) for array in arrays))

    def likelihood(self, axes: Floats, probabilities: Floats) -> Floats:
        """(m, all axes) and these pictures' present probabilities (m, k) → log p(picture | class).

        (m, k), up to a constant. Of N other pictures with the sum s, the class's mean is normal
        around s·b / (w + N·b) with the variance b·w / (w + N·b); the picture adds w to that.
        """
        x = axes[:, self.axes]
        mean, spread = self._predictive(self.count[:, None], self.total)
        precision = 1 / spread
        # Σ (x - mean)² / spread, multiplied out: two matrix products, and no (m, k, r) array.
        log = (x * x) @ precision.T
        log -= 2 * (x @ (mean * precision).T)
        log += (mean * mean * precision + np.log(spread)).sum(1)
        # Pictures that are a large part of a class: the class without them.
        pictures, classes = np.nonzero(probabilities > MIN_SHARE * self.count)
        for block in _blocks(len(pictures), max(1, len(self.axes))):
            i, c = pictures[block], classes[block]
            share = probabilities[i, c][:, None]
            count = np.maximum(self.count[c][:, None] - share, 0)
            mean, spread = self._predictive(count, self.total[c] - share * x[i])
            log[i, c] = ((x[i] - mean) ** 2 / spread + np.log(spread)).sum(1)
        return np.asarray(-0.5 * log, dtype=np.float32)

    def _predictive(self, count: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of a further picture of classes of so many pictures with this sum."""
        # The posterior predictive of a normal mean with a normal prior (Ioffe 2006, PLDA).
        total_variance = self.within + count * self.between
        mean = total * self.between / total_variance
        spread = self.within + self.between * self.within / total_variance
        return np.asarray(mean, np.float32), np.asarray(spread, np.float32)
