"""A map drawn on its picture: grey below, red for the label, blue against it, and a scale."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from unseen.explanation.geometry import Geometry
from unseen.types import Floats, Images

# Of a map's two ends, which readers of every colour vision tell apart, and of nothing.
FOR, AGAINST, NOTHING = (
    np.array(colour, dtype=np.float32)
    for colour in ((178, 24, 43), (33, 102, 172), (247, 247, 247))
)
STRENGTH = 0.75  # of the colour, where the map is largest
PALE = 0.45  # of white in the grey picture below
SCALE_HEIGHT, MARGIN = 34, 8  # pixels
HATCH = 12  # pixels between two lines
LEAST_WIDTH = 240  # pixels: so that the scale can be read under a tiny picture


def draw(picture: Image.Image, geometry: Geometry | None, scores: Floats | None) -> Image.Image:
    """The map on the picture, and its scale below; the picture itself without a map.

    Parameters
    ----------
    picture : PIL.Image.Image
        Upright RGB, of any size.
    geometry : Geometry, optional
        Where the cells lie.
    scores : float32 array (cells,), optional
        What each says.

    Returns
    -------
    PIL.Image.Image
    """
    if geometry is None or scores is None:
        return picture.copy()
    scale = max(1, -(-LEAST_WIDTH // picture.width))
    if scale > 1 and picture.height * scale <= 1024:
        picture = picture.resize((picture.width * scale, picture.height * scale), 0)
    values = geometry.map(scores, picture.size)
    largest = float(np.abs(values).max())
    drawn = Image.fromarray(overlaid(np.asarray(picture), values, largest))
    _hatch(drawn, geometry)
    return _with_scale(drawn, largest)


def overlaid(picture: Images, values: Floats, largest: float) -> Images:
    """uint8 (h, w, 3) with a map (h, w) on it, whose strongest colour is that of `largest`."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = (1 - PALE) * grey + PALE * 255
    share = values / largest if largest > 0 else np.zeros_like(values)
    colours = np.where(share[..., None] > 0, FOR, AGAINST)
    weight = (STRENGTH * np.abs(share))[..., None]
    return np.asarray((1 - weight) * grey[..., None] + weight * colours, dtype=np.uint8)


def _hatch(drawn: Image.Image, geometry: Geometry) -> None:
    """Diagonal lines over what the net did not see."""
    if not geometry.cropped:
        return
    width, height = drawn.size
    across, down = width / geometry.size[0], height / geometry.size[1]
    left, top, right, bottom = geometry.seen
    lines = Image.new("L", drawn.size, 0)
    pen = ImageDraw.Draw(lines)
    for start in range(-height, width, HATCH):
        pen.line((start, height, start + height, 0), fill=160, width=2)
    pen.rectangle((left * across, top * down, right * across - 1, bottom * down - 1), fill=0)
    drawn.paste((90, 90, 90), mask=lines)


def _with_scale(drawn: Image.Image, largest: float) -> Image.Image:
    """A bar from against to for, with its numbers, below the drawing."""
    width = drawn.width
    canvas = Image.new("RGB", (width, drawn.height + SCALE_HEIGHT), "white")
    canvas.paste(drawn, (0, 0))
    inner = max(2, width - 2 * MARGIN)
    share = np.linspace(-1, 1, inner, dtype=np.float32)[None]
    ends = np.where(share[..., None] > 0, FOR, AGAINST)
    weight = np.abs(share)[..., None]
    bar = ((1 - weight) * NOTHING + weight * ends).astype(np.uint8)
    canvas.paste(Image.fromarray(np.repeat(bar, 8, axis=0)), (MARGIN, drawn.height + 6))
    pen = ImageDraw.Draw(canvas)
    y = drawn.height + 17
    pen.text((MARGIN, y), f"against {-largest:.2g}", fill="black")
    pen.text((width // 2, y), "0", fill="black", anchor="ma")
    pen.text((width - MARGIN, y), f"for {largest:.2g}", fill="black", anchor="ra")
    return canvas
