"""Upright RGB pixels → the uint8 array a network takes: resize, crop; what it is normalised by.

This is *what* is done to a picture; how each library writes that down is read by
`models/processors.py`. The arithmetic (x · rescale_factor - mean) / std is left to the network,
which folds it into its first layer: pixels stay a byte each until then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.images.patches import Patches

Channels = tuple[float, float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

# A picture is resized whole and then cropped up to so many times the pixels that are kept; of a
# longer one (a panorama of 16:1, an attack of 30000:1) only what is kept is ever resized.
WHOLE_RATIO = 16
SUPPORT = 3.0  # pixels that a filter reaches to either side; Lanczos has the most


@dataclass(frozen=True)
class Preprocess:
    """Resize the shortest edge (or to `exact`), cut out the centre, keep the bytes.

    An index stores the text of this object, so the names of the class and of its fields, their
    order and their defaults are part of a format on disk.

    Parameters
    ----------
    shortest : int or None
        The short side after resizing, in pixels; the shape is kept.
    exact : (int, int) or None
        (height, width) after resizing, instead of `shortest`.
    crop : (int, int) or None
        (height, width) cut from the centre, padded with black where the picture is smaller; None
        keeps all of it.
    resample : PIL.Image.Resampling
        The filter.
    cover, inside : (int, int) or None
        As small, or as large, as covers or fits in (height, width), the shape kept; where all four
        are None, nothing is resized.
    round_crop : bool
        Half a pixel goes to the even side, as in torchvision; else it is dropped, as in
        transformers.
    mean, std : three floats
        What is taken off each channel, and what it is then divided by.
    rescale_factor : float
        What a byte is multiplied by before that.
    """

    shortest: int | None
    exact: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: Image.Resampling
    cover: tuple[int, int] | None = None
    inside: tuple[int, int] | None = None
    round_crop: bool = False
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    rescale_factor: float = 1.0

    @property
    def output(self) -> tuple[int, int] | None:
        """(height, width) of what comes out; None when that is not the same for all pictures."""
        return self.crop or self.exact

    @property
    def target(self) -> int:
        """The short side that is needed: a decoder may stop at a multiple of it."""
        box = self.exact or self.cover or self.inside or self.crop
        return self.shortest or max(box or (1 << 30,))

    def normalisation(self) -> tuple[Channels, Channels]:
        """Of a byte x in each channel: (scale, shift) with x·scale + shift the network's input."""
        r, g, b = (self.rescale_factor / s for s in self.std)
        shift_r, shift_g, shift_b = (-m / s for m, s in zip(self.mean, self.std, strict=True))
        return (r, g, b), (shift_r, shift_g, shift_b)

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (height, width, 3)."""
        width, height = self._resized(image.size)
        if self.crop is None:
            return np.asarray(image.resize((width, height), self.resample))
        crop_height, crop_width = self.crop
        left, top = self._middle(width - crop_width), self._middle(height - crop_height)
        window = (left, top, left + crop_width, top + crop_height)
        if width * height <= WHOLE_RATIO * crop_width * crop_height:
            whole = image if image.size == (width, height) else None
            whole = whole or image.resize((width, height), self.resample)
            return np.asarray(whole.crop(window))
        return np.asarray(resize_window(image, (width, height), window, self.resample))

    def boxes(self, size: tuple[int, int]) -> tuple[Box, ...]:
        """Where the one view comes from, in pixels of a picture of `size` (width, height).

        The box sticks out of the picture where a crop is larger than what was resized.
        """
        width, height = self._resized(size)
        if self.crop is None:
            return ((0.0, 0.0, float(size[0]), float(size[1])),)
        across, down = size[0] / width, size[1] / height
        left, top = self._middle(width - self.crop[1]), self._middle(height - self.crop[0])
        right, bottom = left + self.crop[1], top + self.crop[0]
        return ((left * across, top * down, right * across, bottom * down),)

    def _middle(self, spare: int) -> int:
        """Where the window begins, of the pixels that are too many or, below zero, too few."""
        if not self.round_crop:
            return spare // 2
        return round(spare / 2) if spare >= 0 else -(-spare // 2)

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after resizing; the longer side of `shortest` is rounded down."""
        width, height = size
        if self.exact is not None:
            return self.exact[1], self.exact[0]
        if (box := self.cover or self.inside) is not None:
            ratios = height / box[0], width / box[1]
            ratio = min(ratios) if self.cover else max(ratios)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        if self.shortest is None:
            return size
        if width <= height:
            return self.shortest, int(self.shortest * height / width)
        return int(self.shortest * width / height), self.shortest


def resize_window(
    image: Image.Image,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    resample: Image.Resampling,
) -> Image.Image:
    """`image.resize(size, resample).crop(window)`, without the pixels outside the window.

    What sticks out of `size` is black, as with `crop`. The two passes come in the order that
    Pillow 13 takes for the whole, so that overshoot is rounded alike.
    """
    (width, height), (new_width, new_height) = image.size, size
    x = _span(width, new_width, window[0], window[2])
    y = _span(height, new_height, window[1], window[3])
    piece = image.crop((x.first, y.first, x.last, y.last))

    def across(p: Image.Image) -> Image.Image:
        return p.resize((x.count, p.height), resample, (x.start, 0, x.stop, p.height))

    def down(p: Image.Image) -> Image.Image:
        return p.resize((p.width, y.count), resample, (0, y.start, p.width, y.stop))

    down_first = height > new_height and height - new_height > 2 * (width - new_width)
    resized = across(down(piece)) if down_first else down(across(piece))
    left, top = min(window[0], 0), min(window[1], 0)
    return resized.crop((left, top, left + window[2] - window[0], top + window[3] - window[1]))


@dataclass(frozen=True)
class _Span:
    """Along one side: which old pixels are read, and where in them the new ones lie."""

    first: int
    last: int
    start: float
    stop: float
    count: int


def _span(old: int, new: int, start: int, stop: int) -> _Span:
    start, stop = max(start, 0), min(stop, new)
    scale = old / new
    reach = SUPPORT * max(scale, 1.0) + 1
    first = max(0, math.floor(start * scale - reach))
    last = min(old, math.ceil(stop * scale + reach))
    return _Span(first, last, start * scale - first, stop * scale - first, stop - start)


@dataclass(frozen=True)
class TwoViews:
    """Two looks at a picture: all of it on white, and its centre square.

    An index stores the text of this object, as of `Preprocess`.

    Parameters
    ----------
    side : int
        Of both squares, in pixels.
    """

    side: int

    # The embedding keeps the most probable classes and drops the others, a step that one grey level
    # can flip: cosine 0.9989 even where a JPEG is decoded at six times the size.
    target = None

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (2, side, side, 3)."""
        side = self.side
        fitted, corner = self._fitted(image.size)
        whole = Image.new("RGB", (side, side), "white")
        whole.paste(image.resize(fitted, Image.Resampling.BICUBIC), corner)
        box = _centre(image.size)
        centre = image.resize((side, side), Image.Resampling.BICUBIC, box)
        return np.stack([np.asarray(whole), np.asarray(centre)])

    def boxes(self, size: tuple[int, int]) -> tuple[Box, ...]:
        """Where the two views come from, in pixels of a picture of `size` (width, height)."""
        fitted, corner = self._fitted(size)
        across, down = size[0] / fitted[0], size[1] / fitted[1]
        left, top = -corner[0] * across, -corner[1] * down
        whole = (left, top, left + self.side * across, top + self.side * down)
        return whole, _centre(size)

    def _fitted(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The size of the whole picture in its view, and its upper left corner there."""
        side, longest = self.side, max(size)
        fitted = (max(1, size[0] * side // longest), max(1, size[1] * side // longest))
        return fitted, ((side - fitted[0]) // 2, (side - fitted[1]) // 2)


def _centre(size: tuple[int, int]) -> Box:
    """The square in the middle of a picture."""
    (width, height), shortest = size, min(size)
    left, top = (width - shortest) / 2, (height - shortest) / 2
    return left, top, left + shortest, top + shortest


# What may be done to a picture, by the kind that a model written as JSON names.
PREPROCESSING: dict[str, type[Any]] = {
    "resize_crop": Preprocess,
    "two_views": TwoViews,
    "patches": Patches,
}
