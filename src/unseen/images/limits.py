"""What a picture may cost; without the libraries that open one, so that options are light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a picture may cost."""

    max_bytes: int = 64 * 1024 * 1024  # encoded
    max_pixels: int = 100_000_000  # declared or decoded; Pillow itself refuses 179 million
    max_seconds: float = 30.0  # a URL, in all
    max_redirects: int = 5


DEFAULT_LIMITS = Limits()
