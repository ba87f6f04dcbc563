"""Features → logits: a linear head, or one with a hidden layer, fitted to soft and hard targets.

Where labels compete, a row's loss is T² · cross-entropy(target, softmax(logits / T)): T is 1 for
what a person said, and above 1 for a teacher's probabilities, softened alike (Hinton, Vinyals &
Dean 2015, arXiv:1503.02531). Where a picture may have several labels, each is a yes or no of its
own, and the loss is the sum of theirs. What is least is the weighted mean of that, and λ/2 ·
|weights|², biases free, of features that are standardised first. By L-BFGS, in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.learning.optimise import STEPS, TOLERANCE, lbfgs
from unseen.prediction.score import shifted, sigmoid
from unseen.types import Reals

Parameters = dict[str, Reals]

DEEP = "hidden.weight"


@dataclass(frozen=True)
class Examples:
    """What a head is fitted to: features (n, d), targets (n, k), which sum to 1 under the rule
    "softmax" and are a probability each under "sigmoid", a weight and a temperature a row."""

    features: Reals
    targets: Reals
    weights: Reals
    temperatures: Reals
    rule: str = "softmax"

    def of(self, chosen: NDArray[Any]) -> Examples:
        """Those rows."""
        return Examples(
            self.features[chosen],
            self.targets[chosen],
            self.weights[chosen],
            self.temperatures[chosen],
            self.rule,
        )


def _of_competing(raw: Reals, targets: Reals) -> tuple[Reals, Reals]:
    scaled, log_sum = shifted(raw)
    return log_sum - (targets * scaled).sum(1, keepdims=True), np.exp(scaled - log_sum) - targets


def _of_each(raw: Reals, targets: Reals) -> tuple[Reals, Reals]:
    missed = np.logaddexp(0, raw) - targets * raw
    return missed.sum(1, keepdims=True), sigmoid(raw) - targets


# Logits and targets (n, k) → the loss of each row (n, 1), and its slope (n, k).
LOSSES: Mapping[str, Callable[[Reals, Reals], tuple[Reals, Reals]]] = {
    "softmax": _of_competing,
    "sigmoid": _of_each,
}


def logits(head: Parameters, features: Reals) -> Reals:
    """(n, d) → (n, k)."""
    x = features
    if DEEP in head:
        x = np.maximum(x @ head[DEEP].T + head["hidden.bias"], 0)
    return np.asarray(x @ head["output.weight"].T + head["output.bias"])


def fit(
    examples: Examples,
    *,
    penalty: float,
    hidden: int = 0,
    seed: int = 0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Parameters:
    """A head whose logits, where they compete, are centred over the labels. `hidden`: how wide its
    layer is, 0 for none.

    `penalty` is λ; the seed is of where a hidden layer begins.
    """
    mean, spread = _standard(examples)
    x = np.asarray((examples.features - mean) / spread, dtype=examples.features.dtype)
    axes = None
    if x.shape[0] < x.shape[1]:  # weights lie in the space of the rows, where there is less to do
        q, r = np.linalg.qr(x.T)
        x, axes = r.T, q.T
    start = _beginning(x.shape[1], examples.targets.shape[1], hidden, seed)
    problem = _Problem(examples, x, penalty, start)
    head = problem.unpacked(lbfgs(problem, problem.packed(start), steps, tolerance))
    if axes is not None:
        first = _first(head)
        head[first] = head[first] @ axes
    head = _unstandardised(head, mean, spread)
    return _centred(head) if examples.rule == "softmax" else head


def _first(head: Parameters) -> str:
    """The weights that take the features."""
    return DEEP if DEEP in head else "output.weight"


def _standard(examples: Examples) -> tuple[Reals, Reals]:
    """What is taken off each feature, and what it is divided by."""
    spread = examples.features.std(0)
    return examples.features.mean(0), np.maximum(spread, 1e-3 * max(spread.max(), 1e-6))


def _beginning(width: int, k: int, hidden: int, seed: int) -> Parameters:
    """Zeros; for a hidden layer He's (2015, arXiv:1502.01852) draws."""
    head: Parameters = {"output.weight": np.zeros((k, hidden or width)), "output.bias": np.zeros(k)}
    if hidden:
        draw = np.random.default_rng(seed).standard_normal
        head[DEEP] = draw((hidden, width)) * np.sqrt(2 / width)
        head["hidden.bias"] = np.zeros(hidden)
        head["output.weight"] = draw((k, hidden)) * np.sqrt(1 / hidden)
    return head


def _unstandardised(head: Parameters, mean: Reals, spread: Reals) -> Parameters:
    """The same of features as they are."""
    first = _first(head)
    weight, bias = head[first] / spread, first.replace("weight", "bias")
    return head | {first: weight, bias: head[bias] - weight @ mean}


def _centred(head: Parameters) -> Parameters:
    """The same probabilities, from logits whose mean over the labels is 0."""
    return head | {
        name: head[name] - head[name].mean(0) for name in ("output.weight", "output.bias")
    }


class _Problem:
    """What is to be least, and its slope, at parameters laid out in one row."""

    def __init__(self, examples: Examples, x: Reals, penalty: float, like: Parameters) -> None:
        self._x = x
        self._targets = examples.targets
        self._loss = LOSSES[examples.rule]
        self._warmth = examples.temperatures[:, None]
        self._weights = (examples.weights / examples.weights.sum())[:, None]
        self._penalty = penalty
        self._shapes = {name: value.shape for name, value in like.items()}

    def packed(self, head: Parameters) -> Reals:
        return np.concatenate([head[name].ravel() for name in self._shapes])

    def unpacked(self, row: Reals) -> Parameters:
        head, start = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            head[name] = row[start : start + size].reshape(shape)
            start += size
        return head

    def __call__(self, row: Reals) -> tuple[float, Reals]:
        head = self.unpacked(row)
        kind = self._x.dtype
        narrow = {name: value.astype(kind) for name, value in head.items()}
        x = self._x
        if DEEP in head:
            x = np.maximum(x @ narrow[DEEP].T + narrow["hidden.bias"], 0)
        raw = (x @ narrow["output.weight"].T + narrow["output.bias"]) / self._warmth
        missed, off = self._loss(raw, self._targets)
        loss = float((self._weights * self._warmth**2 * missed).sum())
        off = (off * self._weights * self._warmth).astype(kind)
        slope = {"output.weight": off.T @ x, "output.bias": off.sum(0)}
        if DEEP in head:
            back = (off @ narrow["output.weight"]) * (x > 0)
            slope |= {DEEP: back.T @ self._x, "hidden.bias": back.sum(0)}
        for name in head:
            if name.endswith(".weight"):
                loss += self._penalty / 2 * float((head[name] ** 2).sum())
                slope[name] = slope[name] + self._penalty * head[name]
        return loss, self.packed(slope).astype(np.float64)
