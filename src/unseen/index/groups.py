"""Groups of vectors → groups of pictures: near-duplicates with the best first, and clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.index.hits import Hit, Hits
from unseen.index.vectors import clustering

if TYPE_CHECKING:
    from unseen.index.vectors.matrix import Matrix
    from unseen.types import Floats, Indices, Progress

# Which picture of a group comes first: the one with the least of this.
KEEP: dict[str, Callable[[Hit], Any]] = {
    "best": lambda hit: -(hit.width or 0) * (hit.height or 0),
    "oldest": lambda hit: (hit.taken is None, hit.taken),
}


def duplicates(
    matrix: Matrix, hits: Hits, threshold: float, keep: str, progress: Progress | None
) -> list[list[Hit]]:
    """Groups of `hits`, which are pictures of the matrix; as `IndexView.duplicates`."""
    row_of = {int(id_): row for row, id_ in enumerate(matrix.ids)}
    hit_at = {row_of[hit.id]: hit for hit in hits}
    best_first = sorted(hit_at, key=lambda row: (KEEP[keep](hit_at[row]), hit_at[row].paths))
    order = np.array(best_first, dtype=np.int64)
    groups = clustering.duplicates(matrix, order, threshold, progress=progress)
    grouped = {int(row) for group in groups for row in group}
    single = [hit_at[row] for row in best_first if row not in grouped]
    return [
        *(Hits((hit_at[int(row)] for row in group), hits.root) for group in groups),
        *(Hits([hit], hits.root) for hit in single if len(hit.paths) > 1),
    ]


def members_of(
    matrix: Matrix, cluster_of: Indices, number: int, centre: Floats
) -> tuple[Indices, Floats]:
    """Ids (n,) of the pictures of a cluster and their cosines (n,) to its centre, nearest first."""
    members = np.flatnonzero(cluster_of == number)
    cosines = np.asarray(matrix.vectors[members], dtype=np.float32) @ centre
    nearest_first = np.argsort(-cosines, kind="stable")
    return matrix.ids[members[nearest_first]], cosines[nearest_first]
