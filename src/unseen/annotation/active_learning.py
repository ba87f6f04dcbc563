"""Which pictures to look at first: those the model is unsure of, and unlike those before them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from unseen.types import Floats

T = TypeVar("T")

CANDIDATES = 2000  # the most uncertain, of which diverse ones are chosen
AUDIT_EVERY = 5  # each fifth picture to look at is from a random sample of those that are sure


def uncertainty(probabilities: Floats) -> Floats:
    """(n, k) probabilities → (n,): 1 less the margin of the first over the second (Scheffer,
    Decomain & Wrobel 2001). With one label: how close its probability is to a half."""
    if probabilities.shape[1] == 1:
        return np.asarray(1 - np.abs(2 * probabilities[:, 0] - 1), dtype=np.float32)
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second), dtype=np.float32)


def order(uncertainties: Floats, vectors: Floats, reviewed: Floats, count: int) -> list[int]:
    """At most `count` indices of (n,) uncertainties and (n, d) vectors, the most useful first.

    Each is the one whose uncertainty, times its distance to the nearest of those before it, is
    largest: the greedy walk of k-centre (Sener & Savarese 2018, arXiv:1708.00489), weighted.
    `reviewed` (m, d): what was looked at already.
    """
    candidates = np.argsort(-uncertainties, kind="stable")[: max(CANDIDATES, count)]
    uncertainties, vectors = uncertainties[candidates], vectors[candidates]
    # Cosine distance to the nearest picture before, at most 2: where there is none, all are alike.
    distances = np.full(len(candidates), 2.0, dtype=np.float32)
    if len(reviewed):
        distances = 1 - (vectors @ reviewed.T).max(1)
    indices: list[int] = []
    for _ in range(min(count, len(candidates))):
        # A copy of a reviewed picture has the distance 0, and still comes before a chosen one.
        best = int(np.argmax(uncertainties * np.maximum(distances, 1e-6)))
        indices.append(int(candidates[best]))
        distances = np.minimum(distances, 1 - vectors @ vectors[best])
        uncertainties[best] = -1.0
    return indices


def interleave(uncertain: Sequence[T], audits: Sequence[T], limit: int) -> list[tuple[T, bool]]:
    """At most `limit` of both, each in its order, and which are audits: every fifth, and all once
    nothing is uncertain."""
    uncertain_queue, audit_queue = deque(uncertain), deque(audits)
    queue: list[tuple[T, bool]] = []
    while len(queue) < limit and (uncertain_queue or audit_queue):
        is_turn = len(queue) % AUDIT_EVERY == AUDIT_EVERY - 1
        audit = not uncertain_queue or (bool(audit_queue) and is_turn)
        queue.append(((audit_queue if audit else uncertain_queue).popleft(), audit))
    return queue


def audit_key(content: bytes) -> bytes:
    """The rank of a picture in a random order. It depends on the picture alone, so that another
    run gives it again, and a picture more or less does not change it for the others."""
    return hashlib.sha256(b"audit" + content).digest()[:16]
