"""A picture at a URL that a client named: fetched under the server's policy."""

from __future__ import annotations

from collections.abc import Mapping

from unseen.errors import SourceError
from unseen.sources.address_policy import PublicHosts
from unseen.sources.http import fetch
from unseen.web.server.core.settings import Settings

REDIRECTS = 5


def fetch_image(url: str, settings: Settings, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes. Raises SourceError, which tells a client nothing about the network here.

    Fetches from public addresses if the settings allow them, and from the hosts that they name.
    `headers` go to the host of `url` alone.
    """
    hosts = PublicHosts(settings.url_hosts, public=settings.urls)
    limits = settings.limits
    try:
        return fetch(
            url,
            max_bytes=limits.image_bytes,
            max_seconds=limits.fetch_seconds,
            max_redirects=REDIRECTS,
            check_address=hosts.check,
            headers=headers,
        )
    except SourceError as error:
        raise SourceError(str(error)) from None  # the cause would describe the network
