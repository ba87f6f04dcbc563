"""The pictures that a server searches and shows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.images.open import open_image
from unseen.index.hits import Hit
from unseen.pages import thumbnail
from unseen.system.lru import ByteLRU
from unseen.types import Floats
from unseen.web.problems import Problem
from unseen.web.server.core.collections.collection import Collection
from unseen.web.server.core.collections.folder import IndexedFolder
from unseen.web.server.core.encoding import in_pool
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import ServerLimits, Settings

SIDE = 256  # pixels of a thumbnail
LARGE_SIDE = 1024  # of one to look at


class IndexService:
    """Search, neighbours and thumbnails of a collection, which one thread works with."""

    def __init__(self, collection: Collection, limits: ServerLimits, metrics: Metrics) -> None:
        self._collection = collection
        self._limits = limits.of_a_picture()
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-index")
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="unseen-thumbnails")
        self._thumbnails: ByteLRU[tuple[int, int], bytes] = ByteLRU(limits.cache_bytes, len)

    @property
    def name(self) -> str:
        """What clients may know of where the pictures lie."""
        return self._collection.name

    @property
    def has_filters(self) -> bool:
        """Whether it answers with conditions on its rows."""
        return self._collection.has_filters

    async def close(self) -> None:
        """Ends the threads and closes the collection."""
        self._renderer.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._collection.close()

    async def search(self, query: Floats, top: int, where: Sequence[str] = ()) -> list[Hit]:
        """The nearest to a query (d,) of length 1, of those that meet every condition."""
        with self._metrics.stage("search"):
            return await in_pool(self._thread, self._collection.search, query, top, where)

    async def vector(self, picture: int) -> Floats:
        """The embedding of one of its pictures. Problem 404."""
        vector = await in_pool(self._thread, self._collection.vector, picture)
        if vector is None:
            raise _no_such(picture)
        return vector

    async def page(
        self, offset: int, limit: int, where: Sequence[str] = ()
    ) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them, in the order in which they were added."""
        return await in_pool(self._thread, self._collection.page, offset, limit, where)

    async def thumbnail(self, picture: int, side: int = SIDE) -> bytes:
        """A JPEG of one of its pictures. Problem 404 where it is gone, or can no longer be read."""
        cached = self._thumbnails.get((picture, side))
        self._metrics.hit("thumbnail", cached is not None)
        if cached is not None:
            return cached
        address = await in_pool(self._thread, self._collection.address, picture)
        if address is None:
            raise _no_such(picture)
        jpeg = await in_pool(self._renderer, self._render, address, side)
        if jpeg is None:
            raise _no_such(picture)
        self._thumbnails.put((picture, side), jpeg)
        return jpeg

    def _render(self, address: str | Path, side: int) -> bytes | None:
        try:
            return thumbnail(open_image(address, limits=self._limits, at_least=side // 2), side)
        except UnseenError:
            return None


def open_collection(settings: Settings, encoder: Encoder) -> Collection | None:
    """The collection of a server, if it has one. StoreError where it cannot be used."""
    if settings.postgres is not None:
        from unseen.web.server.core.collections.table import (  # noqa: PLC0415 - an extra
            GalleryTable,
        )

        return GalleryTable(settings.postgres, settings.table, encoder)
    return None if settings.index is None else IndexedFolder(settings.index, encoder)


def _no_such(picture: int) -> Problem:
    return Problem(404, f"there is no picture {picture} in the index.", code="no_such_picture")
