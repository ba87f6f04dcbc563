"""From the grid of patches that a network saw to the pixels of the original picture.

A network sees one or two views of a picture, each cut out of a box of it and divided into a grid.
Boxes are in pixels of the original, upright picture, so padding, cropping, squashing, the reduced
size at which a JPEG was decoded, and its EXIF orientation are all undone by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.images.preprocess import Box
from unseen.types import Floats

SMALL = 96  # pixels of the longer side: enough to read a map at the middles of cells
ROUNDING = 1e-6  # pixels: a box that ends there by arithmetic does not touch the next one


@dataclass(frozen=True)
class Geometry:
    """Where the cells of the views lie in a picture.

    Parameters
    ----------
    size : (int, int)
        Width and height of the original picture, upright.
    boxes : tuple of (left, top, right, bottom)
        What the cells of each view cover, in pixels of the original; a box may stick out of it.
    grid : (int, int)
        Rows and columns of cells of each view.

    Examples
    --------
    >>> import numpy as np
    >>> geometry = Geometry((4, 2), ((0, 0, 4, 2),), (1, 2))
    >>> geometry.map(np.array([1, 0], np.float32)).shape
    (2, 4)
    >>> geometry.cropped
    0.0
    """

    size: tuple[int, int]
    boxes: tuple[Box, ...]
    grid: tuple[int, int]

    @property
    def cells(self) -> int:
        """How many cells all views have."""
        return len(self.boxes) * self.grid[0] * self.grid[1]

    @cached_property
    def seen(self) -> Box:
        """The least box of the picture that holds everything that the network saw."""
        width, height = self.size
        left, top, right, bottom = (np.array(sides) for sides in zip(*self.boxes, strict=True))
        return (
            max(0.0, float(left.min())),
            max(0.0, float(top.min())),
            min(float(width), float(right.max())),
            min(float(height), float(bottom.max())),
        )

    @property
    def cropped(self) -> float:
        """The share of the picture's area that no view covers."""
        left, top, right, bottom = self.seen
        area = max(0.0, right - left) * max(0.0, bottom - top)
        return max(0.0, round(1 - area / (self.size[0] * self.size[1]), 9))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(cells, 2): x and y of the middle of each cell, in pixels of the original."""
        rows, columns = self.grid
        points = []
        for left, top, right, bottom in self.boxes:
            x = left + (np.arange(columns) + 0.5) * (right - left) / columns
            y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
            points.append(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
        return np.concatenate(points)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(cells,): whose middle lies in the picture, and not in its padding.

        Every cell, where that is none (a picture of one pixel).
        """
        x, y = self.centres.T
        inside = (x >= 0) & (y >= 0) & (x < self.size[0]) & (y < self.size[1])
        return inside if inside.any() else np.ones(self.cells, dtype=bool)

    def map(self, scores: Floats, size: tuple[int, int] | None = None) -> Floats:
        """Scores of cells as a smooth map of the picture.

        Parameters
        ----------
        scores : float32 array (cells,)
            View after view, row after row.
        size : (int, int), optional
            Width and height of the map; by default those of the original.

        Returns
        -------
        float32 array (height, width)
            0 where no view looked; where several did, the sum of them.
        """
        width, height = size or self.size
        across, down = width / self.size[0], height / self.size[1]
        total = np.zeros((height, width), dtype=np.float32)
        views = np.asarray(scores, dtype=np.float32).reshape(len(self.boxes), *self.grid)
        for view, (left, top, right, bottom) in zip(views, self.boxes, strict=True):
            _lay(total, view, (left * across, top * down, right * across, bottom * down))
        return total

    def at_cells(self, scores: Floats) -> Floats:
        """The value of the map at the middle of each cell: of several views, their sum.

        Parameters
        ----------
        scores : float32 array (cells,)
            As of `map`.

        Returns
        -------
        float32 array (cells,)
        """
        if len(self.boxes) == 1:
            return scores
        scale = SMALL / max(self.size)
        width, height = (max(1, round(side * scale)) for side in self.size)
        small = self.map(scores, (width, height))
        x = np.clip(self.centres[:, 0] * width / self.size[0], 0, width - 1).astype(int)
        y = np.clip(self.centres[:, 1] * height / self.size[1], 0, height - 1).astype(int)
        return np.asarray(small[y, x])


def _lay(total: Floats, view: Floats, box: Box) -> None:
    """Add a view, made as large as its box, to what of the map the box covers."""
    height, width = total.shape
    left, top, right, bottom = box
    x = _covered(left, right, width)
    y = _covered(top, bottom, height)
    if x is None or y is None:
        return
    rows, columns = view.shape
    from_x, to_x = (np.clip((edge - left) / (right - left), 0, 1) * columns for edge in x)
    from_y, to_y = (np.clip((edge - top) / (bottom - top), 0, 1) * rows for edge in y)
    image = Image.fromarray(view).resize(
        (x[1] - x[0], y[1] - y[0]),
        Image.Resampling.BICUBIC,
        (float(from_x), float(from_y), float(to_x), float(to_y)),
    )
    total[y[0] : y[1], x[0] : x[1]] += np.asarray(image, dtype=np.float32)


def _covered(start: float, stop: float, size: int) -> tuple[int, int] | None:
    """The pixels that a side of a box touches; None for none."""
    first = max(0, math.floor(start + ROUNDING))
    last = min(size, math.ceil(stop - ROUNDING))
    return (first, last) if first < last else None
