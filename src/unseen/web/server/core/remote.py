"""Pictures at URLs that clients named: fetched under the server's policy, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from unseen.errors import SourceError
from unseen.sources.address_policy import PublicHosts
from unseen.web.problems import overloaded
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import Settings

REDIRECTS = 5
FETCHERS = 64  # threads, which do nothing but wait


class Fetcher:
    """Fetches from public addresses if the settings allow them, and from the hosts they name."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(FETCHERS, thread_name_prefix="unseen-fetch")
        self._free = asyncio.Semaphore(FETCHERS)

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes at a URL.

        Parameters
        ----------
        url : str
            As a client sent it.
        headers : mapping of str to str, optional
            For the host of the URL alone; never a client's own.

        Returns
        -------
        bytes
            What is there, within the limits of a picture.

        Raises
        ------
        SourceError
            Where it cannot be had; it tells a client nothing about the network here.
        Problem
            503 where too many URLs are being fetched already.
        """
        if not (self._settings.urls or self._settings.url_hosts):
            raise SourceError(
                "pictures are not fetched from URLs by this server (`unseen serve --urls` allows "
                "it); send the picture itself, as base64."
            )
        limits = self._settings.limits
        try:
            await asyncio.wait_for(self._free.acquire(), max(limits.queue_seconds, 0.001))
        except (TimeoutError, asyncio.TimeoutError):
            self._metrics.rejected.labels("fetch").inc()
            raise overloaded(limits.fetch_seconds) from None
        loop = asyncio.get_running_loop()
        with self._metrics.stage("fetch"):
            fetching = self._threads.submit(fetch_image, url, self._settings, headers)
            # A client that goes away does not end the thread: it is free when that has ended.
            fetching.add_done_callback(lambda _: loop.call_soon_threadsafe(self._free.release))
            return await asyncio.wrap_future(fetching)

    def close(self) -> None:
        """Ends the threads, as soon as each has what it waits for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def fetch_image(url: str, settings: Settings, headers: Mapping[str, str] | None) -> bytes:
    """The bytes. Raises SourceError, which tells a client nothing about the network here."""
    from unseen.sources.http import fetch  # noqa: PLC0415 - loads http and ssl

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
