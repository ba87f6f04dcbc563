"""The methods of an adapter, which learn from a few pictures of each label.

Each adds something to the row t of a label's text, from its examples x:

- prototypes: w · (p - mean of all p), p the mean of the label's examples (Snell et al. 2017,
  arXiv:1703.05175), beside the text. Not of length 1: the product with p is then the mean of the
  cosines to the examples, and a label does not win by having fewer or more of them.
- cache: Tip-Adapter, training-free (Zhang et al. 2022, arXiv:2207.09519; `Cache` has the formula).
  There the sum is over a label's examples, here the mean, so that a label with more of them does
  not win by that; with as many of each, alpha is so many times the paper's.
- probe: logistic regression that starts from the texts and pays for leaving them,
  mean loss + λ/2 · Σ |row - t|² (the idea of L2-SP, Li, Grandvalet & Davoine 2018,
  arXiv:1802.01483; Huang et al. 2024, arXiv:2404.02285, on how far a probe that blends in the texts
  goes).
- gda: Gaussian discriminant analysis with one covariance, beside the text (Wang et al. 2024,
  arXiv:2402.04087; `discriminant` has the formula). Only where every label has pictures: its rows
  follow directions in which pictures of one label differ little, and pictures of other things may
  lie anywhere in these.

What is added sums to zero over the labels, as adding one vector to all rows changes no answer among
them; so they stand level with other labels, of which there are texts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.labels.example_cache import Cache
from unseen.learning.temperature import best_factor
from unseen.prediction.score import softmax
from unseen.types import Doubles, Floats

LabelIds = NDArray[np.int64]
Settings = dict[str, float]

STEPS = 100  # of the probe
SMALL = 1e-4  # of a step, against the first, that ends it
# Multiplications up to which OpenBLAS works in one thread (4 · 65,536: its interface/gemm.c). The
# many small products of a probe are cut into such blocks: threads that wait for one another make
# them several times slower on a busy processor. Above the second number threads are worth it.
ONE_THREAD, MANY_THREADS = 1 << 18, 1 << 25
ALMOST_NOTHING = 1e-7  # keeps a matrix of products positive, where pictures are the same
LEAST = 1e-12  # of a sum of squares that something is divided by


@dataclass(frozen=True)
class Examples:
    """Pictures whose labels are known, and the rows that these labels start from.

    Every label has a picture.
    """

    images: Floats  # (n, d)
    label_ids: LabelIds  # (n,) the index of each one's label
    texts: Floats  # (k, d)
    scale: float  # of the model's logits

    @property
    def count(self) -> NDArray[np.int64]:
        """(k,): the examples of each label."""
        return np.bincount(self.label_ids, minlength=len(self.texts))

    @cached_property
    def weight(self) -> Floats:
        """(n, 1): of each in a mean in which each label counts alike."""
        weight = (1 / (len(self.texts) * self.count))[self.label_ids][:, None]
        return weight.astype(np.float32)

    @cached_property
    def curvature(self) -> float:
        """At most this much has the weighted loss of logistic regression."""
        return _largest_square(self.images * np.sqrt(self.weight)) / 2

    @cached_property
    def zero_shot_scale(self) -> float:
        """The scale of the model, or a smaller one where zero-shot is too sure of the examples."""
        logits = np.asarray(self.scale * product(self.images, self.texts.T), dtype=np.float32)
        return self.scale * min(1.0, best_factor(logits, self.label_ids)[0])

    @cached_property
    def discriminant(self) -> tuple[Doubles, Doubles, Doubles]:
        """Rows (k, d) and biases (k,) of labels that are as likely, and the means (k, d).

        Of n examples with the covariance S within labels, P = ((n - 1) S / tr S + I)^-1, which is,
        but for a factor, the estimate of Kubokawa & Srivastava (2008). The row of a label is P m
        and its bias -½ mᵀ P m, m the mean of its examples.
        """
        x = self.images.astype(np.float64)
        means = np.zeros((len(self.texts), x.shape[1]))
        np.add.at(means, self.label_ids, x)
        means /= self.count[:, None]
        residuals = x - means[self.label_ids]
        squares = max(float((residuals**2).sum()), LEAST)  # n · tr S
        precision = residuals.T @ residuals * ((len(x) - 1) / squares) + np.eye(x.shape[1])
        rows = np.linalg.solve(precision, means.T).T
        return rows, -0.5 * (rows * means).sum(1), means

    def of(self, chosen: NDArray[np.bool_]) -> Examples:
        """The examples that a mask (n,) chooses, with all texts."""
        return replace(self, images=self.images[chosen], label_ids=self.label_ids[chosen])

    def in_their_span(self) -> Examples:
        """The same in as many dimensions as there are examples, where these are fewer.

        Products of examples with one another and with texts stay what they are. By Cholesky's
        factor of the examples' products; an SVD would do, and wait for threads of BLAS.
        """
        n, d = self.images.shape
        if n >= d:
            return self
        x = self.images.astype(np.float64)
        factor = np.linalg.cholesky(x @ x.T + ALMOST_NOTHING * np.eye(n))
        texts = np.linalg.solve(factor, x @ self.texts.T).T
        return replace(self, images=factor.astype(np.float32), texts=texts.astype(np.float32))


@dataclass(frozen=True)
class Fitted:
    """Rows of all labels, and perhaps a cache."""

    rows: Floats
    cache: Cache | None = None

    def similarities(self, images: Floats) -> Floats:
        """(n, d) → (n, k), on the scale of the model's cosines."""
        similar = product(images, self.rows.T)
        if self.cache is not None:
            similar = similar + self.cache.logits(
                product(images, self.cache.support.T), len(self.rows)
            )
        return np.asarray(similar, dtype=np.float32)


# methods


def prototypes(examples: Examples, *, w: float) -> Fitted:
    """The text's row, and the mean of the examples against that of all labels."""
    means = np.zeros_like(examples.texts)
    np.add.at(means, examples.label_ids, examples.images)
    means /= examples.count[:, None].astype(np.float32)
    return Fitted(examples.texts + np.float32(w) * (means - means.mean(0)))


def cache(examples: Examples, *, alpha: float, beta: float) -> Fitted:
    """The texts, and every example by itself."""
    order = np.argsort(examples.label_ids, kind="stable")
    label_ids = examples.label_ids[order].astype(np.int32)
    return Fitted(examples.texts, Cache(examples.images[order], label_ids, alpha, beta))


def probe(
    examples: Examples, *, penalty: float, start: Floats | None = None, steps: int = STEPS
) -> Fitted:
    """Logistic regression towards the texts. `penalty`: λ / scale². Each label counts alike.

    By Nesterov's method for a strongly convex function (Introductory Lectures, 2.2.1). `start`:
    rows to begin with.
    """
    k = len(examples.texts)
    target = np.eye(k, dtype=np.float32)[examples.label_ids]
    x = examples.images
    back = np.ascontiguousarray(x.T)
    scale = np.float32(examples.zero_shot_scale)
    zero_shot = scale * product(x, examples.texts.T)
    # The loss in v = scale · (rows - texts) has this curvature at most, the penalty this.
    step, momentum = _pace(examples.curvature + penalty, penalty)
    moved: NDArray[Any] = np.zeros((x.shape[1], k), dtype=np.float32)
    if start is not None:
        moved = np.asarray(scale * (start - examples.texts).T, dtype=np.float32)
    ahead = moved
    first = 0.0
    for _ in range(steps):
        error = examples.weight * (softmax(zero_shot + product(x, ahead)) - target)
        slope = product(back, error) + np.float32(penalty) * ahead
        new = ahead - step * slope
        ahead, moved = new + momentum * (new - moved), new
        size = float(np.abs(slope).max())
        first = first or size
        if size <= SMALL * first:
            break
    return Fitted(examples.texts + moved.T / scale)


def gda(examples: Examples, *, w: float) -> Fitted:
    """The text's row, and that of the discriminant, as long together as those of prototypes are.

    A bias needs no place of its own: pictures lie in a cone, so that their product with u = P m /
    mᵀ P m, m the mean of all, is about 1.
    """
    rows, bias, means = examples.discriminant
    centre, direction = means.mean(0), rows.mean(0)
    level = direction / max(float(direction @ centre), LEAST)
    added = rows - direction
    length = np.linalg.norm(means - centre) / max(float(np.linalg.norm(added)), LEAST)
    added += np.outer(bias - bias.mean(), level)
    return Fitted((examples.texts + w * length * added).astype(np.float32))


def product(a: Floats, b: Floats) -> Floats:
    """a @ b of float32, in blocks for which BLAS starts no threads."""
    (rows, inner), columns = a.shape, b.shape[1]
    block = max(1, ONE_THREAD // max(inner * columns, 1))
    if rows <= block or rows * inner * columns > MANY_THREADS:
        return np.asarray(a @ b, dtype=np.float32)
    out: Floats = np.empty((rows, columns), dtype=np.float32)
    for i in range(0, rows, block):
        np.matmul(a[i : i + block], b, out=out[i : i + block])
    return out


def _largest_square(x: NDArray[Any]) -> float:
    """An upper estimate of the largest singular value, squared, by the power method.

    Pictures lie in a cone, so that it is near from the start; the rest is a margin.
    """
    v = x.sum(0)
    square = 0.0
    for _ in range(20):
        # einsum, as BLAS would start threads for products with one vector, too.
        along = np.einsum("nd,d->n", x, v / max(float(np.linalg.norm(v)), 1e-30))
        v = np.einsum("nd,n->d", x, along)
        square = float(np.linalg.norm(v))
    return 1.1 * square


def _pace(largest: float, smallest: float) -> tuple[np.float32, np.float32]:
    root = float(np.sqrt(smallest / largest))
    return np.float32(1 / largest), np.float32((1 - root) / (1 + root))


PRIOR: tuple[str, Settings] = ("prototypes", {"w": 1 / 3})  # what is taken where nothing speaks

GDA = "gda"
FEWEST_OF_GDA = 4  # pictures of every label; chosen by benchmarks/adapt_candidates.py --fewest

METHODS: dict[str, tuple[Callable[..., Fitted], tuple[Settings, ...]]] = {
    "prototypes": (prototypes, tuple({"w": w} for w in (0.1, 1 / 3, 1.0, 3.0, 10.0))),
    "cache": (
        cache,
        tuple(
            {"alpha": alpha, "beta": beta}
            for alpha in (0.1, 0.3, 1.0, 3.0, 10.0)
            for beta in (1.0, 3.0, 10.0, 30.0)
        ),
    ),
    # The strongest penalty first: each begins where the one before it came to.
    "probe": (probe, tuple({"penalty": p} for p in (1e-2, 1e-3, 1e-4, 1e-5))),
    GDA: (gda, tuple({"w": w} for w in (1 / 3, 1.0, 3.0, 10.0, 30.0))),
}


def methods_for(examples: Examples, every_label: bool) -> tuple[str, ...]:
    """The names of those that may be tried. `every_label`: none is without pictures."""
    enough = every_label and examples.count.min() >= FEWEST_OF_GDA
    return tuple(name for name in METHODS if name != GDA or enough)


def candidates(
    examples: Examples, methods: Sequence[str]
) -> Iterator[tuple[str, Settings, Fitted]]:
    """Each of these methods with each of its settings, fitted."""
    for name in methods:
        fit, grid = METHODS[name]
        fitted = None
        for settings in grid:
            more: dict[str, Any] = {}
            if fit is probe and fitted is not None:
                more = {"start": fitted.rows}
            fitted = fit(examples, **settings, **more)
            yield name, settings, fitted
