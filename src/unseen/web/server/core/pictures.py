"""A picture as a client sends it → bytes, an embedding, or an error. No path is ever opened."""

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
WHOLE_BASE64 = 32  # characters, of whole groups of four: no file of a picture is shorter
UNIT = 1e-2  # how far from 1 the length of an embedding may lie


@dataclass(frozen=True)
class Picture:
    """One picture of a request, not yet looked at: exactly one of content, text and embedding."""

    name: str
    content: bytes | None = None
    text: str | None = None  # base64, a data URI or a URL
    embedding: str | None = None  # base64 of little-endian float32
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # to fetch its URL with

    @property
    def url(self) -> str | None:
        """The URL to fetch, if it is one."""
        return self.text if self.text is not None and URL.match(self.text) else None


def content_of(picture: Picture) -> bytes:
    """The bytes of a picture that is no URL. Raises ImageError."""
    if picture.content is not None:
        return picture.content
    text = picture.text or ""
    if text[:5].lower() == "data:":
        return from_data_uri(text, picture.name)
    return _decoded(text, picture.name)


def is_of_a_picture(text: str) -> bool:
    """Whether what was given as a text is a data URI, or base64 that begins as pictures do."""
    if text[:5].lower() == "data:":
        return True
    start = from_base64(text[:WHOLE_BASE64]) if len(text) >= WHOLE_BASE64 else None
    return start is not None and start.startswith(SIGNATURES)


def _decoded(text: str, name: str) -> bytes:
    content = from_base64(text)
    if content is None:
        raise ImageError(
            f"{name}: {shortened(text)!r} is no base64 of a picture, no data URI and no URL."
        )
    return content


def embedding_of(text: str, dimension: int, name: str) -> NDArray[np.float32]:
    """The embedding (dimension,) that a client kept. Raises ImageError for any other thing."""
    content = _decoded(text, name)
    if len(content) != 4 * dimension:
        raise ImageError(
            f"{name}: an embedding of this model is {dimension} float32, {4 * dimension} bytes, "
            f"and this one has {len(content)}; encode the picture with POST /v1/embed."
        )
    vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= UNIT:  # NaN fails too
        raise ImageError(f"{name}: an embedding has the length 1, and this one {length:.3g}.")
    return np.asarray(vector / np.float32(length), dtype=np.float32)
