"""Tiles cover a picture, in pixels of the upright original; so does what a network sees."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unseen.errors import ImageError
from unseen.images.preprocess import Preprocess, TwoViews
from unseen.images.tiling import LEVELS, MOST_TILES, check_tiling, net_side, tile_boxes

SIZES = [
    (400, 400),
    (640, 480),
    (480, 640),
    (600, 400),
    (1920, 1080),
    (1000, 500),
    (37, 91),
    (7, 5),
]
STRIPS = [(8000, 100), (3, 900), (30000, 2)]
CROP = Preprocess(224, None, (224, 224), Image.Resampling.BICUBIC)


def covered(size: tuple[int, int], boxes: list[tuple[float, float, float, float]]) -> float:
    """The share of the pixels whose middle lies in a box."""
    width, height = size
    mask = np.zeros((height, width), dtype=bool)
    for left, top, right, bottom in boxes:
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        mask |= np.outer((y > top) & (y < bottom), (x > left) & (x < right))
    return float(mask.mean())


@pytest.mark.parametrize("tiling", LEVELS)
@pytest.mark.parametrize("size", SIZES + STRIPS)
def test_tiles_lie_in_the_picture_and_cover_it(size: tuple[int, int], tiling: str) -> None:
    boxes = tile_boxes(size, tiling, 224)
    assert len(boxes) == len(set(boxes)) <= MOST_TILES * len(LEVELS[tiling])
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    if min(size) > 3:
        assert covered(size, list(boxes)) == 1.0


@pytest.mark.parametrize("tiling", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_crops_sees_every_corner(size: tuple[int, int], tiling: str) -> None:
    """Tiles are about square: of one as long as the picture only the middle would be seen."""
    seen = [
        (left + a, top + b, left + c, top + d)
        for left, top, right, bottom in tile_boxes(size, tiling, 224)
        for a, b, c, d in CROP.boxes((right - left, bottom - top))
    ]
    assert covered(size, seen) > 0.99
    whole = list(CROP.boxes(size))
    if size[0] != size[1]:
        assert covered(size, whole) < 0.99  # which the whole picture alone leaves out


def test_so_many_tiles_and_a_quarter_of_each_is_shared() -> None:
    assert [len(tile_boxes((400, 400), name, 224)) for name in LEVELS] == [4, 9, 13]
    assert [len(tile_boxes((600, 400), name, 224)) for name in LEVELS] == [6, 15, 21]
    assert [len(tile_boxes((400, 600), name, 224)) for name in LEVELS] == [6, 15, 21]
    (first, second, *_) = tile_boxes((4000, 4000), "2x2", 224)
    assert (first[2] - second[0]) / (first[2] - first[0]) == pytest.approx(0.25, abs=0.001)


def test_a_tiny_picture_has_no_tiles() -> None:
    for tiling in LEVELS:
        assert tile_boxes((1, 1), tiling, 224) == ()


def test_an_unknown_tiling_is_refused() -> None:
    message = "unknown tiles '4x4'; choose one of: auto, 2x2, 3x3, pyramid."
    with pytest.raises(ImageError, match=message):
        check_tiling("4x4")


def test_auto_goes_by_the_side_of_the_network() -> None:
    assert (net_side(CROP), net_side(TwoViews(260))) == (224, 260)
    assert tile_boxes((300, 112), "auto", 224) == tile_boxes((300, 112), "3x3", 224)
    assert tile_boxes((300, 111), "auto", 224) == ()
