"""Words and example pictures of one label: rows of texts, moved towards the pictures.

A row becomes text + w · (p - mean of all p), p the mean of the label's examples: what is added sums
to zero over the labels that have examples, so that these stand level with those that have none, and
so that what all pictures share, which no text has, drops out. (The prototypes of Snell et al. 2017,
arXiv:1703.05175, beside the text; `learning.few_shot` has them among other methods.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.types import Floats

# From which w is chosen, by leaving each example out; found with benchmarks/examples.py.
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.75, 1.0)
USUAL = 0.1  # where there are too few examples to choose
LEAST = 8  # examples that are left out in turn, each with another of its label


@dataclass(frozen=True, eq=False)
class Fused:
    """Rows of texts and examples. `chosen`: whether the weight was chosen by leaving out."""

    rows: Floats
    weight: float
    chosen: bool


def fuse(texts: Floats, images: Floats, label_ids: NDArray[np.int64], scale: float) -> Fused:
    """The rows of labels, with examples of at least two of them.

    Parameters
    ----------
    texts : float32 array (k, d)
        Rows of length 1.
    images : float32 array (n, d)
        The examples, rows of length 1.
    label_ids : int array (n,)
        The label of each.
    scale : float
        Of the model's logits.

    Returns
    -------
    Fused
        With one label alone nothing is known of what the pictures share, and the texts stay.
    """
    if len(np.unique(label_ids)) < 2:
        return Fused(texts, 0.0, False)
    weight = chosen_weight(texts, images, label_ids, scale)
    return Fused(
        moved(texts, images, label_ids, USUAL if weight is None else weight),
        USUAL if weight is None else weight,
        weight is not None,
    )


def moved(texts: Floats, images: Floats, label_ids: NDArray[np.int64], weight: float) -> Floats:
    """The rows with this weight of the examples."""
    shown, means = _means(images, label_ids)
    rows: Floats = texts.copy()
    rows[shown] += np.float32(weight) * (means - means.mean(0))
    return rows


def _means(images: Floats, label_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """The labels with examples, and the mean of each."""
    shown, places, counts = np.unique(label_ids, return_inverse=True, return_counts=True)
    sums = np.zeros((len(shown), images.shape[1]), dtype=np.float32)
    np.add.at(sums, places, images)
    return shown, np.asarray(sums / counts[:, None], dtype=np.float32)


def chosen_weight(
    texts: Floats, images: Floats, label_ids: NDArray[np.int64], scale: float
) -> float | None:
    """The weight with the least mean log loss on examples left out in turn, where that is clearly
    less than the texts' own; None where there are too few examples to say.

    Clearly: by more than one standard error of the difference. A label whose only example is left
    out says nothing, and does not count.
    """
    counts = np.bincount(label_ids, minlength=len(texts))
    tested = np.flatnonzero(counts[label_ids] > 1)
    if len(tested) < LEAST or len(set(label_ids[tested])) < 2:
        return None
    losses = np.stack([_losses(texts, images, label_ids, tested, w, scale) for w in WEIGHTS])
    best = int(losses.mean(1).argmin())
    gain = losses[0] - losses[best]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return WEIGHTS[best] if gain.mean() > error else 0.0


def _losses(
    texts: Floats,
    images: Floats,
    label_ids: NDArray[np.int64],
    tested: NDArray[np.int64],
    weight: float,
    scale: float,
) -> NDArray[np.float64]:
    """The log loss of each tested example by rows that were made without it."""
    shown, means = _means(images, label_ids)
    counts = np.bincount(label_ids, minlength=len(texts))[shown]
    x = images[tested]
    place = np.searchsorted(shown, label_ids[tested])
    each = np.arange(len(tested))
    to_means = x @ means.T
    n = counts[place]
    own = (n * to_means[each, place] - np.einsum("nd,nd->n", x, x)) / (n - 1)
    to_means[each, place] = own
    similar = x @ texts.T
    similar[:, shown] += np.float32(weight) * (to_means - to_means.mean(1, keepdims=True))
    logits = scale * similar.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    own_logits = logits[each, label_ids[tested]]
    return np.asarray(np.log(np.exp(logits).sum(1)) - own_logits, dtype=np.float64)
