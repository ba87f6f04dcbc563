"""An image of any mode, or an array of any type → 8-bit RGB, upright, transparency on white."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.errors import ImageError

ORIENTATION = 0x0112  # an EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap the sides
WHITE = (255, 255, 255)
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
STRAIGHT = {"La": "LA", "RGBa": "RGBA"}  # premultiplied alpha → straight
STRIP_PIXELS = 1 << 20

# EXIF orientation → what turns the picture upright.
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB, turned as the EXIF orientation says."""
    image.load()  # first: reading broken metadata before can blacken the pixels that come after it
    method = TRANSPOSE.get(_orientation(image))
    rgb = to_rgb(image)
    if method is None:
        return rgb
    upright = rgb.transpose(method)
    upright.info = {}  # the orientation stands there, and would be applied a second time
    return upright


def _orientation(image: Image.Image) -> Any:
    """1…8, or anything: broken EXIF must not lose a good picture."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow lets parsing errors of every kind through
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; what is transparent, on white; deep greys scaled to what they hold."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in DEEP:
        return _in_strips(image, _deep_grey(image))
    if image.mode in STRAIGHT:
        return _in_strips(image, lambda piece: _on_white(piece.convert(STRAIGHT[piece.mode])))
    if image.has_transparency_data:
        return _in_strips(image, _on_white)
    return image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`convert`, some rows at a time: a large picture is never held in several modes at once."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        rgb.paste(convert(image.crop(box)), box)
    return rgb


def _on_white(piece: Image.Image) -> Image.Image:
    layer = piece.convert("RGBA")
    background = Image.new("RGBA", piece.size, (*WHITE, 255))
    return Image.alpha_composite(background, layer).convert("RGB")


def _deep_grey(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Grey of 16 or 32 bits, or floating, scaled to 8 bits, where `convert` would clip to white.

    White is what the type holds; for 32 bits and floats, the least usual white that nothing passes.
    """
    white = 65535.0
    if image.mode in ("I", "F"):
        top = float(np.nan_to_num(np.asarray(image).max()))
        usual = (255.0, 65535.0) if image.mode == "I" else (1.0, 255.0, 65535.0)
        white = next((w for w in usual if top <= w), top)

    def convert(piece: Image.Image) -> Image.Image:
        grey = np.nan_to_num(np.asarray(piece, dtype=np.float32), nan=0.0)
        scaled = np.clip(grey / np.float32(white), 0, 1) * np.float32(255)
        return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")

    return convert


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 as it is; bool, uint16 and floats in 0…1 scaled to 0…255. ImageError for others."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return np.asarray(np.where(array, 255, 0), dtype=np.uint8)
    if array.dtype == np.uint16:
        return np.asarray(np.rint(array / 257.0), dtype=np.uint8)  # 65535 = 257 · 255
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(np.min(array)), float(np.max(array))
        if not (low >= 0.0 and high <= 1.0):  # NaN fails both
            raise ImageError(
                f"floating-point values must lie in 0…1, not in {low:g}…{high:g}; divide the array "
                "by 255, or give it as uint8."
            )
        return np.asarray(np.rint(array * 255), dtype=np.uint8)
    raise ImageError(
        f"an array of {array.dtype} is not supported; give uint8, uint16, bool, or floats in 0…1."
    )
