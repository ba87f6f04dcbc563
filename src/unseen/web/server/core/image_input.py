"""A picture as a client sends it → bytes or an embedding. No path is ever opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ImageError
from unseen.images.open import SIGNATURES, from_base64, from_data_uri
from unseen.sources.item import shortened

URL = re.compile(r"https?://", re.IGNORECASE)
PROBE_CHARS = 32  # of base64, whole groups of four: no image file is shorter
LENGTH_TOLERANCE = 1e-2  # how far from 1 the length of an embedding may lie


@dataclass(frozen=True)
class ImageInput:
    """One picture of a request, not yet decoded: exactly one of content, text and embedding."""

    name: str
    content: bytes | memoryview | None = None  # a view is a part of a request's body
    text: str | None = None  # base64, a data URI or a URL
    embedding: str | None = None  # base64 of little-endian float32
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # to fetch its URL with

    @property
    def url(self) -> str | None:
        """The URL to fetch, if it is one."""
        return self.text if self.text is not None and URL.match(self.text) else None


def content_of(picture: ImageInput) -> bytes | memoryview:
    """The bytes of a picture that is not a URL; no copy of them. Raises ImageError."""
    if picture.content is not None:
        return picture.content
    text = picture.text or ""
    if text[:5].lower() == "data:":
        return from_data_uri(text, picture.name)
    return _decoded(text, picture.name)


def is_image_text(text: str) -> bool:
    """Whether a text is a data URI, or base64 that begins as image files do."""
    if text[:5].lower() == "data:":
        return True
    start = from_base64(text[:PROBE_CHARS]) if len(text) >= PROBE_CHARS else None
    return start is not None and start.startswith(SIGNATURES)


def _decoded(text: str, name: str) -> bytes:
    content = from_base64(text)
    if content is None:
        raise ImageError(
            f"{name}: {shortened(text)!r} is not base64 of an image, a data URI or a URL."
        )
    return content


def embedding_of(text: str, dimension: int, name: str) -> NDArray[np.float32]:
    """The embedding (dimension,) that a client sends back. Raises ImageError."""
    content = _decoded(text, name)
    if len(content) != 4 * dimension:
        raise ImageError(
            f"{name}: the embedding has {len(content)} bytes; one of this model has "
            f"{4 * dimension} ({dimension} float32). Encode the picture with POST /v1/embed."
        )
    vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= LENGTH_TOLERANCE:  # NaN fails too
        raise ImageError(f"{name}: the embedding has the length {length:.3g}; it must be 1.")
    return np.asarray(vector / np.float32(length), dtype=np.float32)
