"""A picture at a URL that a client named: fetched under the server's policy."""

from __future__ import annotations

from unseen.errors import SourceError
from unseen.server.settings import Settings


def fetched(url: str, settings: Settings) -> bytes:
    """The bytes. Raises SourceError."""
    raise SourceError("not yet")
