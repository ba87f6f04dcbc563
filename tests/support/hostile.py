"""Makes broken and odd pictures by the hundred, each from a fixed seed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
SIZE = (61, 43)


def picture(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(format: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def truncated() -> Iterator[tuple[str, bytes]]:
    for format in FORMATS:
        whole = encoded(format)
        for part in (1, 5, 9, 20, 35, 50, 65, 80, 90, 97):
            yield f"{format} cut at {part} %", whole[: max(1, len(whole) * part // 100)]
        yield f"{format} without its last byte", whole[:-1]


def flipped() -> Iterator[tuple[str, bytes]]:
    for format in FORMATS:
        whole = encoded(format)
        for seed in range(22):
            rng = np.random.default_rng(seed)
            broken = bytearray(whole)
            for at in rng.integers(0, len(whole), 1 + seed % 6):
                broken[at] ^= int(rng.integers(1, 256))
            yield f"{format} with flips {seed}", bytes(broken)


def strange() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "zeros", b"\0" * 1000
    yield "text", b"this is no picture" * 50
    yield "html", b"<!doctype html><html><body>404</body></html>"
    yield "a zip", b"PK\3\4" + b"\0" * 100
    yield "a pickle", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94."
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for format in FORMATS:
        yield f"{format} signature alone", encoded(format)[:12]
        yield f"{format} behind rubbish", b"rubbish" + encoded(format)
    for size in [(60_000, 60_000), (20_000, 9_000), (2_000_000, 100), (1, 2**31 - 1)]:
        yield f"PNG bomb {size}", png_bomb(*size)
        yield f"BMP bomb {size}", bmp_bomb(*size)
        yield f"GIF bomb {size}", gif_bomb(min(size[0], 65535), min(size[1], 65535))
        yield f"PPM bomb {size}", f"P6 {size[0]} {size[1]} 255\n".encode() + b"\0" * 99
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 5_000_000, zip=True)
    yield "PNG with a huge compressed text", encoded("PNG", pnginfo=text)
    for n in range(6):
        yield (
            f"JPEG with broken EXIF {n}",
            encoded("JPEG", exif=b"Exif\0\0" + b"MM\0*"[n % 4 :] + bytes(range(40 + n))),
        )
        yield f"PNG with broken EXIF {n}", encoded("PNG", exif=b"MM\0*\0\0\0\x08\0\xff" + bytes(n))
    yield "JPEG with a broken profile", encoded("JPEG", icc_profile=b"\xff" * 3000)
    yield "PNG with a broken profile", encoded("PNG", icc_profile=b"\xff" * 3000)
    frames = [picture(seed=s) for s in range(3)]
    for format in ("GIF", "WEBP", "TIFF"):
        whole = encoded(format, frames[0], save_all=True, append_images=frames[1:])
        yield f"animated {format}", whole
        yield f"animated {format}, its end broken", whole[: len(whole) * 2 // 3]


def good() -> Iterator[tuple[str, bytes, tuple[int, int]]]:
    """Odd but right: name, bytes, and the size that must come out."""
    for orientation in range(1, 9):
        size = SIZE[::-1] if orientation >= 5 else SIZE
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield f"{format} turned {orientation}", encoded(format, exif=exif(orientation)), size
    deep = Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 257)
    modes = {mode: picture().convert(mode) for mode in ("L", "LA", "P", "RGBA", "1", "RGB")}
    for mode, image in {**modes, "I;16": deep}.items():
        for format in ("PNG", "TIFF"):
            yield f"{mode} {format}", encoded(format, image), SIZE
    for mode in ("I", "F"):
        yield f"{mode} TIFF", encoded("TIFF", picture().convert("L").convert(mode)), SIZE
    yield "CMYK JPEG", encoded("JPEG", picture().convert("CMYK")), SIZE
    yield "progressive JPEG", encoded("JPEG", progressive=True), SIZE
    yield "a JPEG named otherwise", encoded("JPEG"), SIZE
    for size in [(1, 1), (1, 300), (300, 1), (2, 2)]:
        yield f"PNG {size}", encoded("PNG", picture(size)), size


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def cut_png(width: int, height: int, padding: int = 0) -> bytes:
    """It declares a picture, and has its first bytes. `padding`: bytes of a comment before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + (_chunk(b"tEXt", b"comment\0" + b"x" * padding) if padding else b"")
        + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _chunk(b"IEND", b"")
    )


def cut_webp(width: int, height: int) -> bytes:
    """Some hundred bytes that declare a picture, and end."""
    content = bytearray(encoded("WEBP"))
    struct.pack_into("<HH", content, content.index(b"VP8 ") + 14, width, height)
    return bytes(content)


def thin_png(width: int, height: int) -> bytes:
    """Black, whole, and one byte in a thousand of its pixels."""
    packer = zlib.compressobj(9)
    left = (1 + 3 * width) * height
    rows = b"".join(packer.compress(bytes(min(left - n, 1 << 20))) for n in range(0, left, 1 << 20))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", rows + packer.flush())
        + _chunk(b"IEND", b"")
    )


def bmp_bomb(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + b"\0" * 64


def gif_bomb(width: int, height: int) -> bytes:
    screen = struct.pack("<HH", width, height)
    return (
        b"GIF89a"
        + screen
        + b"\x80\0\0"
        + b"\0\0\0\xff\xff\xff"
        + b",\0\0\0\0"
        + screen
        + b"\0\x02\x02D\x01\0;"
    )
