"""Probabilities of samples in time → events: the path that costs least, with a price on change.

The path of states is Viterbi's: each sample counts for a state by the log of its probability, which
is floored, so that a sample that is wrong for certain costs no more than a few that are right; each
change of state costs the price λ. An event of d samples with the mean margin m over its
surroundings is in the best path if d·m > 2λ, whence the price for the shortest event that is
wanted. How sure an event is, is the mean of its posterior probability by the forward-backward
algorithm with the same price.

A sample counts for less where its best label fits much worse than those of samples before and after
it (in a stream: before it): it is dark, blurred, covered, and is mostly taken for the same wrong
label. What spoiled samples of each label are taken for is learnt from the path itself, so that they
tell where an event begins and ends.

Evidence is (n, chains, states): labels that compete are the states of one chain, labels that are a
yes or no each a chain of two states. Of a long video it is made a piece at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

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
FIT_UNIT, STREAM_FIT_UNIT = 3.0, 4.0  # of files, and of streams, which know one side alone
MOST_NEIGHBOURS = 101
NEIGHBOURS = 1.5  # shortest events that they span in a stream
EACH_SIDE = 2.4  # and in a file, before and after, at most
RARE = 0.002  # of samples, in how many a run of spoiled ones may be longer
# Of confusions: so many samples say as much as what all spoiled ones look like; the most that one
# sample says by them; the samples after which older ones count half; and the labels of a table.
PRIOR, MOST_SAID, MOST_LEARNT, MOST_LABELS = 8.0, 2.0, 4_000.0, 300
COUNTS = (1.0, 1.5)  # how much a sample may count: more than 1 where it cannot pay by itself
NO, YES = 0, 1  # states of a chain of one label
PIECE = 1024  # samples whose evidence is held at once


class Evidence(Protocol):
    """(n, chains, states) of n samples: an array, or `Made`."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Doubles: ...


@dataclass(frozen=True)
class Made:
    """Evidence of `count` samples that is made when it is read, of some samples at a time."""

    count: int
    make: Callable[[slice], Doubles]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice, /) -> Doubles:
        return self.make(rows)


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


def repeat_weights(repeats: Indices, shortest: float) -> Doubles:
    """How much each sample counts, (n,), by how many samples show its picture, (n,).

    A picture that is repeated is one piece of evidence, and not many; but one that is shown as long
    as the shortest event may be an event. So together its samples count as that many, at most.
    """
    return np.asarray(np.minimum(repeats, max(1.0, shortest)) / repeats)


def neighbours_of(shortest: float, span: float = NEIGHBOURS) -> int:
    """How many samples one is compared with: of a stream the last ones, itself among them."""
    return min(MOST_NEIGHBOURS, math.ceil(span * max(2.0, shortest)))


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
    relative = np.exp((fits - fits.max()) / STREAM_FIT_UNIT)
    return min(most, float(relative[-1] / relative.mean()))


def fit_weights(fits: Doubles, shortest: float, price: float) -> Doubles:
    """How much each sample of a file counts, (n,), by the best logit (n,) of each.

    One is spoiled where others fit better on both sides: what begins after something that fits
    better is not. How far they may be is as long as runs of spoiled samples are where so many are.
    """
    side = neighbours_of(shortest, EACH_SIDE)
    part = 1.0 - float(_relative(fits, side, shortest).mean())
    run = math.ceil(math.log(RARE) / math.log(min(max(part, 0.01), 0.99)))
    side = min(side, max(1, round(shortest) - 1, run))
    relative = _relative(fits, side, shortest)
    total, at = np.concatenate([[0.0], np.cumsum(relative)]), np.arange(len(fits))
    first, end = np.maximum(at - side, 0), np.minimum(at + side + 1, len(fits))
    mean = (total[end] - total[first]) / (end - first)
    return np.asarray(np.minimum(most_of(price), relative / mean))


def _relative(fits: Doubles, side: int, shortest: float) -> Doubles:
    """How well each sample fits, (n,), against the best on both sides; at the end, where one is
    not known, against the last ones."""
    before, after = _best_of_last(fits, side), _best_of_last(fits[::-1], side)[::-1].copy()
    after[-side:] = np.maximum(after, _best_of_last(fits, neighbours_of(shortest)))[-side:]
    return np.asarray(np.exp((fits - np.minimum(before, after)) / FIT_UNIT))


def _best_of_last(fits: Doubles, count: int) -> Doubles:
    """(n,) → (n,): the best of each and the `count` before it."""
    padded = np.concatenate([np.full(count, -np.inf), fits])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, count + 1).max(-1))


def noise_of(weights: Doubles) -> Doubles:
    """How much samples are spoiled, 0…1, by how much they count."""
    return np.asarray(1.0 - np.minimum(1.0, weights))


@dataclass
class Confusions:
    """What spoiled samples of each state are taken for, learnt from samples whose state is known.

    They are mostly taken for one wrong label each time. So a spoiled sample counts for a state by
    how many of that state were taken for the same; as long as there are few, by how many of all.

    Parameters
    ----------
    states : int
        Of the one chain.

    Examples
    --------
    >>> confusions = Confusions(2)
    >>> first, second = np.eye(2)
    >>> confusions.evidence(second[None]).tolist()
    [[0.0, 0.0]]
    >>> confusions.add(np.array([0, 0, 1]), np.array([second, second, first]), np.ones(3))
    >>> confusions.evidence(second[None]).round(2).tolist()
    [[0.0, -0.21]]
    """

    states: int
    _counts: Doubles = field(init=False)  # (states, what they are taken for)

    def __post_init__(self) -> None:
        self._counts = np.zeros((self.states, self.states))

    def add(self, states: Indices, looks: Doubles, noise: Doubles) -> None:
        """Samples: their state (n,), what each alone is taken for (n, states), and how much it is
        spoiled (n,)."""
        np.add.at(self._counts, states, noise[:, None] * looks)
        if self._counts.sum() > MOST_LEARNT:
            self._counts /= 2

    def evidence(self, looks: Doubles) -> Doubles:
        """(n, states) → (n, states): what spoiled samples say, 0 for the likeliest state."""
        everyone = self._counts.sum(0) + 1e-3
        prior = PRIOR * everyone / everyone.sum()
        likely = (self._counts + prior) / (self._counts.sum(1, keepdims=True) + PRIOR)
        logs = looks @ np.log(likely).T
        return np.asarray(np.maximum(logs - logs.max(-1, keepdims=True), -MOST_SAID))


def price_of(shortest: float, evidence: Evidence | None = None) -> float:
    """The price of a change, λ, by which an event of `shortest` samples stands out, and one of a
    sample less does not.

    The margin is the median of that between the two best states, or the usual one where that is
    less, or where there is no evidence: among samples that are spoiled an event has less.
    """
    margin = USUAL_MARGIN
    if evidence is not None and len(evidence) and evidence[0:1].shape[-1] > 1:
        best = [
            np.partition(evidence[rows], -2, axis=-1)[..., -2:] for rows in pieces(len(evidence))
        ]
        margin = min(margin, float(np.median(np.diff(np.concatenate(best), axis=-1))))
    return float(np.clip(0.5 * (shortest - 0.5) * margin, *PRICES))


def best_path(evidence: Evidence, price: float) -> Indices:
    """(n, chains, states) evidence → (n, chains) states: D(k) = max(D(k), max D - λ) + evidence.

    All states come from the best one, or from themselves: of each sample the best one is held,
    and a bit a state.
    """
    n, (_, chains, states) = len(evidence), evidence[0:1].shape
    path = np.zeros((n, chains), dtype=np.int64)
    if n == 0:
        return path
    best = np.zeros((n, chains), dtype=np.int32)
    stays = np.zeros((n, -(-chains * states // 8)), dtype=np.uint8)
    score = np.zeros((chains, states))
    for rows in pieces(len(evidence)):
        for t, row in enumerate(evidence[rows], rows.start):
            if t:
                score, best[t], stay = _step(score, price)
                stays[t] = np.packbits(stay)
            score = score + row
    path[-1] = score.argmax(-1)
    every = np.arange(chains)
    for t in range(n - 1, 0, -1):
        bits = np.unpackbits(stays[t], count=chains * states).reshape(chains, states)
        path[t - 1] = np.where(bits[every, path[t]], path[t], best[t])
    return path


def _step(score: Doubles, price: float) -> tuple[Doubles, Indices, Array]:
    """The best score of each state after one more step; which state of a chain was the best, and
    which come from themselves and not from that."""
    best = score.argmax(-1)
    changed = np.take_along_axis(score, best[:, None], -1) - price
    stays = score >= changed
    return np.where(stays, score, changed), best, stays


def posteriors(evidence: Evidence, price: float, path: Indices) -> Doubles:
    """(n, chains): the probability of the state of the path at each sample, given all samples.

    The forward messages are held of one piece at a time, and made anew from its first.
    """
    probability = np.zeros(path.shape)
    every = np.arange(path.shape[1])
    parts = [*pieces(len(evidence))]
    starts: list[Doubles | None] = [None]
    for rows in parts[:-1]:
        starts.append(_forward(evidence[rows], starts[-1], price)[-1])
    backward = np.zeros(evidence[0:1].shape[1:])
    for rows, start in zip(reversed(parts), reversed(starts[: len(parts)]), strict=True):
        block = evidence[rows]
        forward = _forward(block, start, price)
        for i in range(len(block) - 1, -1, -1):
            joined, t = forward[i] + backward, rows.start + i
            probability[t] = np.exp(joined[every, path[t]] - log_sum_exp(joined))
            backward = _summed(backward + block[i], price)
            backward = backward - backward.max(-1, keepdims=True)
    return probability


def _forward(block: Doubles, start: Doubles | None, price: float) -> Doubles:
    """The forward messages of some samples, after that of the sample before them."""
    forward = np.empty_like(block)
    message = start
    for i, row in enumerate(block):
        message = row if message is None else _summed(message, price) + row
        message = message - message.max(-1, keepdims=True)  # never far from 0
        forward[i] = message
    return forward


def pieces(count: int) -> Iterator[slice]:
    """The samples below `count`, a piece after another."""
    for start in range(0, count, PIECE):
        yield slice(start, min(start + PIECE, count))


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
            score, best, stays = _step(self._score, self.price)
            states = np.arange(score.shape[-1], dtype=np.int32)
            self._pointers.append(np.where(stays, states, best[:, None].astype(np.int32)))
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
