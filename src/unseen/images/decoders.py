"""Encoded content → an open Pillow image: which decoders are used, and what else is known."""

from __future__ import annotations

import io
import struct
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import IO

from PIL import Image, UnidentifiedImageError, features

from unseen.errors import ImageError
from unseen.images import raw
from unseen.images.rgb import ORIENTATION
from unseen.sources import formats

JPEG = b"\xff\xd8\xff"
# Decoders for pictures that people have; none that runs another program (EPS) or is only a stub.
FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "ICO", "JPEG2000"] + (
    ["AVIF"] if features.check("avif") else []
)


def open_encoded(file: IO[bytes], name: str, max_bytes: int) -> Image.Image:
    """The picture in a file, its pixels not decoded yet; `file` stays open as long as it is used.

    Only the head is read, but of what may be a camera's RAW file, of which it is the preview, up to
    `max_bytes`. Raises ImageError, which says what the file is instead and what to do with it; and
    whatever Pillow raises of a broken picture.
    """
    head = file.read(formats.SNIFFED_BYTES)
    file.seek(0)
    preview = None
    if raw.may_be(head):
        content = file.read(max_bytes)
        file.seek(0)
        if raw.is_raw(content):
            preview = raw.preview(content)
            file = file if preview is None else io.BytesIO(content[preview.start :])
    try:
        image = _jpeg(file) if head.startswith(JPEG) else None
        if image is None:
            image = Image.open(file, formats=[*FORMATS, *_plugins(head)])
    except UnidentifiedImageError:
        known = ", ".join(f.lower() for f in FORMATS)
        reason = formats.advice(head, name) or f"not a picture of a known format ({known})"
        raise ImageError(f"{name}: {reason}.") from None
    if preview is not None and preview.orientation != 1:
        image.getexif().setdefault(ORIENTATION, preview.orientation)
    return image


def _jpeg(file: IO[bytes]) -> Image.Image | None:
    """A JPEG, opened without Pillow's other decoders, which `Image.open` imports at its first call:
    0.005 s of a process that answers once. None: `Image.open` is to say what is wrong with it."""
    from PIL.JpegImagePlugin import jpeg_factory  # noqa: PLC0415 - only where there is a JPEG

    try:
        return jpeg_factory(file)  # type: ignore[no-any-return, no-untyped-call, unused-ignore]
    except (SyntaxError, IndexError, TypeError, struct.error):  # as Image.open expects them
        file.seek(0)
        return None


def _plugins(head: bytes) -> list[str]:
    """The formats of Pillow's plugins that this content needs, registered; [] where none does."""
    row = formats.of_content(head, formats.WITH_LIBRARIES)
    return [] if row is None or not row.readable else _registered(row.libraries)


@cache
def _registered(libraries: tuple[str, ...]) -> list[str]:
    """The names of the formats that the first of these libraries which is installed brings."""
    library = next(library for library in libraries if find_spec(library))
    before = {*Image.OPEN}
    module = import_module(library)  # some register themselves
    if hasattr(module, "register_heif_opener"):
        module.register_heif_opener()
    return sorted({*Image.OPEN} - before)
