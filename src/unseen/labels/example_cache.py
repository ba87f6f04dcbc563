"""Example pictures that add to the logits of their labels (Tip-Adapter)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.types import Floats


@dataclass(frozen=True, eq=False)
class Cache:
    """Example pictures that add to the scores of their labels (Zhang et al. 2022,
    arXiv:2207.09519).

    A label gets alpha times the mean of exp(-beta · (1 - cosine)) over its examples, less the
    mean of that over all labels with examples, which then stand level with those that have none.
    Examples of labels that are not in the set have ids behind its end, and count in that mean.
    """

    support: Floats  # (m, d), rows of length 1
    label_ids: NDArray[np.int32]  # (m,) the index of each example's label, ascending
    alpha: float
    beta: float

    def __repr__(self) -> str:
        return f"Cache({len(self.support)} examples, alpha={self.alpha:g}, beta={self.beta:g})"

    def logits(self, cosines: Floats, k: int) -> Floats:
        """(n, m) cosines to the examples → (n, k), to be added to the cosines of the labels."""
        ids, first, count = np.unique(self.label_ids, return_index=True, return_counts=True)
        affinity = np.exp(-np.float32(self.beta) * (1 - cosines))
        each = np.add.reduceat(affinity, first, axis=1) / count.astype(np.float32)
        each -= each.mean(1, keepdims=True)
        logits = np.zeros((len(cosines), k), dtype=np.float32)
        inside = ids < k
        logits[:, ids[inside]] = np.float32(self.alpha) * each[:, inside]
        return logits

    # in the files of adapters and of compiled label sets

    def facts(self) -> dict[str, float]:
        """The numbers, for the metadata of a file."""
        return {"alpha": self.alpha, "beta": self.beta}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, under the names that they have in a file."""
        return {"support": self.support, "owners": self.label_ids}

    @classmethod
    def from_file(cls, facts: dict[str, Any], arrays: dict[str, Any]) -> Cache:
        """What `facts` and `arrays` gave. KeyError where a part is missing."""
        return cls(arrays["support"], arrays["owners"], facts["alpha"], facts["beta"])
