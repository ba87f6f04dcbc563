"""What one image may cost; without the libraries that open one, so that options are light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one image may cost; images are taken to be hostile.

    Parameters
    ----------
    max_bytes : int
        Of the encoded image: a file, an answer of a server, a member of an archive.
    max_pixels : int
        Declared or decoded. Pillow itself refuses 179 million.
    max_seconds : float
        For a URL: looking its name up, redirects and the last byte included.
    max_redirects : int
        For a URL.
    max_side : int
        Of the width, and of the height. The default is what a JPEG or a GIF can have; rows and
        filters of a longer one cost gigabytes, however few its pixels are.

    Examples
    --------
    >>> Limits(max_pixels=10_000_000).max_pixels
    10000000
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_seconds: float = 30.0
    max_redirects: int = 5
    max_side: int = 65_535


DEFAULT_LIMITS = Limits()
