"""Cosines → probabilities: one pure function a rule, and a table of them.

A cosine is never called a probability: it becomes one here, by the rule that the model's family
was trained with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unseen.models.model import Score
from unseen.types import Array, Doubles, Floats, Indices


def softmax(logits: Array) -> Floats:
    """Over the last axis, which then sums to 1; computed in the precision of the logits."""
    return np.asarray(_softmax(logits), dtype=np.float32)


def softmax64(logits: Array) -> Doubles:
    """`softmax`, computed and returned in double precision."""
    return _softmax(np.asarray(logits, dtype=np.float64))


def _softmax(logits: Array) -> Array:
    # In place, as memory takes as long as the arithmetic. At most 1: none overflows.
    exponentials = np.asarray(logits - logits.max(-1, keepdims=True))
    np.exp(exponentials, out=exponentials)
    exponentials /= exponentials.sum(-1, keepdims=True)
    return exponentials


def shifted(logits: Array) -> tuple[Array, Array]:
    """(…, k) → the logits less their largest, and the log of the sum of their exponentials (…, 1).

    The log of the softmax is the first less the second. Nothing overflows, as no exponent is
    above 0.
    """
    below = logits - logits.max(-1, keepdims=True)
    return below, np.log(np.exp(below).sum(-1, keepdims=True))


def log_sum_exp(logits: Array) -> Array:
    """Over the last axis, without overflow: (…, k) → (…,)."""
    return np.asarray(shifted(logits)[1][..., 0] + logits.max(-1))


def sigmoid(logits: Floats) -> Floats:
    """Each logit by itself, in the form that overflows on neither side."""
    exponentials = np.exp(-np.abs(logits))
    numerators = np.where(logits >= 0, 1.0, exponentials)
    return np.asarray(numerators / (1.0 + exponentials), dtype=np.float32)


# How a family was trained: CLIP sets the labels against one another (Radford et al. 2021), SigLIP
# decides for each pair whether it belongs together (Zhai et al. 2023, arXiv:2303.15343).
RULES: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "sigmoid": sigmoid}


def cosines(images: Floats, texts: Floats) -> Floats:
    """(n, d) and (k, d), rows of length 1 → (n, k)."""
    return np.asarray(images @ texts.T, dtype=np.float32)


def logits(cosine: Floats, score: Score) -> Floats:
    """`logits_per_image` of the model: scale · cosine + bias."""
    return np.asarray(cosine * np.float32(score.scale) + np.float32(score.bias), dtype=np.float32)


def single_label(cosine: Floats, score: Score) -> Floats:
    """(n, k) cosines → (n, k) probabilities by the family's own rule."""
    return RULES[score.rule](logits(cosine, score))


def multi_label_logits(cosine: Floats, neutral: Floats, score: Score) -> Floats:
    """(n, k) cosines → (n, k) logits of a yes or no of each label: what a calibration is learnt on.

    A sigmoid family was trained for that. For a softmax family each label competes with neutral
    prompts alone: `neutral` (n, m) are their cosines, and the logit is scale · (cosine - their
    mean). Calibrations of 0.1.0 are of these numbers; without one, `yes_no_logits` follows.
    """
    if score.rule == "sigmoid":
        return logits(cosine, score)
    baseline = neutral.mean(-1, keepdims=True)
    return np.asarray((cosine - baseline) * np.float32(score.scale), dtype=np.float32)


def yes_no_logits(logits: Floats, score: Score, competitors: int) -> Floats:
    """Those of `multi_label_logits` → logits whose sigmoid is a probability, without calibration.

    `competitors`: how many neutral or background prompts there are. A softmax family goes by its
    own rule: the softmax of the label and m competitors, each with their mean logit, is
    sigmoid(logit - log m). A sigmoid family's logits are that already.
    """
    if score.rule == "sigmoid":
        return logits
    return np.asarray(logits - np.float32(np.log(competitors)), dtype=np.float32)


def best(scores: Floats, passes: NDArray[np.bool_], count: int) -> Indices:
    """The places of the `count` largest scores of each row that pass: (n, a) → (n, count), best
    first, of equal ones the earlier. Behind those that pass stand others.

    Scores become whole numbers of the same order, with the place below them: no two are equal, so
    that a partition, which keeps no order, has one result. For the best of 1,000 labels that takes
    a twentieth of the time of sorting them all.
    """
    places = scores.shape[1]
    if count == 1:
        allowed = np.where(passes, scores, np.float32(-np.inf))
        return np.asarray(allowed.argmax(1)[:, None], dtype=np.int64)
    bits = np.ascontiguousarray(scores + np.float32(0), dtype=np.float32).view(np.uint32)
    negative = bits >> np.uint32(31) != 0
    ordered = np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys = (~ordered << np.uint64(32)) | np.arange(places, dtype=np.uint64)  # the best is least
    keys = np.where(passes, keys, keys | np.uint64(0xFFFFFFFF << 32))
    if count < places:
        keys = np.partition(keys, count - 1, axis=1)[:, :count]
    keys = np.sort(keys, axis=1)
    return np.asarray(keys & np.uint64(0xFFFFFFFF), dtype=np.int64)
