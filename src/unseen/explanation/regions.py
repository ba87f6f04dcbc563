"""The region of a label, from its map: coarse, as the map is as coarse as the net's patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.types import Floats

BINS = 256
SIDE = 256  # pixels of the longer side at which regions are told apart
LEAST_SHARE = 0.002  # of the picture: a smaller region is no box


def threshold(values: Floats) -> float:
    """Otsu's threshold: of two classes of values, the variance between them is largest.

    Otsu 1979 (IEEE Trans. SMC 9:62).

    Parameters
    ----------
    values : float32 array
        At least one value.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> 1 < threshold(np.array([0, 0, 1, 9, 9, 10], np.float32)) < 9
    True
    """
    counts, edges = np.histogram(values, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = sums / below, (sums[-1] - sums) / (total - below)
        between = below * (total - below) * (high - low) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[int(best.mean()) + 1])


def mask(values: Floats) -> NDArray[np.bool_] | None:
    """Where a map is above the threshold of its positive values.

    Parameters
    ----------
    values : float32 array (height, width)
        Positive for the label.

    Returns
    -------
    bool array (height, width) or None
        None where nothing is positive.
    """
    positive = values[values > 0]
    if not positive.size:
        return None
    return np.asarray(values >= min(threshold(positive), float(positive.max())))


def boxes(region: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """The boxes of the connected parts of a region, the largest part first.

    Parameters
    ----------
    region : bool array (height, width)
        What `mask` gave.

    Returns
    -------
    list of (x, y, width, height)
        Parts below 0.2 % of the picture are left out, unless there is no other.
    """
    height, width = region.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST))
    if not small.any():
        small, size = region, (width, height)
    parts = sorted(_components(small), key=len, reverse=True)
    large = [part for part in parts if len(part) >= LEAST_SHARE * small.size] or parts[:1]
    across, down = width / size[0], height / size[1]
    result = []
    for part in large:
        top, left = part.min(0)
        bottom, right = part.max(0) + 1
        x, y = int(left * across), int(top * down)
        result.append((x, y, max(1, round(right * across) - x), max(1, round(bottom * down) - y)))
    return result


def _components(region: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The points (y, x) of each part whose pixels touch one another, sides or corners."""
    waiting = {(int(y), int(x)) for y, x in np.argwhere(region)}
    parts = []
    while waiting:
        todo, part = [waiting.pop()], []
        while todo:
            y, x = todo.pop()
            part.append((y, x))
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if near in waiting:
                    waiting.discard(near)
                    todo.append(near)
        parts.append(np.array(part, dtype=np.int64))
    return parts
