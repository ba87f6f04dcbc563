"""The map lies in the pixels of the original, whatever was done to the picture on the way."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen.explanation.geometry import Geometry
from unseen.explanation.parts import OpenedPicture, PartsEncoder
from unseen.images.preprocess import Preprocess, TwoViews

BICUBIC = Image.Resampling.BICUBIC
PREPROCESSING = {
    "shortest, cropped": Preprocess(64, None, (64, 64), BICUBIC),
    "shortest, cropped wide": Preprocess(70, None, (48, 64), BICUBIC),
    "squashed": Preprocess(None, (64, 48), None, BICUBIC),
    "cropped, torchvision": Preprocess(63, None, (64, 64), BICUBIC, round_crop=True),
    "covering": Preprocess(None, None, (64, 64), BICUBIC, cover=(64, 64)),
    "inside, padded": Preprocess(None, None, (64, 64), BICUBIC, inside=(64, 64)),
    "two views": TwoViews(64),
}
SIZES = [(300, 200), (200, 300), (1000, 90), (64, 64), (5, 7)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PREPROCESSING)
def test_boxes_say_where_every_pixel_of_a_view_comes_from(name: str, size: tuple[int, int]) -> None:
    """A picture whose red is x and whose green is y: a view's pixels are where its box says."""
    preprocess: Any = PREPROCESSING[name]
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    colours = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 99)], -1)
    views = preprocess(Image.fromarray(np.round(colours).astype(np.uint8)))
    views = views if views.ndim == 4 else views[None]
    boxes = preprocess.boxes(size)
    assert len(boxes) == len(views)
    for view, (left, top, right, bottom) in zip(views, boxes, strict=True):
        rows, columns = view.shape[:2]
        at_x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        at_y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
        # Away from the edges, where filters and rounding reach, and in no padding.
        inner_x = (at_x > 2 + width / columns) & (at_x < width - 2 - width / columns)
        inner_y = (at_y > 2 + height / rows) & (at_y < height - 2 - height / rows)
        if not inner_x.any() or not inner_y.any():
            continue
        pixels = view[np.ix_(inner_y, inner_x)].astype(float)
        wanted_x = (at_x[inner_x] - 0.5) * 255 / width
        wanted_y = (at_y[inner_y] - 0.5) * 255 / height
        slack_x, slack_y = 1.5 + 255 / width * 0.6, 1.5 + 255 / height * 0.6
        assert np.abs(pixels[..., 0] - wanted_x[None]).max() < slack_x
        assert np.abs(pixels[..., 1] - wanted_y[:, None]).max() < slack_y


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("draft", [False, True], ids=["png", "a large jpeg"])
def test_a_mark_in_a_corner_stays_there(shapes_clip: Path, orientation: int, draft: bool) -> None:
    """Of the picture as a viewer shows it, with the EXIF orientation applied."""
    encoder = PartsEncoder(unseen.load(shapes_clip).encoder)
    stored = Image.new("RGB", (1600, 1400) if draft else (160, 140), "white")
    side = stored.width // 8
    stored.paste("black", (0, 0, side, side))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG" if draft else "PNG", exif=exif, **({"quality": 95} if draft else {}))
    with Image.open(file) as image:
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(image).convert("L")
    picture = encoder.open(file.getvalue())
    assert isinstance(picture, OpenedPicture)
    assert picture.geometry.size == upright.size
    pixels = np.asarray(picture.pixels)[..., 0].astype(np.float32)
    rows, columns = picture.geometry.grid
    darkness = 255 - pixels.reshape(rows, pixels.shape[0] // rows, columns, -1).mean((1, 3))
    mapped = picture.geometry.map(darkness.ravel())
    assert mapped.shape == (upright.height, upright.width)
    y, x = np.unravel_index(np.argmax(mapped), mapped.shape)
    assert np.asarray(upright)[y, x] < 30, (x, y)
    dark = np.asarray(upright) < 128
    seen = mapped != 0
    assert mapped[dark & seen].mean() > 10 * np.abs(mapped[~dark & seen]).mean()


def test_what_was_cropped_is_nothing_and_is_counted() -> None:
    geometry = Geometry((300, 100), ((100, 0, 200, 100),), (2, 2))
    mapped = geometry.map(np.ones(4, np.float32))
    assert mapped.shape == (100, 300)
    assert (mapped[:, :100] == 0).all() and (mapped[:, 200:] == 0).all()
    assert np.allclose(mapped[:, 100:200], 1)
    assert geometry.cropped == pytest.approx(2 / 3)
    assert geometry.seen == (100, 0, 200, 100)


def test_padding_is_not_in_the_map() -> None:
    """A wide picture padded to a square: the cells above and below it are in no pixel."""
    geometry = Geometry((100, 50), ((0, -25, 100, 75),), (4, 4))
    scores = np.zeros((4, 4), np.float32)
    scores[0] = scores[3] = 1000  # padding
    scores[1, 0] = 1
    assert geometry.inside.reshape(4, 4).any(1).tolist() == [False, True, True, False]
    mapped = geometry.map(np.where(np.arange(16).reshape(4, 4) == 4, 1, 0).astype(np.float32))
    y, x = np.unravel_index(np.argmax(mapped), mapped.shape)
    assert x < 25 and y < 25


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2)], ids=str)
@pytest.mark.parametrize("name", PREPROCESSING)
def test_tiny_pictures_have_a_map(name: str, size: tuple[int, int]) -> None:
    preprocess: Any = PREPROCESSING[name]
    geometry = Geometry(size, preprocess.boxes(size), (8, 8))
    mapped = geometry.map(np.ones(geometry.cells, np.float32))
    assert mapped.shape == (size[1], size[0])
    assert np.isfinite(mapped).all()
    assert geometry.inside.any()


def test_two_views_are_added_where_both_looked() -> None:
    geometry = Geometry((200, 100), TwoViews(64).boxes((200, 100)), (4, 4))
    mapped = geometry.map(np.ones(geometry.cells, np.float32))
    assert np.allclose(mapped[:, 60:140], 2, atol=0.1)
    assert np.allclose(mapped[:, :40], 1, atol=0.1)
    values = geometry.at_cells(np.ones(geometry.cells, np.float32))
    assert values.shape == (32,)
    assert np.allclose(values[16:], 2, atol=0.1)


def test_cells_are_where_the_map_has_them() -> None:
    geometry = Geometry((80, 40), ((0, 0, 80, 40),), (2, 4))
    for row, column in itertools.product(range(2), range(4)):
        scores = np.zeros((2, 4), np.float32)
        scores[row, column] = 1
        mapped = geometry.map(scores.ravel())
        y, x = np.unravel_index(np.argmax(mapped), mapped.shape)
        assert (y // 20, x // 20) == (row, column)
        assert geometry.centres[row * 4 + column].tolist() == [column * 20 + 10, row * 20 + 10]
