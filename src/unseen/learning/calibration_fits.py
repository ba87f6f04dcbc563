"""Logits, and what is true → the few numbers of a calibration.

Everywhere n pictures and k labels; logits are (n, k), and so is `y_true`: which labels are right of
each picture.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.learning.optimise import least_between
from unseen.prediction import score

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]

# What is believed beforehand, as normal distributions around "nothing to correct": of the log of
# the temperature; in multi-label mode, of 1 / temperature and of the shift.
TEMPERATURE_SPREAD = 0.5
STEEPNESS_SPREAD = 1.0
SHIFT_SPREAD = 3.0
COLDEST, HOTTEST = 0.05, 20.0  # where the temperature is looked for

FEWEST_YES = 3  # pictures of a label, from which on it may have a threshold of its own

# Unlabelled pictures: how many of each label are believed to be there beforehand.
PSEUDO_PICTURES = 1.0
PASSES = 100


def fit_temperature(logits: NDArray[Any], y_true: Bools) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    (log T)² / 2 is added for what is believed beforehand: with few pictures it stays near 1.
    """
    exact = np.asarray(logits, dtype=np.float64)

    def loss(log_t: float) -> float:
        scaled = exact / math.exp(log_t)
        missed = score.log_sum_exp(scaled)
        missed = missed - score.log_sum_exp(np.where(y_true, scaled, -np.inf))
        return float(missed.sum()) + 0.5 * (log_t / TEMPERATURE_SPREAD) ** 2

    return math.exp(least_between(loss, math.log(COLDEST), math.log(HOTTEST)))


def fit_line(logits: NDArray[Any], y_true: Bools) -> tuple[float, float]:
    """Temperature and shift of sigmoid(logit / T + shift), of several labels a picture.

    Logistic regression over all labels at once (Platt 1999), with what is believed beforehand of
    1 / T and the shift; by Newton's method, each step halved until it leads down.
    """
    x = np.asarray(logits, dtype=np.float64).ravel()
    sign = np.where(y_true.ravel(), 1.0, -1.0)
    beliefs, spreads = np.array([1.0, 0.0]), np.array([STEEPNESS_SPREAD, SHIFT_SPREAD])

    def loss(at: Doubles) -> float:
        missed = np.logaddexp(0, -sign * (at[0] * x + at[1])).sum()
        return float(missed + 0.5 * (((at - beliefs) / spreads) ** 2).sum())

    at = beliefs
    for _ in range(50):
        p = 0.5 * (1 + np.tanh((at[0] * x + at[1]) / 2))  # the sigmoid, which cannot overflow so
        residuals, weight = p - (sign > 0), p * (1 - p)
        gradient = np.array([residuals @ x, residuals.sum()]) + (at - beliefs) / spreads**2
        hessian = np.array([[weight @ x**2, weight @ x], [weight @ x, weight.sum()]])
        step = np.linalg.solve(hessian + np.diag(1 / spreads**2), gradient)
        while loss(at - step) > loss(at) and np.abs(step).max() > 1e-9:
            step = step / 2
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    return float(1 / max(at[0], 1 / HOTTEST)), float(at[1])


def fit_thresholds(
    probabilities: NDArray[Any], y_true: Bools, precision: float | None = None
) -> list[float]:
    """A threshold a label: for the best F1, or for a precision.

    A label with few pictures, or whose pictures cannot show that precision, takes the threshold of
    all labels together; where these cannot either, it is 1.
    """
    common = _threshold(probabilities.ravel(), y_true.ravel(), precision)
    fallback = 1.0 if common is None else common
    thresholds = []
    for scores, true in zip(probabilities.T, y_true.T, strict=True):
        threshold = _threshold(scores, true, precision) if true.sum() >= FEWEST_YES else None
        thresholds.append(fallback if threshold is None else threshold)
    return thresholds


def _threshold(scores: NDArray[Any], true: Bools, precision: float | None) -> float | None:
    """Between two scores where F1 is best, or where the precision is first met; None: nowhere.

    One more wrong yes is counted than was seen, as the threshold is chosen on what it is judged by.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each score
    values = ordered[last]
    right = np.cumsum(true[order])[last]
    positives = last + 1
    if precision is None:
        if not true.any():
            return None
        index = int(np.argmax(2 * right / (positives + true.sum())))
    else:
        wrong = positives - right + 1
        precise = np.flatnonzero(wrong <= (1 - precision) * (positives + 1) + 1e-12)
        if not len(precise):
            return None
        index = int(precise[-1])
    below = values[index + 1] if index + 1 < len(values) else 0.0
    return float((values[index] + below) / 2)


# without labels


def em_prior(logits: NDArray[Any]) -> Doubles:
    """How frequent the labels are here → log of k · that (Saerens, Latinne & Decaestecker 2002).

    With `PSEUDO_PICTURES` of each label beforehand, so that none is ruled out.
    """
    p = np.asarray(score.softmax(np.asarray(logits, np.float32)), dtype=np.float64)
    n, k = p.shape
    part = np.full(k, 1 / k)
    for _ in range(PASSES):
        joint = p * part
        count = (joint / np.maximum(joint.sum(1, keepdims=True), 1e-300)).sum(0)
        part = (count + PSEUDO_PICTURES) / (n + PSEUDO_PICTURES * k)
    return np.asarray(np.log(part * k))


def mean_prior(logits: NDArray[Any]) -> Doubles:
    """What takes from each label the mean logit that it has over the collection, above the others'.

    Shrunk by n / (n + k): as few pictures as labels say half. It assumes that no label is much more
    frequent than others.
    """
    exact = np.asarray(logits, dtype=np.float64)
    n, k = exact.shape
    mean = exact.mean(0)
    return np.asarray((mean.mean() - mean) * n / (n + k))


PRIORS = {"mean": mean_prior, "em": em_prior}
