"""The scale, and for sigmoids the bias, with which logits say how often they are right.

Aimed a little short of certainty, so that a few pictures do not make every answer sure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.models.model import Score
from unseen.prediction.score import sigmoid

WIDEST = 64.0  # how much a factor may change a scale, either way

Rows = NDArray[np.float32]
Places = NDArray[np.int64]


def best_factor(said: Rows, owners: Places) -> tuple[float, float]:
    """What the logits (n, k) are best multiplied with, and the mean loss then.

    The right label is aimed at with (n + 1) / (n + 2), not with certainty (Platt 1999): else a few
    pictures that are all right would make every answer sure.
    """
    n, k = said.shape
    own = said[np.arange(n), owners]
    missing = 1 / (n + 2)
    others = (said.sum(1) - own) / max(k - 1, 1)
    top = said.max(1)
    centred = said - top[:, None]
    short = top - ((1 - missing) * own + missing * others)

    def loss(t: float) -> float:
        return float((np.log(np.exp(np.float32(t) * centred).sum(1)) + t * short).mean())

    return _least(loss)


def _least(loss: Callable[[float], float]) -> tuple[float, float]:
    """Where a convex function of a factor is least, and how little: golden section."""
    golden = (np.sqrt(5) - 1) / 2
    low, high = -np.log(WIDEST), np.log(WIDEST)
    for _ in range(24):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(float(np.exp(left))) < loss(float(np.exp(right))):
            high = right
        else:
            low = left
    best = float(np.exp((low + high) / 2))
    return best, loss(best)


def fitted_score(said: Rows, owners: Places, score: Score) -> Score:
    """The family's rule, with the scale (and for sigmoids the bias) that fits these logits.

    `said`: scale · similarity, without the bias. A softmax has no use for a bias.
    """
    if score.rule == "softmax":
        return replace(score, scale=score.scale * best_factor(said, owners)[0])
    right = np.zeros(said.shape, dtype=bool)
    right[np.arange(len(owners)), owners] = True
    factor, _ = _least(lambda t: _yes_no_loss(t * said + _bias(t * said, right), right))
    return replace(score, scale=score.scale * factor, bias=_bias(factor * said, right))


def _bias(said: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """With which the sigmoids add up to as many as are right: that is where the loss is least."""
    low, high = -float(said.max()) - 40, -float(said.min()) + 40
    for _ in range(60):
        middle = (low + high) / 2
        few = sigmoid(np.asarray(said + middle, dtype=np.float32)).sum() < right.sum()
        low, high = (middle, high) if few else (low, middle)
    return (low + high) / 2


def _yes_no_loss(logits: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """Mean loss, aimed a little short of certainty on both sides, as above."""
    yes, no = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    aim = np.where(right, yes, no)
    return float((np.logaddexp(0, logits) - aim * logits).mean())
