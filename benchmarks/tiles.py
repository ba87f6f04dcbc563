"""What `--tiles` is worth: every figure of docs/tiles.md.

    python benchmarks/tiles.py                   # everything, about forty minutes on two cores
    python benchmarks/tiles.py --rows /tmp/rows  # embeddings are kept there for the next time
    python benchmarks/tiles.py shapes cost       # some of it

Things of 1, 2, 5 and 10 % of the area are laid into pictures that do not show them. *photographs*:
the middle of a photograph of tests/photographs, as a soft ellipse, in another one; the built-in
model. *shapes*: a drawn shape in a drawn scene of others; the small CLIP of the tests. The rules
were chosen on the draw `CHOICE`, with one half of the labels; every figure is of other draws, with
the labels of the other half.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import unseen
from unseen.images.tiling import tile_boxes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import shapes  # noqa: E402 - it lies with the tests

AREAS = (0.01, 0.02, 0.05, 0.10)
PHOTOGRAPHS = ROOT / "tests" / "photographs"
SIDE = 960  # pixels of a photograph that things are laid into
CHOICE = 0  # the draw that rules were chosen on


@dataclass(frozen=True)
class Sample:
    """Pictures, what was laid into each (None: nothing), and the middle of it in its units."""

    images: list[Image.Image]
    hosts: list[str]
    things: list[str | None]
    areas: list[float]
    middles: list[tuple[float, float]]


def folders(half: int | None = None) -> list[Path]:
    """The folders of the photographs; half of them."""
    every = sorted(path for path in PHOTOGRAPHS.iterdir() if path.is_dir())
    return every if half is None else every[half::2]


def square(file: Path, side: int) -> Image.Image:
    """The middle of a photograph."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    edge = min(rgb.size)
    left, top = (rgb.width - edge) // 2, (rgb.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return rgb.resize((side, side), Image.Resampling.BICUBIC, box)


def photograph_sample(draw: int, count: int) -> Sample:
    """`count` photographs of each area with a thing of another folder in it."""
    rng = random.Random(f"tiles {draw}")
    sample = Sample([], [], [], [], [])
    names = folders(0 if draw == CHOICE else 1)
    for area in AREAS:
        for _ in range(count):
            thing, other = rng.sample(names, 2)
            image = square(rng.choice(sorted(other.glob("*.jpg"))), SIDE)
            edge = round(SIDE * math.sqrt(area * 4 / math.pi))
            small = square(rng.choice(sorted(thing.glob("*.jpg"))), edge)
            mask = Image.new("L", (4 * edge, 4 * edge), 0)
            ImageDraw.Draw(mask).ellipse((0, 0, 4 * edge, 4 * edge), fill=255)
            mask = mask.resize((edge, edge)).filter(ImageFilter.GaussianBlur(edge / 40))
            left, top = (rng.randint(0, SIDE - edge) for _ in range(2))
            image.paste(small, (left, top), mask)
            sample.images.append(image)
            sample.hosts.append(other.name.replace("_", " "))
            sample.things.append(thing.name.replace("_", " "))
            sample.areas.append(area)
            sample.middles.append(((left + edge / 2) / SIDE, (top + edge / 2) / SIDE))
    return sample


def plain_photographs(draw: int) -> Sample:
    """The photographs of a half of the folders, as they are laid under things."""
    files = [file for path in folders(0 if draw == CHOICE else 1) for file in path.glob("*.jpg")]
    names = [file.parent.name.replace("_", " ") for file in sorted(files)]
    images = [square(file, SIDE) for file in sorted(files)]
    n = len(images)
    return Sample(images, names, [None] * n, [0.0] * n, [(0.5, 0.5)] * n)


def shape_sample(draw: int, count: int, side: int = 256) -> Sample:
    """`count` scenes of each area: a large shape, a small one beside it; and as many without."""
    rng = random.Random(f"shapes {draw}")
    own = shapes.labels()[0 if draw == CHOICE else 1 :: 2]
    sample = Sample([], [], [], [], [])
    for area in (0.0, *AREAS):
        for _ in range(count):
            host, thing = rng.sample(own, 2)
            image, middle = with_shape(host, thing if area else None, area, side, rng)
            sample.images.append(image)
            sample.hosts.append(host)
            sample.things.append(thing if area else None)
            sample.areas.append(area)
            sample.middles.append(middle)
    return sample


def with_shape(
    host: str, thing: str | None, area: float, side: int, rng: random.Random
) -> tuple[Image.Image, tuple[float, float]]:
    """A large shape in the middle, and a small one in a corner, as `shapes.draw` draws them."""
    scale, seed = shapes.SCALE, rng.getrandbits(32)
    own = random.Random(seed)
    ground = tuple(own.randint(195, 255) for _ in range(3))
    image = Image.new("RGB", (side * scale, side * scale), ground)
    pen = ImageDraw.Draw(image)
    radius = math.sqrt(area / math.pi) * 1.15  # a shape fills about three quarters of its circle
    x, y = (rng.choice((radius + 0.01, 1 - radius - 0.01)) for _ in range(2))
    placed = [(host, 0.5, 0.5, 0.22)] + ([(thing, x, y, radius)] if thing else [])
    for label, cx, cy, r in placed:
        colour, shape = label.removeprefix("a ").split()
        tint = tuple(max(0, min(255, v + own.randint(-18, 18))) for v in shapes.COLOURS[colour])
        outlines = shapes._outline(shape, own.uniform(-0.25, 0.25))
        polygons = [[(cx + px * r, cy + py * r) for px, py in o] for o in outlines]
        hole = (cx, cy, r * 0.55) if shape == "ring" else None
        shapes.Figure(polygons, tint, hole).fill(pen, side * scale, tint, ground)
    image = image.resize((side, side), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(seed).normal(128, own.uniform(4, 14), (side, side))
    noise = Image.fromarray(grain.clip(0, 255).astype(np.uint8)).convert("RGB")
    return Image.blend(image, noise, 0.06), (x, y)


def rows_of(
    classifier: unseen.Classifier, sample: Sample, tilings: tuple[str, ...]
) -> np.ndarray[Any, Any]:
    """(pictures, 1 + tiles, d): the whole and then the tiles of each picture of one size."""

    def views() -> Iterator[Image.Image]:
        for image in sample.images:
            yield image
            for tiling in tilings:
                for box in tile_boxes(image.size, tiling, 1):
                    yield image.crop(box)

    rows = classifier.encoder.encode_images(views())
    return rows.reshape(len(sample.images), -1, rows.shape[-1])
