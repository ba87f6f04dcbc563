"""A picture at a URL that a client named: fetched under the server's policy."""

from __future__ import annotations

from collections.abc import Mapping

from unseen.errors import SourceError
from unseen.server.settings import Settings


def fetched(url: str, settings: Settings, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes; `headers` go to the origin of that URL alone. Raises SourceError."""
    raise SourceError("not yet")
