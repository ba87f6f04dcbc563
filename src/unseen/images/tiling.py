"""Where the overlapping tiles of a picture lie, in pixels of the upright original.

A tile is about square, since most networks see only the middle of what is longer: a tiling of n
has n tiles along the shorter side, and along the longer one as many as cover it. Tiles overlap by a
quarter, so that a thing on a border is whole in one of two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from unseen.errors import ImageError
from unseen.images.preprocess import TwoViews

if TYPE_CHECKING:
    from unseen.models.model import Preprocessing

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom

AUTO = "auto"
# Tiles along the shorter side, level by level.
LEVELS: dict[str, tuple[int, ...]] = {"2x2": (2,), "3x3": (3,), "pyramid": (2, 3)}
TILINGS = (AUTO, *LEVELS)

OVERLAP = 0.25  # of a tile, along the shorter side
LEAST_OVERLAP = 0.125  # along the longer one
MOST_TILES = 32  # of a level: tiles of a long strip are longer, and fewer


def tile_boxes(size: tuple[int, int], tiling: str, side: int) -> tuple[PixelBox, ...]:
    """The tiles of a picture, without the whole of it.

    Parameters
    ----------
    size : (int, int)
        Width and height of the picture, upright, in pixels.
    tiling : str
        One of `TILINGS`.
    side : int
        Of what the network takes, in pixels: what ``auto`` goes by.

    Returns
    -------
    tuple of (left, top, right, bottom)
        From the largest tiles to the smallest, row after row; none where the picture is not to be
        divided, or has too few pixels for it.

    Examples
    --------
    >>> tile_boxes((400, 400), "2x2", 224)
    ((0, 0, 229, 229), (171, 0, 400, 229), (0, 171, 229, 400), (171, 171, 400, 400))
    >>> len(tile_boxes((600, 400), "2x2", 224)), tile_boxes((1, 1), "3x3", 224)
    (6, ())
    """
    levels = automatic_levels(min(size), side) if tiling == AUTO else LEVELS[tiling]
    boxes = [box for across in levels for box in _level(size, across)]
    whole = (0, 0, *size)
    return tuple(box for box in dict.fromkeys(boxes) if box != whole)


def check_tiling(tiling: str) -> None:
    """ImageError for a tiling that does not exist."""
    if tiling not in TILINGS:
        choices = ", ".join(TILINGS)
        raise ImageError(f"unknown tiles {tiling!r}; choose one of: {choices}.")


def automatic_levels(shorter: int, side: int) -> tuple[int, ...]:
    """The levels of ``auto`` for a picture whose shorter side is so many pixels long.

    The pyramid was no better, and costs more; tiles were worth their time down to half of what the
    network takes (benchmarks/tiles.py); of what is smaller nobody knows.
    """
    return LEVELS["3x3"] if 2 * shorter >= side else ()


def net_side(preprocess: Preprocessing) -> int:
    """The side of what a network takes, in pixels."""
    return preprocess.side if isinstance(preprocess, TwoViews) else preprocess.target or 0


def _level(size: tuple[int, int], across: int) -> list[PixelBox]:
    shorter = min(size)
    tile = shorter / (across - (across - 1) * OVERLAP)
    columns, rows = (_spans(length, shorter, tile, across) for length in size)
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _spans(length: int, shorter: int, tile: float, across: int) -> list[tuple[int, int]]:
    """First and last pixel of each tile along a side."""
    count = across
    if length > shorter:
        count = 1 + math.ceil((length - tile) / (tile * (1 - LEAST_OVERLAP)))
        if count > MOST_TILES // across:
            count = MOST_TILES // across
            tile = length / (count - (count - 1) * LEAST_OVERLAP)
    extent = min(length, math.ceil(tile))
    starts = [round(i * (length - extent) / (count - 1)) for i in range(count)]
    return [(start, start + extent) for start in starts]
