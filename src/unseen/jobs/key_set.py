"""Which keys came before, at eight bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 8


class KeySet:
    """The keys of a plan so far, as 64 bits of a digest each.

    Sorted arrays, each at least twice as long as the next: looking keys up takes a search in each,
    and all merging together a few passes over every key. Two different keys of a billion are taken
    for one in 3 plans of 100; the second then has a key that says its number, and is not lost.
    """

    def __init__(self) -> None:
        self._levels: list[NDArray[np.uint64]] = []

    def add(self, keys: Sequence[str]) -> list[int]:
        """The positions of those keys that came before, here or earlier; all are remembered."""
        digests = np.frombuffer(b"".join(map(_digest, keys)), dtype=np.uint64)
        order = np.argsort(digests, kind="stable")  # the first of equal ones stays the first
        ranked = digests[order]
        repeated = np.zeros(len(ranked), dtype=bool)
        repeated[1:] = ranked[1:] == ranked[:-1]
        for level in self._levels:
            position = np.searchsorted(level, ranked)
            position[position == len(level)] = 0
            repeated |= level[position] == ranked
        self._keep(ranked[~repeated])
        return sorted(int(i) for i in order[repeated])

    def _keep(self, ranked: NDArray[np.uint64]) -> None:
        if not len(ranked):
            return
        self._levels.append(ranked)
        while len(self._levels) > 1 and len(self._levels[-2]) < 2 * len(self._levels[-1]):
            last, before = self._levels.pop(), self._levels.pop()
            merged = np.concatenate([before, last])
            merged.sort()
            self._levels.append(merged)


def _digest(key: str) -> bytes:
    content = key.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
