"""Which pictures to look at first: those the model is unsure of, and unlike those before them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
T = TypeVar("T")

CANDIDATES = 2000  # the most uncertain, of which diverse ones are chosen
AUDIT_EVERY = 5  # each fifth picture to look at is drawn at random from those that are sure


def uncertainty(scores: Floats) -> Floats:
    """(n, k) probabilities → (n,): one less the margin of the first over the second (Scheffer,
    Decomain & Wrobel 2001). With one label: how near its probability is to a half."""
    if scores.shape[1] == 1:
        return np.asarray(1 - np.abs(2 * scores[:, 0] - 1), dtype=np.float32)
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second), dtype=np.float32)


def order(doubts: Floats, vectors: Floats, before: Floats, count: int) -> list[int]:
    """At most `count` places of (n,) doubts and (n, d) vectors, the most useful first.

    Each is the one whose doubt, times its distance to the nearest of those before it, is largest:
    the greedy walk of k-centre (Sener & Savarese 2018, arXiv:1708.00489), weighted. `before`
    (m, d): what was looked at already.
    """
    chosen = np.argsort(-doubts, kind="stable")[: max(CANDIDATES, count)]
    doubts, vectors = doubts[chosen], vectors[chosen]
    far = np.full(len(chosen), 2.0, dtype=np.float32)
    if len(before):
        far = 1 - (vectors @ before.T).max(1)
    found: list[int] = []
    for _ in range(min(count, len(chosen))):
        best = int(np.argmax(doubts * np.maximum(far, 1e-6)))
        found.append(int(chosen[best]))
        far = np.minimum(far, 1 - vectors @ vectors[best])
        doubts[best] = -1.0
    return found


def mixed(doubtful: Sequence[T], audits: Sequence[T], limit: int) -> list[tuple[T, bool]]:
    """At most `limit` of both, each in its order, and which are audits: every fifth, and all once
    nothing is doubtful."""
    left, drawn = deque(doubtful), deque(audits)
    found: list[tuple[T, bool]] = []
    while len(found) < limit and (left or drawn):
        audit = not left or (bool(drawn) and len(found) % AUDIT_EVERY == AUDIT_EVERY - 1)
        found.append(((drawn if audit else left).popleft(), audit))
    return found


def draw(content: bytes) -> bytes:
    """The place of a picture in a random order: any later look gives it again, and a picture more
    or less does not change it for the others."""
    return hashlib.sha256(b"audit" + content).digest()[:16]
