"""The methods of an adapter, which learn from a few pictures of each label.

Each adds something to the row t of a label's text, from its examples x:

- prototypes: w · (p - mean of all p), p the mean of the label's examples (Snell et al. 2017,
  arXiv:1703.05175), beside the text.
- cache: Tip-Adapter, training-free (Zhang et al. 2022, arXiv:2207.09519; `Cache` has the formula).
  There the sum is over a label's examples, here the mean, so that a label with more of them does
  not win by that; with as many of each, alpha is so many times the paper's.
- probe: logistic regression that starts from the texts and pays for leaving them,
  mean loss + λ/2 · Σ |row - t|² (the idea of L2-SP, Li, Grandvalet & Davoine 2018,
  arXiv:1802.01483; Huang et al. 2024, arXiv:2404.02285, on how far a probe that blends in the texts
  goes).

What is added sums to zero over the labels, as adding one vector to all rows changes no answer among
them; so they stand level with other labels, of which there are texts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.labels.example_cache import Cache
from unseen.learning.temperature import best_factor
from unseen.prediction.score import softmax
from unseen.types import Floats

LabelIds = NDArray[np.int64]
Settings = dict[str, float]

STEPS = 100  # of the probe
SMALL = 1e-4  # of a step, against the first, that ends it


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

    def of(self, chosen: NDArray[np.bool_]) -> Examples:
        """The examples that a mask (n,) chooses, with all texts."""
        return replace(self, images=self.images[chosen], label_ids=self.label_ids[chosen])


@dataclass(frozen=True)
class Fitted:
    """Rows of all labels, and perhaps a cache."""

    rows: Floats
    cache: Cache | None = None

    def similarities(self, images: Floats) -> Floats:
        """(n, d) → (n, k), on the scale of the model's cosines."""
        similar = images @ self.rows.T
        if self.cache is not None:
            similar = similar + self.cache.logits(images @ self.cache.support.T, len(self.rows))
        return np.asarray(similar, dtype=np.float32)


# methods


def prototypes(examples: Examples, *, w: float) -> Fitted:
    """The text's row, and the mean of the examples against that of all labels."""
    means = np.zeros_like(examples.texts)
    np.add.at(means, examples.label_ids, examples.images)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
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

    By Nesterov's method for a strongly convex function (Introductory Lectures, 2.2.1). Rows move
    only in the space of the examples, which is small: there the work is done. `start`: rows to
    begin with.
    """
    k = len(examples.texts)
    weight = (1 / (k * examples.count))[examples.label_ids][:, None].astype(np.float32)
    target = np.eye(k, dtype=np.float32)[examples.label_ids]
    u, s, axes = np.linalg.svd(examples.images, full_matrices=False)
    x = np.asarray(u * s, dtype=np.float32)  # the examples in the space that they span
    scale = np.float32(examples.scale * min(1.0, _zero_shot_factor(examples)))
    zero_shot = scale * (examples.images @ examples.texts.T)
    # The loss in v = scale · (rows - texts) has this curvature at most, the penalty this.
    curvature = float(np.linalg.norm(x * np.sqrt(weight), 2) ** 2) / 2
    step, momentum = _pace(curvature + penalty, penalty)
    moved: NDArray[Any] = np.zeros((x.shape[1], k), dtype=np.float32)
    if start is not None:
        moved = np.asarray(scale * (axes @ (start - examples.texts).T), dtype=np.float32)
    ahead = moved
    first = 0.0
    for _ in range(steps):
        slope = (
            x.T @ (weight * (softmax(zero_shot + x @ ahead) - target)) + np.float32(penalty) * ahead
        )
        new = ahead - step * slope
        ahead, moved = new + momentum * (new - moved), new
        size = float(np.abs(slope).max())
        first = first or size
        if size <= SMALL * first:
            break
    return Fitted(examples.texts + (moved.T @ axes) / scale)


def _pace(largest: float, smallest: float) -> tuple[np.float32, np.float32]:
    root = float(np.sqrt(smallest / largest))
    return np.float32(1 / largest), np.float32((1 - root) / (1 + root))


def _zero_shot_factor(examples: Examples) -> float:
    logits = examples.scale * (examples.images @ examples.texts.T)
    return best_factor(np.asarray(logits, dtype=np.float32), examples.label_ids)[0]


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
}


def candidates(examples: Examples) -> Iterator[tuple[str, Settings, Fitted]]:
    """Each method with each of its settings, fitted."""
    for name, (fit, grid) in METHODS.items():
        fitted = None
        for settings in grid:
            more: dict[str, Any] = {}
            if fit is probe and fitted is not None:
                more = {"start": fitted.rows}
            fitted = fit(examples, **settings, **more)
            yield name, settings, fitted
