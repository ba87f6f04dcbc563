"""A scene of two drawn shapes, a large one and one in a corner, which the small CLIP of the tests
reads in a tile and not in the whole."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

import shapes

SIZE = (384, 256)
MIDDLE = (331, 203)  # of the thing in the corner
GROUND = (225, 222, 215)
THING = "a red circle"
OTHERS = ["a yellow star", "a green triangle", "a pink heart", "a black cross"]


def scene(thing: str | None = THING, host: str = "a cyan ring", seed: int = 0) -> Image.Image:
    """384 × 256 pixels: the host on the left, and the thing in the lower right corner."""
    image = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(image)
    for label, middle, radius in ((host, (115, 108), 70), (thing, MIDDLE, 45)):
        if label is None:
            continue
        colour, shape = label.removeprefix("a ").split()
        outlines = [
            [(middle[0] + x * radius, middle[1] + y * radius) for x, y in outline]
            for outline in shapes._outline(shape, 0.0)
        ]
        hole = (*middle, radius * 0.55) if shape == "ring" else None
        shapes.Figure(outlines, shapes.COLOURS[colour], hole).fill(
            pen, 1, shapes.COLOURS[colour], GROUND
        )
    grain = np.random.default_rng(seed).normal(128, 8, (SIZE[1], SIZE[0]))
    noise = Image.fromarray(grain.clip(0, 255).astype(np.uint8)).convert("RGB")
    return Image.blend(image, noise, 0.06)


def on_thing(tile: tuple[int, ...] | list[int] | None) -> bool:
    """Whether a tile holds the middle of the thing."""
    if tile is None:
        return False
    left, top, right, bottom = tile
    return left <= MIDDLE[0] <= right and top <= MIDDLE[1] <= bottom
