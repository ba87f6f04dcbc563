"""Embeddings of a whole collection → probabilities that use what its pictures share, no labels.

Zero-shot asks each picture by itself which text is nearest. Where a collection differs from what
the model was trained on (a blur, a tint, a scanner), all its pictures are moved alike, and the
texts are not; but pictures of one thing still lie together. So the zero-shot answers are taken as
a first guess, each class learns where its pictures lie, and both have a say in the next guess.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Progress
from unseen.models.model import Score
from unseen.prediction.score import cosines, logits, softmax

Rows = NDArray[np.float32]
Sums = NDArray[np.float64]

# Fewer different pictures than this say too little of classes: they keep their zero-shot answers.
FEWEST = 20

# Passes over the collection. Four reach most of what eight do; the last ones change few answers.
PASSES = 8

# What the collection's say counts for against the texts', once there are many pictures a class:
# coordinates of a picture are not independent, as the likelihood has it, so it is too sure. 1
# gained a little more where zero-shot was bad, and lost more where it was good.
TRUST = 0.5

# Pictures' worth of belief that there are no classes to be seen (w is all the variance there is,
# and b nothing): so many, and so many more a label, as each label has a mean to be estimated.
DOUBT, DOUBT_A_LABEL = 5.0, 0.25

# Principal axes with less of the variance than this, as a part of the first one's, are left out:
# with fewer pictures than dimensions they are rounding. So are axes along which classes differ
# less, against w, than NO_DIFFERENCE, as they can say nothing and cost time.
FLAT = 1e-4
NO_DIFFERENCE = 1e-3

# A picture is taken out of the mean of a class when it makes up more of it than this. At most
# 1 / OWN_PART pictures of a class do, so the exact answer costs nothing; below, the difference is
# lost in the rounding of the rest.
OWN_PART = 0.01

# Numbers in one working array: 16 MB each, and there are about eight of them.
BLOCK = 1 << 22


def transduce(images: Rows, texts: Rows, score: Score, *, progress: Progress | None = None) -> Rows:
    """(n, d) pictures and (k, d) texts, float32 rows of length 1 → (n, k) float32, rows sum to 1.

    The source of the formulas is at the head of this file. Where the rule of `score` is sigmoid,
    the texts' say is the softmax of the same logits: one label a picture is meant, and sigmoids do
    not compete. Pictures with the same embedding count once and get the same row. With fewer than
    `FEWEST` different ones it is the softmax alone.

    Deterministic; the order of pictures or labels changes rounding only. `progress` is called with
    how many pictures are done, and of how many, over all passes.

    Costs PASSES · 8 · n · k · r operations (r ≤ min(n, d) principal axes) and 2 · n · d² + d³ once;
    memory for the answer, one (n, r) array and blocks of fixed size. Raises ValueError for shapes
    that do not fit.
    """
    if images.ndim != 2 or texts.ndim != 2 or images.shape[1] != texts.shape[1]:
        raise ValueError(f"shapes {images.shape} and {texts.shape} are not (n, d) and (k, d)")
    first, back = _distinct(images)
    rows = images if len(first) == len(images) else images[first]
    answer = _answer(rows, texts, score, progress)
    return answer if rows is images else answer[back]


def _answer(rows: Rows, texts: Rows, score: Score, progress: Progress | None) -> Rows:
    """The same for pictures that all differ."""
    n, k = len(rows), len(texts)
    answer = np.empty((n, k), dtype=np.float32)
    for part in _blocks(n, k):
        answer[part] = softmax(logits(cosines(rows[part], texts), score))
    if n < FEWEST or k < 2:
        return answer
    axes, variance = principal_axes(rows, flat=FLAT)
    trust = np.float32(TRUST * n / (n + k))  # few pictures a label are worth less
    seen = _Seen.none(k, axes.shape[1])
    for part in _blocks(n, k + axes.shape[1]):
        seen.add(answer[part], axes[part])
    for done in range(PASSES):
        classes = _Classes.of(seen, variance, n)
        seen = _Seen.none(k, axes.shape[1])
        for part in _blocks(n, k + axes.shape[1]):
            say = logits(cosines(rows[part], texts), score)
            say += trust * classes.likelihood(axes[part], answer[part])
            answer[part] = softmax(say)
            seen.add(answer[part], axes[part])
            if progress is not None:
                progress(done * n + min(part.stop, n), PASSES * n)
    return answer


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Runs of rows, each with at most BLOCK numbers (and at least one row)."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, n, step))


def _distinct(rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each different row is first, and which of these each row is."""
    found: dict[int, list[tuple[int, int]]] = {}  # by hash, then by the bytes themselves
    first: list[int] = []
    back = np.empty(len(rows), dtype=np.intp)
    for i, row in enumerate(rows):
        alike = found.setdefault(hash(row.tobytes()), [])
        for other, number in alike:
            if np.array_equal(rows[other], row):
                back[i] = number
                break
        else:
            alike.append((i, len(first)))
            back[i] = len(first)
            first.append(i)
    return np.array(first, dtype=np.intp), back


def principal_axes(
    rows: Rows, count: int | None = None, *, flat: float | None = None
) -> tuple[Rows, Sums]:
    """Coordinates on the principal axes of a collection, in blocks of bounded memory.

    Parameters
    ----------
    rows : float32 array (n, d)
        The collection.
    count : int, optional
        The most axes that are wanted; by default d.
    flat : float, optional
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
    products = np.zeros((d, d))
    for part in _blocks(n, d):
        centred = rows[part] - mean
        products += centred.T @ centred
    variance, directions = np.linalg.eigh(products / max(n - 1, 1))
    indices = np.arange(d)[::-1][:count]
    if flat is not None:
        least = max(variance[-1] * flat, np.finfo(np.float32).tiny)
        indices = indices[variance[indices] > least]
    coordinates = np.empty((n, len(indices)), dtype=np.float32)
    for part in _blocks(n, d):
        coordinates[part] = (rows[part] - mean) @ directions[:, indices]
    return coordinates, variance[indices]


@dataclass
class _Seen:
    """What is known of the classes when every picture belongs to each with its probability."""

    count: Sums  # (k,) pictures
    squared: Sums  # (k,) the sum of the squares of their probabilities
    total: Sums  # (k, r) the sum of their coordinates

    @classmethod
    def none(cls, k: int, r: int) -> _Seen:
        return cls(np.zeros(k), np.zeros(k), np.zeros((k, r)))

    def add(self, answer: Rows, axes: Rows) -> None:
        self.count += answer.sum(0, dtype=np.float64)
        self.squared += np.einsum("ik,ik->k", answer, answer, dtype=np.float64)
        self.total += answer.T @ axes


@dataclass(frozen=True)
class _Classes:
    """The mixture. `axes` are those of the principal axes along which classes differ."""

    axes: NDArray[np.intp]
    within: Rows  # (r,)
    between: Rows  # (r,)
    count: Rows  # (k,)
    total: Rows  # (k, r)

    @classmethod
    def of(cls, seen: _Seen, variance: Sums, n: int) -> _Classes:
        """Analysis of variance: w from the residuals, over the degrees of freedom left to them.

        A class takes as many of these as its pictures lean on themselves, Σ z² / Σ z, which is 1
        for a class whose pictures are sure.
        """
        count = np.maximum(seen.count, np.finfo(np.float32).tiny)
        residuals = variance * (n - 1) - (seen.total**2 / count[:, None]).sum(0)
        freedom = n - (seen.squared / count).sum()
        doubt = DOUBT + DOUBT_A_LABEL * len(count)
        within = (np.maximum(residuals, 0) + doubt * variance) / (max(freedom, 0) + doubt)
        within = np.minimum(within, variance)
        between = variance - within
        axes = np.flatnonzero(between > NO_DIFFERENCE * within)
        kept: list[Any] = [within[axes], between[axes], count, seen.total[:, axes]]
        return cls(axes, *(part.astype(np.float32) for part in kept))

    def likelihood(self, axes: Rows, answer: Rows) -> Rows:
        """(m, all axes) and these pictures' present answer (m, k) → log p(picture | class), (m, k).

        Up to a constant. Of N other pictures with the sum s, the class's mean is normal around
        s·b / (w + N·b) with the variance b·w / (w + N·b); the picture adds w to that.
        """
        x = axes[:, self.axes]
        mean, spread = self._predicted(self.count[:, None], self.total)
        precision = 1 / spread
        log = (x * x) @ precision.T
        log -= 2 * (x @ (mean * precision).T)
        log += (mean * mean * precision + np.log(spread)).sum(1)
        own = np.nonzero(answer > OWN_PART * self.count)
        for pair in _blocks(len(own[0]), max(1, len(self.axes))):
            i, c = own[0][pair], own[1][pair]
            part = answer[i, c][:, None]
            others = np.maximum(self.count[c][:, None] - part, 0)
            mean, spread = self._predicted(others, self.total[c] - part * x[i])
            log[i, c] = ((x[i] - mean) ** 2 / spread + np.log(spread)).sum(1)
        return np.asarray(-0.5 * log, dtype=np.float32)

    def _predicted(self, count: Rows, total: Rows) -> tuple[Rows, Rows]:
        """Mean and variance of a further picture of classes with so many, and with this sum."""
        known = self.within + count * self.between
        mean = total * self.between / known
        spread = self.within + self.between * self.within / known
        return np.asarray(mean, np.float32), np.asarray(spread, np.float32)
