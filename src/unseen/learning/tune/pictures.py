"""Pictures as the image net takes them, in a file: memory stays bounded however many there are.

And ordinary pictures that are drawn here, for whoever tunes without a folder of them: figures of
one colour on a ground of another, and soft spots, which every model of this kind has learnt to tell
apart. They say whether answers stay the same, though less of it than pictures of the user's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.system.cpu import usable

CHUNK = 64  # pictures that are decoded, or computed, at once
Pixels = NDArray[np.uint8]
Point = tuple[float, float]
SIDE = 224  # of a drawn picture

# Augmentation: how much of a picture is left, and how far its shape may be from the original's.
AREA, RATIO = (0.6, 1.0), (3 / 4, 4 / 3)


@dataclass(frozen=True, eq=False)
class PictureFile:
    """Pictures in a file. `errors`: the rows that could not be read, and why; they are zeros."""

    pixels: Pixels
    errors: dict[int, str]

    @property
    def readable(self) -> NDArray[np.intp]:
        """The rows of the pictures that could be read."""
        rows = np.arange(len(self.pixels))
        return rows[~np.isin(rows, [*self.errors])]


def decode(
    encoder: Encoder,
    sources: Sequence[Any],
    file: Path,
    shape: tuple[int, ...],
    progress: Callable[[int, int], None] | None = None,
) -> PictureFile:
    """Read pictures into a file of arrays.

    Parameters
    ----------
    encoder : Encoder
        Of the model: it prepares pictures.
    sources : sequence
        What `open_image` takes, n of them.
    file : Path
        An .npy file; what is there is replaced.
    shape : tuple of int
        Of one picture, as the image net takes it.
    progress : callable, optional
        Called with how many are done, and of how many.

    Returns
    -------
    PictureFile
        uint8 (n, …), a map of the file.
    """
    pixels = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.uint8, shape=(len(sources), *shape)
    )
    errors: dict[int, str] = {}
    with ThreadPoolExecutor(usable()) as pool:
        for start in range(0, len(sources), CHUNK):
            chunk = sources[start : start + CHUNK]
            for row, result in enumerate(pool.map(encoder.pixels, chunk), start):
                if isinstance(result, UnseenError):
                    errors[row] = str(result)
                else:
                    pixels[row] = result
            if progress is not None:
                progress(min(start + CHUNK, len(sources)), len(sources))
    return PictureFile(pixels, errors)


def mapped(
    compute: Callable[[Any], tuple[NDArray[Any], ...]], pixels: Pixels, folder: Path, name: str
) -> tuple[NDArray[Any], ...]:
    """What `compute` makes of all pictures, a chunk at a time: maps of files in a folder."""
    arrays: tuple[NDArray[Any], ...] = ()
    for start in range(0, len(pixels), CHUNK):
        part = compute(np.asarray(pixels[start : start + CHUNK]))
        if not arrays:
            arrays = tuple(
                np.lib.format.open_memmap(
                    folder / f"{name}-{number}.npy",
                    mode="w+",
                    dtype=array.dtype,
                    shape=(len(pixels), *array.shape[1:]),
                )
                for number, array in enumerate(part)
            )
        for whole, array in zip(arrays, part, strict=True):
            whole[start : start + CHUNK] = array
    return arrays


def augmented(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A part of each picture, as large as the whole was: the random resized crop of Inception.

    Pictures are not mirrored, as left and right may be what a label says.
    """
    return np.stack([_part(picture, rng) for picture in pixels])


def _part(picture: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = picture.shape[:2]
    area, ratio = rng.uniform(*AREA), np.exp(rng.uniform(*np.log(RATIO)))
    wide = min(width, max(1.0, width * float(np.sqrt(area * ratio))))
    high = min(height, max(1.0, height * float(np.sqrt(area / ratio))))
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    box = (left, top, left + wide, top + high)
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))


# drawn ones


def drawn(number: int, side: int = SIDE) -> Image.Image:
    """One picture, the same for the same number: RGB, side × side."""
    rng = np.random.default_rng((977, number))
    image = _ground(rng, side)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 4))):
        _figure(pen, rng, side)
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(side / 224 * float(rng.uniform(0.5, 2))))
    return image


def _ground(rng: np.random.Generator, side: int) -> Image.Image:
    """One colour, or a few that run into one another."""
    cells = int(rng.choice([1, 2, 3]))
    colours = rng.integers(90, 256, (cells, cells, 3), dtype=np.int64).astype(np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC)


def _figure(pen: ImageDraw.ImageDraw, rng: np.random.Generator, side: int) -> None:
    tint = tuple(int(value) for value in rng.integers(0, 256, 3))
    x, y = (float(value) * side for value in rng.uniform(0.2, 0.8, 2))
    radius = float(rng.uniform(0.08, 0.35)) * side
    kind = rng.choice(["ellipse", "polygon", "star", "bar", "ring"])
    if kind == "ellipse":
        high = radius * float(rng.uniform(0.5, 1))
        pen.ellipse((x - radius, y - high, x + radius, y + high), fill=tint)
    elif kind == "ring":
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, outline=tint, width=max(1, int(radius / 3)))
    elif kind == "bar":
        turn, wide = float(rng.uniform(0, math.pi)), max(1, int(radius / 3))
        away = radius * math.cos(turn), radius * math.sin(turn)
        ends = (x - away[0], y - away[1], x + away[0], y + away[1])
        pen.line(ends, fill=tint, width=wide)
    else:
        corners = int(rng.integers(3, 7))
        inner = float(rng.uniform(0.35, 0.6)) if kind == "star" else 1.0
        pen.polygon(_corners(x, y, radius, corners, inner, float(rng.uniform(0, 6))), fill=tint)


def _corners(
    x: float, y: float, radius: float, count: int, inner: float, turn: float
) -> list[Point]:
    """Of a polygon, or of a star whose inner corners are nearer to its middle."""
    points = count if inner == 1.0 else 2 * count
    around = []
    for number in range(points):
        angle = turn + 2 * math.pi * number / points
        far = radius * (inner if number % 2 else 1.0)
        around.append((x + far * math.cos(angle), y + far * math.sin(angle)))
    return around
