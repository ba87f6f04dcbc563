"""Small videos, encoded here; tests that need them are skipped where PyAV is not installed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shapes

av: Any = pytest.importorskip("av", reason="PyAV is not installed: pip install unseen[video]")
av.logging.set_level(av.logging.PANIC)

Picture = NDArray[np.uint8]
MILLISECONDS = Fraction(1, 1000)
PIXELS = {"mjpeg": "yuvj420p"}  # and of others yuv420p


def encode(
    path: Path,
    pictures: Iterable[Picture],
    *,
    rate: int = 10,
    codec: str = "mpeg4",
    gop: int = 10,
    b_frames: int = 0,
    times: Sequence[int] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """A video of RGB pictures; `times`: of each, in milliseconds, else by the rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        context = stream.codec_context
        stream.pix_fmt = PIXELS.get(codec, "yuv420p")
        context.gop_size, context.max_b_frames = gop, b_frames
        context.bit_rate = 4_000_000
        if codec != "libvpx":
            context.options = {"sc_threshold": "1000000000"}  # no keyframes but those of the group
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if times is not None:
            stream.time_base = context.time_base = MILLISECONDS
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path) -> Path:
    """The same MP4, to be shown turned clockwise by a quarter: its matrix is rewritten."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(">9i", content, matrix, 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def plain(value: int, height: int = 48, width: int = 64) -> Picture:
    """Grey."""
    return np.full((height, width, 3), value, np.uint8)


def counting(count: int, height: int = 48, width: int = 64) -> list[Picture]:
    """Pictures whose grey says their number: 8, 16, 24, …, from 0 again after 30 of them."""
    return [plain(8 + 8 * (number % 30), height, width) for number in range(count)]


def number_of(pixels: Picture) -> int:
    """Which of `counting` a picture is."""
    return round((float(pixels.mean()) - 8) / 8)


def shape(label: str, seed: int, side: int = 96) -> Picture:
    """A drawn shape, as the small trained CLIP knows them."""
    return np.asarray(shapes.draw(shapes.scene(label), seed, side))


def story(parts: Sequence[tuple[str, int]], side: int = 96) -> list[Picture]:
    """Labels one after another, each for so many pictures, every picture drawn anew."""
    return [
        shape(label, 1000 * number + i, side)
        for number, (label, count) in enumerate(parts)
        for i in range(count)
    ]


def gif(path: Path, pictures: Iterable[Picture], milliseconds: Sequence[int] | int) -> Path:
    """An animated GIF, WebP or PNG, by the suffix."""
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options)
    return path
