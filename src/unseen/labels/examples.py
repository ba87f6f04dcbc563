"""Words and example pictures of one label: rows of texts, moved towards the pictures.

The row of a label with examples becomes text + w · (p - (1 + b) · mean of all p), p the mean of its
examples: what all pictures share, which no text has, drops out. (The prototypes of Snell et al.
2017, arXiv:1703.05175, beside the text; `learning.few_shot` has them among other methods.)

Labels without examples would lose: of several moved rows one is always near. All pictures being
somewhat alike, b takes about as much from every moved row. So w and b are chosen together, on
examples left out in turn, and on labels whose examples are left out, which then are such labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.types import Doubles, Floats

LabelIds = NDArray[np.int64]

# From which w and b are chosen; measured by benchmarks/examples.py.
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.75, 1.0)
MARGINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6)  # where some labels have no examples
USUAL = 0.1  # the weight where all labels have examples, and too few to choose
LEAST = 8  # examples that are left out in turn, each with another of its label


@dataclass(frozen=True, eq=False)
class Fused:
    """Rows of texts and examples. `chosen`: whether the weight was chosen by leaving out."""

    rows: Floats
    weight: float
    chosen: bool


def fuse(texts: Floats, images: Floats, label_ids: LabelIds, scale: float) -> Fused:
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
    shown = len(np.unique(label_ids))
    choice = None if shown < 2 else chosen(texts, images, label_ids, scale)
    if choice is not None:
        return Fused(moved(texts, images, label_ids, *choice), choice[0], True)
    weight = USUAL if shown == len(texts) else 0.0
    return Fused(moved(texts, images, label_ids, weight), weight, False)


def moved(
    texts: Floats, images: Floats, label_ids: LabelIds, weight: float, margin: float = 0.0
) -> Floats:
    """The rows with this weight of the examples."""
    rows: Floats = texts.copy()
    if weight:
        shown, means = _means(images, label_ids)
        rows[shown] += np.float32(weight) * (means - np.float32(1 + margin) * means.mean(0))
    return rows


def _means(images: Floats, label_ids: LabelIds) -> tuple[LabelIds, Floats]:
    """The labels with examples, and the mean of each."""
    shown, places, counts = np.unique(label_ids, return_inverse=True, return_counts=True)
    sums = np.zeros((len(shown), images.shape[1]), dtype=np.float32)
    np.add.at(sums, places, images)
    return shown, np.asarray(sums / counts[:, None], dtype=np.float32)


def chosen(
    texts: Floats, images: Floats, label_ids: LabelIds, scale: float
) -> tuple[float, float] | None:
    """The weight and the margin with the least log loss, where that is clearly less than the texts'
    own, else (0, 0); None where there are too few examples to say.

    The loss of a label that has examples is that of each, left out in turn; of one that has none,
    that of pictures whose label's examples are all left out, where no harm is allowed. Clearly: by
    more than one standard error of the difference; by two where some labels have no examples, of
    means over labels where whole labels are left out, whose pictures are alike.
    """
    counts = np.bincount(label_ids, minlength=len(texts))
    tested = np.flatnonzero(counts[label_ids] > 1)
    if len(tested) < LEAST or len(set(label_ids[tested])) < 2:
        return None
    without = float((counts == 0).mean())
    bare = np.arange(len(label_ids)) if without and (counts > 0).sum() > 2 else tested[:0]
    if without and not len(bare):
        return 0.0, 0.0
    one_out = _Products.of(texts, images, label_ids, tested)
    label_out = _Products.of(texts, images, label_ids, bare)
    grid = [(w, b) for w in WEIGHTS for b in (MARGINS if without else MARGINS[:1])]
    gains = []
    for choice in grid:
        gain, error = _gain(one_out.losses(*choice, scale), one_out.losses(0.0, 0.0, scale))
        if without:
            bare_gain, bare_error = _gain(
                label_out.of_labels(label_out.losses_without_label(*choice, scale)),
                label_out.of_labels(label_out.losses(0.0, 0.0, scale)),
            )
            error = float(np.hypot((1 - without) * error, without * bare_error))
            gain = (1 - without) * gain + without * bare_gain if bare_gain >= 0 else -np.inf
        gains.append((gain, error))
    best = int(np.argmax([gain for gain, _ in gains]))
    gain, error = gains[best]
    return grid[best] if gain > (2 if without else 1) * error else (0.0, 0.0)


def _gain(losses: Doubles, before: Doubles) -> tuple[float, float]:
    """By how much the mean loss is less, and the standard error of that."""
    less = before - losses
    return float(less.mean()), float(less.std(ddof=1) / np.sqrt(len(less)))


@dataclass(frozen=True, eq=False)
class _Products:
    """Products of tested examples with texts and with the means of labels."""

    to_texts: Floats  # (m, k)
    to_means: Floats  # (m, labels with examples)
    to_own: Floats  # (m,) the mean of the other examples of its label
    shown: LabelIds  # the labels with examples
    label_ids: LabelIds  # (m,)
    place: LabelIds  # (m,) of the label among `shown`

    @classmethod
    def of(cls, texts: Floats, images: Floats, label_ids: LabelIds, tested: LabelIds) -> _Products:
        shown, means = _means(images, label_ids)
        x, own = images[tested], label_ids[tested]
        place = np.searchsorted(shown, own)
        to_means = x @ means.T
        n = np.bincount(label_ids)[own]
        to_own = (n * to_means[np.arange(len(x)), place] - np.einsum("nd,nd->n", x, x)) / (
            np.maximum(n - 1, 1)
        )
        return cls(x @ texts.T, to_means, to_own, shown, own, place)

    def losses(self, weight: float, margin: float, scale: float) -> Doubles:
        """The log loss of each example by rows that were made without it."""
        means = self.to_means.copy()
        means[np.arange(len(means)), self.place] = self.to_own
        similar = self.to_texts.astype(np.float64)
        similar[:, self.shown] += weight * (means - (1 + margin) * means.mean(1, keepdims=True))
        return _log_loss(scale * similar, self.label_ids)

    def losses_without_label(self, weight: float, margin: float, scale: float) -> Doubles:
        """That by rows that were made without any example of its label."""
        each, others = np.arange(len(self.to_means)), self.to_means.shape[1] - 1
        own = self.to_means[each, self.place]
        mean = (self.to_means.sum(1) - own) / others
        change = weight * (self.to_means - (1 + margin) * mean[:, None])
        change[each, self.place] = 0.0
        similar = self.to_texts.astype(np.float64)
        similar[:, self.shown] += change
        return _log_loss(scale * similar, self.label_ids)

    def of_labels(self, losses: Doubles) -> Doubles:
        """The mean of each label."""
        return np.bincount(self.place, losses) / np.bincount(self.place)


def _log_loss(logits: Doubles, label_ids: LabelIds) -> Doubles:
    logits = logits - logits.max(1, keepdims=True)
    own = logits[np.arange(len(logits)), label_ids]
    return np.asarray(np.log(np.exp(logits).sum(1)) - own, dtype=np.float64)
