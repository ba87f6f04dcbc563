"""An image → a small JPEG, and many of them → sheets of square cells."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from unseen.errors import UnseenError
from unseen.images.open import open_image

SIDE = 256  # pixels
QUALITY = 80  # about 10 kB at 256 pixels, as photographs go
SHEET_QUALITY = 75
SHEET_SIDE = 2048  # pixels; what phones still draw from
MULTIPLE = 16  # a cell's side: JPEG's blocks then never lie across two cells
WHITE = (255, 255, 255)
GREY = (128, 128, 128)

Share = tuple[float, float, float, float]  # left, top, right, bottom of a box, from 0 to 1


def thumbnail(image: Image.Image, side: int = SIDE) -> bytes:
    """A small JPEG of a whole image, without its metadata and colour profile.

    Parameters
    ----------
    image : PIL.Image.Image
        Upright, as `open_image` gives it. Transparency is laid on white.
    side : int
        Of the longer side, in pixels, at most; nothing is enlarged.

    Returns
    -------
    bytes
        A JPEG file.

    Raises
    ------
    ValueError
        If `side` is below 1.
    """
    if side < 1:
        raise ValueError(f"side is {side}; it must be at least 1.")
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")  # a palette cannot be scaled
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if small.mode == "RGBA":
        background = Image.new("RGBA", size, (*WHITE, 255))
        small = Image.alpha_composite(background, small)
    return _jpeg(small.convert("RGB"), QUALITY)


def thumbnails(
    files: Sequence[str | Path], side: int = SIDE, frames: Sequence[Share | None] | None = None
) -> Iterator[bytes | None]:
    """A small JPEG of each file, in order; None where it cannot be opened. `frames`: a box that is
    drawn on each, in shares of its width and height."""

    def make(path: str | Path, frame: Share | None) -> bytes | None:
        try:
            image = open_image(path, at_least=side)
        except UnseenError:
            return None
        return thumbnail(image if frame is None else _framed(image, frame, side), side)

    with ThreadPoolExecutor() as pool:
        yield from pool.map(make, files, [None] * len(files) if frames is None else frames)


def _framed(image: Image.Image, frame: Share, side: int) -> Image.Image:
    """The picture with a white box in a black one, a pixel wide each in a thumbnail of `side`."""
    left, top, right, bottom = frame
    width, height = image.width - 1, image.height - 1
    line = max(1, round(max(image.size) / side))
    pen = ImageDraw.Draw(image)
    for inset, colour in ((0, "black"), (line, "white")):
        box = (left * width + inset, top * height + inset)
        end = (max(box[0], right * width - inset), max(box[1], bottom * height - inset))
        pen.rectangle((*box, *end), outline=colour, width=line)
    return image


def _jpeg(image: Image.Image, quality: int) -> bytes:
    image.info = {}  # Pillow writes a comment that it finds here
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def sheets(thumbnails: Sequence[bytes], side: int) -> Iterator[bytes]:
    """JPEGs of cells of `side` pixels, row by row, cropped square; `per_sheet(side)` on each.

    A thumbnail that is damaged leaves a grey cell.
    """
    columns = SHEET_SIDE // side
    step = per_sheet(side)
    for start in range(0, len(thumbnails), step):
        chunk = thumbnails[start : start + step]
        rows = -(-len(chunk) // columns)
        sheet = Image.new("RGB", (min(columns, len(chunk)) * side, rows * side), GREY)
        for i, content in enumerate(chunk):
            cell = _cell(content, side)
            if cell is not None:
                sheet.paste(cell, (i % columns * side, i // columns * side))
        yield _jpeg(sheet, SHEET_QUALITY)


def per_sheet(side: int) -> int:
    """How many cells of `side` pixels a sheet has."""
    assert side % MULTIPLE == 0
    return (SHEET_SIDE // side) ** 2


def _cell(content: bytes, side: int) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG", "PNG", "WEBP"]) as image:
            image.draft("RGB", (side, side))
            rgb = image.convert("RGB")
    except OSError:
        return None
    return ImageOps.fit(rgb, (side, side), Image.Resampling.LANCZOS)
