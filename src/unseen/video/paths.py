"""Probabilities of samples in time → events: the path that costs least, with a price on change.

The path of states is Viterbi's: each sample counts for a state by the log of its probability, which
is floored, so that a sample that is wrong for certain costs no more than a few that are right; each
change of state costs the price λ. An event of d samples with the mean margin m over its
surroundings is in the best path if d·m > 2λ, whence the price for the shortest event that is
wanted. How sure an event is, is the mean of its posterior probability by the forward-backward
algorithm with the same price.

A sample counts for less where its best label fits much worse than the best labels of the samples
before it: it is dark, blurred, covered, and what it is taken for is mostly the same wrong label.

Arrays of evidence are (n, chains, states): labels that compete are the states of one chain, labels
that are a yes or no each a chain of two states.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unseen.prediction.score import log_sum_exp, shifted

if TYPE_CHECKING:
    from unseen.types import Array, Doubles, Floats, Indices

FLOOR = 0.02  # of a probability
MARGIN = -float(np.log(FLOOR))  # the most that one sample can say for one label against another
PRICES = (2.0, 12.0)
USUAL_MARGIN = 2.6  # between the two best labels, on the whole; more is not trusted
SURE_PART = 0.9  # so many samples are to say less than the most
LEAST = 1e-37  # of a probability, before its logarithm
# A sample whose best logit lies so far below those of its neighbours counts e times less. More
# neighbours find more of what is spoiled, and are slower to believe a label that fits no picture
# as well as the one before (`benchmarks/video.py` has both).
FIT_UNIT = 4.0
NEIGHBOURS = (1.5, 101)  # shortest events that they span, and their number at most
COUNTS = (1.0, 1.5)  # how much a sample may count: more than 1 where it cannot pay by itself
NO, YES = 0, 1  # states of a chain of one label


def competing(probabilities: Floats, temperature: float | None = None) -> Doubles:
    """(n, k) probabilities of labels that compete → (n, 1, k) evidence.

    Models are surer than they are right: where nearly every sample has reached the floor, one that
    is clear would say no more than one that is spoiled. So the logits are divided by a temperature,
    by default that of `temperature_of`.
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST))
    scaled = logs / (temperature_of(margins(probabilities)) if temperature is None else temperature)
    below, total = shifted(scaled)
    return np.asarray(np.maximum(below - total, -MARGIN)[:, None])


def margins(probabilities: Floats) -> Doubles:
    """(n, k) probabilities → (n,): how much the best label is above the second, as logits."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    two = np.partition(np.asarray(probabilities, np.float64), -2, axis=1)[:, -2:]
    logs = np.log(np.maximum(two, LEAST))
    return np.asarray(logs[:, 1] - logs[:, 0])


def temperature_of(margins: Doubles) -> float:
    """What logits are divided by, so that nine of ten samples stay above the floor; at least 1."""
    return max(1.0, float(np.quantile(margins, SURE_PART)) / MARGIN) if len(margins) else 1.0


def yes_or_no(probabilities: Floats, thresholds: Floats) -> Doubles:
    """(n, k) probabilities, each a yes from its threshold (k,) on → (n, k, 2) evidence."""
    low, high = 1e-6, 1 - 1e-6
    p, t = (np.clip(np.asarray(a, np.float64), low, high) for a in (probabilities, thresholds))
    yes = 1 / (1 + (1 - p) / p * (t / (1 - t)))  # the threshold is where both are as likely
    return np.log(np.maximum(np.stack([1 - yes, yes], axis=-1), FLOOR))


def weighted(evidence: Doubles, repeats: Indices, shortest: float) -> Doubles:
    """Evidence of samples of which some show the same picture.

    A picture that is repeated is one piece of evidence, and not many; but one that is shown as long
    as the shortest event may be an event. So together its samples count as that many, at most.

    Parameters
    ----------
    evidence : float64 array (n, chains, states)
        Of the samples.
    repeats : int64 array (n,)
        How many samples show the picture of each.
    shortest : float
        The samples of the shortest event.
    """
    counted = np.minimum(repeats, max(1.0, shortest)) / repeats
    return np.asarray(evidence * counted[:, None, None])


def neighbours_of(shortest: float) -> int:
    """How many of the last samples, itself among them, one is compared with."""
    span, most = NEIGHBOURS
    return min(most, math.ceil(span * max(2.0, shortest)))


def most_of(price: float) -> float:
    """How much a sample may count: less than pays for an event of its own."""
    low, high = COUNTS
    return min(max(low, 0.95 * 2 * price / MARGIN), high)


def fit_weight(fits: Doubles, most: float) -> float:
    """How much the last of some samples counts, by the best logits (n,) of all of them.

    >>> import numpy as np
    >>> round(fit_weight(np.array([30.0, 30.0, 15.0]), 1.5), 2)
    0.03
    """
    relative = np.exp((fits - fits.max()) / FIT_UNIT)
    return min(most, float(relative[-1] / relative.mean()))


def fit_weights(fits: Doubles, shortest: float, price: float) -> Doubles:
    """How much each sample counts, (n,), by the best logit (n,) of each."""
    count, most = neighbours_of(shortest), most_of(price)
    return np.array(
        [fit_weight(fits[max(0, t - count) : t], most) for t in range(1, len(fits) + 1)]
    )


def price_of(shortest: float, evidence: Doubles | None = None) -> float:
    """The price of a change, λ, by which an event of `shortest` samples stands out, and one of a
    sample less does not.

    The margin is the median of that between the two best states, or the usual one where that is
    less, or where there is no evidence: among samples that are spoiled an event has less.
    """
    margin = USUAL_MARGIN
    if evidence is not None and len(evidence) and evidence.shape[-1] > 1:
        best = np.partition(evidence, -2, axis=-1)[..., -2:]
        margin = min(margin, float(np.median(best[..., 1] - best[..., 0])))
    return float(np.clip(0.5 * (shortest - 0.5) * margin, *PRICES))


def best_path(evidence: Doubles, price: float) -> Indices:
    """(n, chains, states) evidence → (n, chains) states: D(k) = max(D(k), max D - λ) + evidence."""
    n, chains, _ = evidence.shape
    path = np.zeros((n, chains), dtype=np.int64)
    if n == 0:
        return path
    score = evidence[0]
    pointers = []
    for t in range(1, n):
        score, pointer = _step(score, price)
        pointers.append(pointer)
        score = score + evidence[t]
    path[-1] = score.argmax(-1)
    every = np.arange(chains)
    for t in range(n - 2, -1, -1):
        path[t] = pointers[t][every, path[t + 1]]
    return path


def _step(score: Doubles, price: float) -> tuple[Doubles, Array]:
    """The best score of each state after one more step, and the state that it comes from."""
    best = score.argmax(-1)[:, None]
    changed = np.take_along_axis(score, best, -1) - price
    stays = score >= changed
    states = np.arange(score.shape[-1], dtype=np.int32)
    return np.where(stays, score, changed), np.where(stays, states, best.astype(np.int32))


def posteriors(evidence: Doubles, price: float) -> Doubles:
    """(n, chains, states): the probability of each state at each sample, given all samples."""
    n = len(evidence)
    if n == 0:
        return evidence
    forward = np.empty_like(evidence)
    message = np.zeros(evidence.shape[1:])
    for t in range(n):
        message = (_summed(message, price) if t else message) + evidence[t]
        message = message - message.max(-1, keepdims=True)  # never far from 0
        forward[t] = message
    backward = np.zeros(evidence.shape[1:])
    for t in range(n - 1, -1, -1):
        forward[t] = forward[t] + backward
        backward = _summed(backward + evidence[t], price)
        backward = backward - backward.max(-1, keepdims=True)
    return np.asarray(np.exp(forward - log_sum_exp(forward)[..., None]))


def _summed(message: Doubles, price: float) -> Doubles:
    """One step of forward or backward: to stay is free, and each change costs the price."""
    total = np.asarray(log_sum_exp(message))[..., None] - price
    return np.asarray(np.logaddexp(message, total))


@dataclass
class FixedLag:
    """The best path of a stream: each sample is decided once, when that is safe, or late enough.

    A sample is decided when the best paths to all states have it in common, or when `lag` others
    have followed.

    Parameters
    ----------
    price : float
        Of a change.
    lag : int
        Samples after which a decision is made in any case, from 1 on.

    Examples
    --------
    >>> evidence = competing(np.repeat([[0.9, 0.1], [0.1, 0.9]], 5, axis=0))
    >>> path = FixedLag(price=3.0, lag=4)
    >>> decided = [state for row in evidence for state, _ in path.add(row)] + [
    ...     state for state, _ in path.finish()
    ... ]
    >>> [int(state[0]) for state in decided]
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    """

    price: float
    lag: int
    _score: Doubles | None = field(default=None, init=False)
    _pointers: deque[Array] = field(default_factory=deque, init=False)
    _forward: deque[Doubles] = field(default_factory=deque, init=False)
    _evidence: deque[Doubles] = field(default_factory=deque, init=False)
    _message: Doubles | None = field(default=None, init=False)

    def add(self, evidence: Doubles) -> list[tuple[Indices, Doubles]]:
        """One more sample, (chains, states) → the samples that are decided now, the oldest first:
        the state of each chain, (chains,), and how probable it is, (chains,)."""
        if self._score is None or self._message is None:
            self._score, self._message = evidence, evidence
        else:
            score, pointer = _step(self._score, self.price)
            self._pointers.append(pointer)
            self._score = score - score.max(-1, keepdims=True) + evidence
            self._message = _summed(self._message, self.price) + evidence
        self._message = self._message - self._message.max(-1, keepdims=True)
        self._forward.append(self._message)
        self._evidence.append(evidence)
        return self._decide(self._shared())

    def finish(self) -> list[tuple[Indices, Doubles]]:
        """The samples that are left, as the stream has ended."""
        decided = self._decide(len(self._forward))
        self._score = self._message = None
        return decided

    def _shared(self) -> int:
        """How many of the oldest samples are to be decided now."""
        assert self._score is not None
        waiting = len(self._forward)
        chains, states = self._score.shape
        ancestors = np.broadcast_to(np.arange(states), (chains, states))
        for age, pointer in enumerate(reversed(self._pointers), 1):
            ancestors = np.take_along_axis(pointer, ancestors, -1)
            if (ancestors == ancestors[:, :1]).all():
                return max(waiting - age, waiting - self.lag)
        return max(0, waiting - self.lag)

    def _decide(self, count: int) -> list[tuple[Indices, Doubles]]:
        if count <= 0 or self._score is None:
            return []
        every = np.arange(self._score.shape[0])
        state = self._score.argmax(-1)
        backward = np.zeros_like(self._score)
        decided = []
        for age in range(len(self._forward) - 1, -1, -1):
            joined = self._forward[age] + backward
            if age < count:
                probability = np.exp(joined - log_sum_exp(joined)[..., None])[every, state]
                decided.append((state, probability))
            backward = _summed(backward + self._evidence[age], self.price)
            backward = backward - backward.max(-1, keepdims=True)
            if age:
                state = self._pointers[age - 1][every, state]
        for _ in range(count):
            self._forward.popleft()
            self._evidence.popleft()
            if self._pointers:
                self._pointers.popleft()
        return decided[::-1]
