"""One image in any form → upright RGB, or an error that says why not.

Pictures are hostile until proven otherwise: sizes are checked before anything is decoded, only the
decoders in `FORMATS` are used, and whatever Pillow raises comes out as `ImageError`.
"""

from __future__ import annotations

import base64
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.errors import ImageError, SourceError, UnseenError
from unseen.images.decoders import open_encoded
from unseen.images.in_memory import file_of
from unseen.images.limits import DEFAULT_LIMITS, Limits
from unseen.images.rgb import ORIENTATION, SIDEWAYS, to_rgb, to_uint8, upright_rgb
from unseen.sources.containers.container_file import LIBRARIES
from unseen.sources.files import holds
from unseen.sources.frame_names import frame_of
from unseen.sources.item import name_of
from unseen.sources.local import local_path, no_such_file
from unseen.sources.registry import item_of, part_of
from unseen.system.regular_file import open_regular

if TYPE_CHECKING:
    from unseen.types import AddressCheck, ImageLike

FULL_SIZE = "unseen full size"  # in the info of what came out smaller than it is
DRAFT_RATIO = 3  # times the size that is wanted: at 2, cosines to full decoding fell to 0.995
# Of pictures that are decoded at once; those of a phone or a usual camera need not wait. A few
# hundred bytes can declare 100 million pixels, which take 400 MB until the end turns out to be cut.
SMALL_PIXELS = 25_000_000
LARGE_PIXELS_AT_ONCE = 100_000_000
DEFLATE_RATIO = 1032  # no byte of a PNG holds more: https://zlib.net/zlib_tech.html
PNG_BITS = {"RGB": 24, "RGBA": 32, "LA": 16, "I;16": 16}  # of a pixel, at least; else 1
SIGNATURES = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"P1", b"P2", b"P3",
    b"P4", b"P5", b"P6", b"\0\0\1\0", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51",
)  # fmt: skip
# EXIF tags, and the folder of tags that a camera fills.
CHANGED, TAKEN, EXIF_FOLDER = 0x0132, 0x9003, 0x8769
EXIF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")


def open_image(
    source: ImageLike,
    *,
    limits: Limits = DEFAULT_LIMITS,
    at_least: int | None = None,
    check_address: AddressCheck | None = None,
    content: bytes | memoryview | None = None,
) -> Image.Image:
    """One image in any form → upright RGB; the same pixels whatever form it came in.

    EXIF orientation is applied, transparency laid on white, 16-bit grey scaled to 8, and the first
    frame of an animation taken.

    Parameters
    ----------
    source : ImageLike
        A path, an http(s) URL, an address of a store, the name of an item in an archive, a table or
        a document (`photos.zip!/a.jpg`, `table.parquet#row=7`, `scan.pdf#page=2`), a data URI, a
        base64 string, bytes, a binary file object, a Pillow image, or an array of the shape
        (height, width), (height, width, 1), (height, width, 3) or (height, width, 4): uint8,
        uint16, bool, or floats in 0…1.
    limits : Limits
        What the image may cost.
    at_least : int, optional
        The short side, in pixels, that is needed later. A JPEG is then decoded at a fraction of its
        size, but at three times that side or more.
    check_address : callable, optional
        Called with host, port and address before a URL is fetched; see `unseen.sources.http.fetch`.
    content : bytes, optional
        What `read_content` gave for `source`, which then is not read again.

    Returns
    -------
    PIL.Image.Image
        8-bit RGB. It shares nothing with `source`.

    Raises
    ------
    SourceError
        If there is nothing to read.
    ImageError
        If it is not an image that can or may be opened.

    Examples
    --------
    >>> open_image("examples/cat.jpg").size
    (1000, 750)
    """
    name = name_of(source, 0)
    with no_other_errors(name):
        if isinstance(source, (str, os.PathLike)):
            frame = frame_of(source)
            source = source if frame is None else _frame(*frame, source)
        if isinstance(source, Image.Image):
            _check_pixels(source.size, limits, name)
            upright = upright_rgb(source)
            return source.copy() if upright is source else upright
        if isinstance(source, np.ndarray):
            return _from_array(source, limits, name)
        if content is None:
            content = _read(source, limits, name, check_address)
        return _decode(content, limits, name, at_least)


def _frame(video: str, seconds: float, source: Any) -> Any:
    """The picture `clip.mp4 at 00:03:12`; `source` itself where there is no such video."""
    path = local_path(video)
    if not holds(os.path.isfile, path):
        return source
    from unseen.sources.video import frame_at  # noqa: PLC0415 - few pictures are such

    return frame_at(path, seconds)


def read_content(
    source: ImageLike, *, limits: Limits = DEFAULT_LIMITS
) -> bytes | memoryview | None:
    """The bytes of a picture, as `open_image` reads them; None for one that is decoded already.

    Raises SourceError and ImageError.
    """
    if isinstance(source, (Image.Image, np.ndarray)):
        return None
    if isinstance(source, (str, os.PathLike)) and frame_of(source) is not None:
        return None
    name = name_of(source, 0)
    with no_other_errors(name):
        return _read(source, limits, name, None)


@contextmanager
def no_other_errors(name: str) -> Iterator[None]:
    """Pillow raises nearly everything on a broken file, and warns of the rest."""
    try:
        with _PILLOW_QUIET:
            yield
    except UnseenError:
        raise
    except MemoryError as error:
        error.__traceback__ = None  # as below
        raise ImageError(f"{name}: not enough memory to open it.") from None
    except Exception as error:
        # Its frames hold the pixels, and from Python 3.12 on a cycle through contextlib's frame
        # would keep both until the next garbage collection.
        error.__traceback__ = None
        raise ImageError(
            f"{name}: the picture is broken ({type(error).__name__}: {error})."
        ) from None


class _Quiet:
    """Pillow's warnings off while any thread decodes.

    `warnings.catch_warnings` alone is not safe in threads: the last to leave would put back what
    the first had changed, and switch warnings off for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_PILLOW_QUIET = _Quiet()


class _LargePictures:
    """So many pixels of large pictures at once, whatever the number of threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pixels = 0

    @contextmanager
    def room_for(self, pixels: int) -> Iterator[None]:
        if pixels <= SMALL_PIXELS:
            yield
            return
        with self._condition:
            # One is always let in, however large: limits are checked elsewhere.
            self._condition.wait_for(
                lambda: self._pixels == 0 or self._pixels + pixels <= LARGE_PIXELS_AT_ONCE
            )
            self._pixels += pixels
        try:
            yield
        finally:
            with self._condition:
                self._pixels -= pixels
                self._condition.notify_all()


_LARGE_PICTURES = _LargePictures()


@dataclass(frozen=True)
class Facts:
    """What a file says of its picture: upright size in pixels, and the EXIF time in ISO 8601."""

    width: int | None = None
    height: int | None = None
    taken: str | None = None


def describe(picture: Path | bytes | memoryview) -> Facts:
    """The facts of a picture, a file or what one holds, from its head; empty where it is broken."""
    try:
        name = name_of(picture, 0)
        with (
            _PILLOW_QUIET,
            open_regular(picture) if isinstance(picture, Path) else file_of(picture) as file,
            open_encoded(file, name, DEFAULT_LIMITS.max_bytes) as image,
        ):
            width, height = image.size
            exif = image.getexif()
            if exif.get(ORIENTATION, 1) in SIDEWAYS:
                width, height = height, width
            times = (exif.get_ifd(EXIF_FOLDER).get(TAKEN), exif.get(CHANGED))
            taken = next((t for t in map(_iso_time, times) if t), None)
            return Facts(width, height, taken)
    except Exception:  # Pillow lets parsing errors of every kind through
        return Facts()


def upright_size(content: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Width and height of the picture in these bytes, as its EXIF orientation turns it; from its
    head, so nothing is decoded. Raises ImageError."""
    name = name_of(content, 0)
    with no_other_errors(name), open_encoded(file_of(content), name, len(content)) as image:
        _check_pixels(image.size, limits, name)
        return _upright(image.size, image)


def suffix_of(content: bytes | memoryview) -> str:
    """The suffix of a file with such a content: .jpg, .png and so on; "" where it is no picture."""
    try:
        with (
            _PILLOW_QUIET,
            open_encoded(file_of(content), "", DEFAULT_LIMITS.max_bytes) as image,
        ):
            kind = (image.format or "").lower()
    except Exception:  # as above
        return ""
    return {"jpeg": ".jpg", "mpo": ".jpg", "jpeg2000": ".jp2", "tiff": ".tif"}.get(kind, f".{kind}")


def _iso_time(value: Any) -> str | None:
    """EXIF's 2024:05:06 07:08:09 → 2024-05-06T07:08:09."""
    match = EXIF_TIME.match(value) if isinstance(value, str) else None
    return "{}-{}-{}T{}".format(*match.groups()) if match else None


# reading: any source → bytes


def _read(
    source: Any, limits: Limits, name: str, check_address: AddressCheck | None
) -> bytes | memoryview:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _check_bytes(memoryview(source).cast("B"), limits, name)
    if isinstance(source, str):
        return _read_text(source, limits, name, check_address)
    if isinstance(source, os.PathLike):
        return _read_file(Path(local_path(os.fspath(source))), limits, name)
    if hasattr(source, "read"):
        content = source.read(limits.max_bytes + 1)
        if not isinstance(content, bytes):
            raise ImageError(f"{name}: open the file in binary mode ('rb'); it gave text.")
        return _check_bytes(content, limits, name)
    raise SourceError(
        f"{type(source).__name__} is not a picture; give a path, a URL, bytes, a file object, a "
        "PIL image or a numpy array."
    )


def _read_text(
    source: str, limits: Limits, name: str, check_address: AddressCheck | None
) -> bytes | memoryview:
    scheme = source[:8].lower()
    if check_address is None and "://" in source[:16]:
        content = _read_elsewhere(source)
        if content is not None:
            return _read(content, limits, name, None)
    if scheme.startswith(("http://", "https://")):
        from unseen.sources import http  # noqa: PLC0415 - http and ssl cost 30 ms of every start

        if check_address is None:
            return _fetched_for_use(source, limits)
        return http.fetch(  # somebody asks for one picture, and answers for it
            source,
            max_bytes=limits.max_bytes,
            max_seconds=limits.max_seconds,
            max_redirects=limits.max_redirects,
            check_address=check_address,
        )
    if scheme.startswith("data:"):
        return _check_bytes(from_data_uri(source, name), limits, name)
    path = local_path(source)
    try:
        is_file = 0 < len(path) < 4096 and Path(path).exists()
    except ValueError:  # a null byte
        is_file = False
    if is_file:
        return _read_file(Path(path), limits, name)
    item = item_of(path)
    if item is not None:
        return _read(item, limits, name, None)
    content = from_base64(source)
    if content is not None and content.startswith(SIGNATURES):
        return _check_bytes(content, limits, name)
    raise no_such_file(source)


def _fetched_for_use(address: str, limits: Limits) -> bytes:
    from unseen.sources import http  # noqa: PLC0415 - http and ssl cost 30 ms of every start

    answer = http.fetch_for_use(
        address,
        max_bytes=limits.max_bytes,
        max_seconds=limits.max_seconds,
        max_redirects=limits.max_redirects,
    )
    return answer.body or b""


def _read_elsewhere(address: str) -> Any:
    """An item of a file in a store or on a server, or an object of a store; None for the others."""
    if address.partition("://")[0].lower() in LIBRARIES and part_of(address) is None:
        from unseen.sources.containers.object_store import stored_object  # noqa: PLC0415 - an extra

        return stored_object(address)
    return item_of(address)


def _read_file(path: Path, limits: Limits, name: str) -> bytes | memoryview:
    try:
        with open_regular(path) as file:
            return _check_bytes(file.read(limits.max_bytes + 1), limits, name)
    except (FileNotFoundError, NotADirectoryError) as error:
        item = item_of(path)
        if item is not None:
            return _read(item, limits, name, None)
        if isinstance(error, NotADirectoryError):
            raise SourceError(f"{name}: cannot be read: {error.strerror}.") from None
        reason = error.strerror if path.is_symlink() else "there is no such file"
        raise SourceError(f"{name}: {reason}.") from None
    except IsADirectoryError:
        raise SourceError(f"{name}: this is a folder; classify_many takes folders.") from None
    except OSError as error:
        raise SourceError(f"{name}: cannot be read: {error.strerror or error}.") from None


def from_data_uri(source: str, name: str) -> bytes:
    """The bytes in a `data:` URI. Raises ImageError; `name` is what to call it there."""
    head, comma, body = source.partition(",")
    if not comma:
        raise ImageError(f"{name}: this data URI has no comma before its data.")
    is_base64 = head.lower().endswith(";base64")
    content = from_base64(body) if is_base64 else unquote_to_bytes(body)
    if content is None:
        raise ImageError(f"{name}: the base64 of this data URI is broken.")
    return content


def from_base64(text: str) -> bytes | None:
    """The bytes of a base64 string; None when it is not one.

    Line breaks, missing padding and the URL-safe alphabet are allowed, nothing else is.
    """
    with suppress(ValueError):
        return base64.b64decode(text, validate=True)  # the usual kind, ten times as fast
    text = re.sub(r"\s+", "", text).replace("-", "+").replace("_", "/").rstrip("=")
    with suppress(ValueError):
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    return None


def _check_bytes(content: bytes | memoryview, limits: Limits, name: str) -> bytes | memoryview:
    if len(content) > limits.max_bytes:
        raise ImageError(
            f"{name}: more than {limits.max_bytes:,} bytes; raise max_bytes to allow it."
        )
    if len(content) == 0:
        raise ImageError(f"{name}: it is empty.")
    return content


# decoding: bytes → upright RGB


def _check_pixels(size: tuple[int, int], limits: Limits, name: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: the picture is empty ({width} × {height} pixels).")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{name}: {width} × {height} is more than {limits.max_pixels:,} pixels; "
            "raise max_pixels to allow it."
        )
    if max(size) > limits.max_side:
        raise ImageError(
            f"{name}: {width} × {height}: a side has more than {limits.max_side:,} "
            "pixels; raise max_side to allow it."
        )


def _decode(
    content: bytes | memoryview, limits: Limits, name: str, at_least: int | None
) -> Image.Image:
    try:
        image = open_encoded(file_of(content), name, len(content))
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name}: it declares far more than {limits.max_pixels:,} pixels."
        ) from None
    with image:
        _check_pixels(image.size, limits, name)
        size, full_pixels = image.size, image.width * image.height
        if image.format == "PNG":
            _check_png_length(len(content), image, name)
        if at_least is not None and image.format in ("JPEG", "MPO"):
            side = DRAFT_RATIO * at_least
            image.draft(None, (side, side))  # the smallest of 1, 1/2, 1/4, 1/8 that is no smaller
        is_reduced = image.width * image.height != full_pixels
        # A progressive JPEG is held whole, however small it comes out.
        pixels = full_pixels if image.info.get("progressive") else image.width * image.height
        with _LARGE_PICTURES.room_for(pixels):
            try:
                image.load()
            except OSError as error:
                if "truncated" in str(error):
                    raise ImageError(f"{name}: the file is cut short.") from None
                raise
            _check_pixels(image.size, limits, name)  # a frame may be larger than the file said
            upright = upright_rgb(image)
            if is_reduced:
                upright.info[FULL_SIZE] = _upright(size, image)
            return upright


def full_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what `open_image` opened, although it came out smaller."""
    size: tuple[int, int] = image.info.get(FULL_SIZE, image.size)
    return size


def _upright(size: tuple[int, int], image: Image.Image) -> tuple[int, int]:
    width, height = size
    sideways = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
    return (height, width) if sideways else (width, height)


def _check_png_length(length: int, image: Image.Image, name: str) -> None:
    """A few bytes that declare a large picture are refused before there is memory for it."""
    pixels = image.width * image.height
    if length * DEFLATE_RATIO < pixels * PNG_BITS.get(image.mode, 1) // 8:
        raise ImageError(f"{name}: the file is cut short.")


def _from_array(array: NDArray[Any], limits: Limits, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"an array of shape {array.shape} is not a picture; give height × width, with 1, 3 or "
            "4 channels last."
        )
    _check_pixels((array.shape[1], array.shape[0]), limits, name)
    return to_rgb(Image.fromarray(to_uint8(array)))
