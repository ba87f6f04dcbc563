"""What a search or a grouping of an index gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """A picture that a search or a grouping gives.

    Parameters
    ----------
    id : int
        Of its row in the table `picture`.
    paths : tuple of str
        Every file with this content, as the index names it.
    cosine : float
        To the query, the centre of the cluster, or the first of the group.
    width, height : int or None
        Upright, in pixels.
    taken : str or None
        EXIF time, ISO 8601 without a zone.
    """

    id: int
    paths: tuple[str, ...]
    cosine: float
    width: int | None
    height: int | None
    taken: str | None


@dataclass(frozen=True, eq=False)
class Cluster:
    """Similar pictures, the most typical first.

    Parameters
    ----------
    pictures : tuple of Hit
        Nearest to the centre first.
    centre : ndarray of shape (d,), float32
        Of length 1.
    names : tuple of str
        The labels that fit it best, against the other clusters; none when no labels were given.
    """

    pictures: tuple[Hit, ...]
    centre: Floats
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Content:
    """One picture of an index with all its files: its embedding (d,), or the error in its place."""

    id: bytes  # the first 16 bytes of the sha256 of its file
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    embedding: Floats | None
    error: str | None


# Which of a group comes first: the one with the least of this.
KEEP: dict[str, Callable[[Hit], Any]] = {
    "best": lambda hit: -(hit.width or 0) * (hit.height or 0),
    "oldest": lambda hit: (hit.taken is None, hit.taken),
}
