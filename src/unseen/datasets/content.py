"""By what a picture is known wherever it lies: a digest of its content."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import UnseenError
from unseen.images.open import open_image, read_content
from unseen.sources.registry import part_of
from unseen.system.digest import file_chunks, sha256

DIGEST_BYTES = 16  # of the SHA-256, as in an index


def content_digest(picture: Any) -> str | None:
    """The first 16 bytes of the SHA-256 of a picture's content, in hex.

    Of a file, or of bytes, it is that of the bytes: a copy under another name has the same, and a
    picture that was encoded anew has another. Of a picture in memory, a Pillow image or an array,
    it is that of the upright RGB pixels and their size.

    Parameters
    ----------
    picture : Any
        Anything that `classify` takes.

    Returns
    -------
    str or None
        32 hex digits; None for what cannot be read, or not a second time: an address, a stream.

    Examples
    --------
    >>> from unseen.datasets.content import content_digest
    >>> file = Path("examples/cat.jpg")
    >>> content_digest(file) == content_digest(file.read_bytes())
    True
    >>> content_digest("examples/missing.jpg") is None
    True
    """
    try:
        return sha256(_chunks(picture))[:DIGEST_BYTES].hex()
    except (OSError, ValueError, TypeError, UnseenError):
        return None


def _chunks(picture: Any) -> Iterable[bytes]:
    if isinstance(picture, (str, Path)):
        if Path(picture).is_file():
            return file_chunks(Path(picture))
        if part_of(picture) is None:
            raise OSError(f"{picture} is no file")
        return [bytes(read_content(picture) or b"")]
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return [bytes(picture)]
    if hasattr(picture, "read"):
        raise OSError("a stream can be read once")
    pixels = np.asarray(open_image(picture))
    return [str(pixels.shape).encode(), pixels.tobytes()]
