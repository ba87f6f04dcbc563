"""Token drop: how much of the embedding goes when a window of places goes.

Slower than the parts, and another definition: what is lost when a place is missing. Every label is
answered by the same rows, as the embedding's loss is a vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.explanation.masking import Masking
from unseen.explanation.parts import OpenedPicture
from unseen.types import Floats

# Sides of a grid up to this many cells → (side of a window, stride).
WINDOWS = ((8, 2, 1), (23, 3, 2))
LARGE_WINDOW = (4, 3)


def windows(grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Overlapping square windows that cover a grid.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    bool array (windows, rows · columns)
        Which cells each window covers.

    Examples
    --------
    >>> windows((8, 8)).shape
    (49, 64)
    >>> int(windows((14, 14)).sum(0).min())
    1
    """
    rows, columns = grid
    side, stride = next(
        ((side, stride) for most, side, stride in WINDOWS if max(grid) <= most), LARGE_WINDOW
    )
    covers = []
    for top in _starts(rows, side, stride):
        for left in _starts(columns, side, stride):
            cover = np.zeros(grid, dtype=bool)
            cover[top : top + side, left : left + side] = True
            covers.append(cover.ravel())
    return np.stack(covers)


def _starts(size: int, side: int, stride: int) -> list[int]:
    """Where windows begin along a side; the last ends where the side does."""
    last = max(0, size - side)
    return sorted({*range(0, last, stride), last})


def drop_rows(masking: Masking, picture: OpenedPicture, embedding: Floats) -> Floats:
    """What goes with each place, as rows that answer any label.

    Parameters
    ----------
    masking : Masking
        Encodes the picture without its windows.
    picture : OpenedPicture
        The picture; of one view.
    embedding : float32 array (d,)
        Of the whole picture.

    Returns
    -------
    float32 array (cells, d)
    """
    gone = windows(picture.geometry.grid)
    lost = embedding - masking.embeddings(picture.pixels, ~gone)  # (windows, d)
    share = gone / gone.sum(1, keepdims=True)  # of a window's loss, to each of its cells
    weights = share / gone.sum(0)  # windows overlap
    return np.asarray(weights.T.astype(np.float32) @ lost)
