"""The scale, and for sigmoids the bias, with which logits say how often they are right.

Aimed a little short of certainty, so that a few pictures do not make every answer sure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.learning.optimise import golden_section
from unseen.models.model import Score
from unseen.prediction.score import sigmoid
from unseen.types import Floats

WIDEST = 64.0  # how much a factor may change a scale, either way

LabelIds = NDArray[np.int64]


def best_factor(logits: Floats, label_ids: LabelIds) -> tuple[float, float]:
    """The factor of the logits (n, k) with the least mean loss, and that loss.

    The right label is aimed at with (n + 1) / (n + 2), not with certainty (Platt 1999): else a few
    pictures that are all right would make every answer sure.
    """
    n, k = logits.shape
    right = logits[np.arange(n), label_ids]
    missing = 1 / (n + 2)
    others = (logits.sum(1) - right) / max(k - 1, 1)
    top = logits.max(1)
    centred = logits - top[:, None]
    short = top - ((1 - missing) * right + missing * others)

    def loss(t: float) -> float:
        return float((np.log(np.exp(np.float32(t) * centred).sum(1)) + t * short).mean())

    return _least(loss)


def _least(loss: Callable[[float], float]) -> tuple[float, float]:
    """Where a convex function of a factor is least, and how little."""
    reach = float(np.log(WIDEST))
    log_factor = golden_section(lambda at: loss(float(np.exp(at))), -reach, reach, width=1e-4)
    factor = float(np.exp(log_factor))
    return factor, loss(factor)


def fitted_score(logits: Floats, label_ids: LabelIds, score: Score) -> Score:
    """The family's rule, with the scale (and for sigmoids the bias) that fits these logits.

    `logits`: scale · similarity, without the bias. A softmax has no use for a bias.
    """
    if score.rule == "softmax":
        scale = score.scale * best_factor(logits, label_ids)[0]
        return replace(score, scale=scale)
    right = np.zeros(logits.shape, dtype=bool)
    right[np.arange(len(label_ids)), label_ids] = True
    factor, _ = _least(lambda t: _yes_no_loss(t * logits + _bias(t * logits, right), right))
    return replace(score, scale=score.scale * factor, bias=_bias(factor * logits, right))


def _bias(logits: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """With which the sigmoids add up to as many as are right: that is where the loss is least."""
    low, high = -float(logits.max()) - 40, -float(logits.min()) + 40
    for _ in range(60):
        middle = (low + high) / 2
        few = sigmoid(np.asarray(logits + middle, dtype=np.float32)).sum() < right.sum()
        low, high = (middle, high) if few else (low, middle)
    return (low + high) / 2


def _yes_no_loss(logits: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """Mean loss, aimed a little short of certainty on both sides, as above."""
    yes, no = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    aim = np.where(right, yes, no)
    return float((np.logaddexp(0, logits) - aim * logits).mean())
