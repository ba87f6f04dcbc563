"""The index of a server. It is one SQLite connection, so one thread works with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.images.open import open_image
from unseen.index.hits import Hit
from unseen.index.index import Index
from unseen.pages import thumbnail
from unseen.system.lru import ByteLRU
from unseen.types import Floats
from unseen.web.problems import Problem
from unseen.web.server.core.encoding import in_pool
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import ServerLimits

SIDE = 256  # pixels of a thumbnail
LARGE_SIDE = 1024  # of one to look at


class IndexService:
    """Search, neighbours and thumbnails of an index."""

    def __init__(
        self, folder: Path, encoder: Encoder, limits: ServerLimits, metrics: Metrics
    ) -> None:
        """Raises StoreError where there is no index, or none with rows of this model."""
        self._index = Index(folder, create=False)
        self._view = self._index.view(encoder)
        self._limits = limits.of_a_picture()
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-index")
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="unseen-thumbnails")
        self._thumbnails: ByteLRU[tuple[int, int], bytes] = ByteLRU(limits.cache_bytes, len)
        self._view.matrix()  # brought up to date before the first search needs it

    @property
    def name(self) -> str:
        """The name of its folder; the path is not for clients."""
        return self._index.root.name

    async def close(self) -> None:
        """Ends the threads and closes the file."""
        self._renderer.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._index.close()

    async def search(self, query: Floats, top: int) -> list[Hit]:
        """The nearest to a query (d,) of length 1."""
        with self._metrics.stage("search"):
            return await in_pool(self._thread, self._search, query, top)

    def _search(self, query: Floats, top: int) -> list[Hit]:
        return self._view.search(query, top=top)

    async def vector(self, picture: int) -> Floats:
        """The embedding of one of its pictures. Problem 404."""
        vector = await in_pool(self._thread, self._view.vector, picture)
        if vector is None:
            raise _no_such(picture)
        return vector

    async def page(self, offset: int, limit: int) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them, in the order in which they were added."""
        return await in_pool(self._thread, self._view.page, offset, limit)

    async def thumbnail(self, picture: int, side: int = SIDE) -> bytes:
        """A JPEG of one of its pictures. Problem 404 where it is gone, or can no longer be read."""
        cached = self._thumbnails.get((picture, side))
        self._metrics.hit("thumbnail", cached is not None)
        if cached is not None:
            return cached
        hit = await in_pool(self._thread, self._view.hit, picture)
        if hit is None:
            raise _no_such(picture)
        jpeg = await in_pool(self._renderer, self._render, self._index.address(hit.paths[0]), side)
        if jpeg is None:
            raise _no_such(picture)
        self._thumbnails.put((picture, side), jpeg)
        return jpeg

    def _render(self, path: str | Path, side: int) -> bytes | None:
        try:
            return thumbnail(open_image(path, limits=self._limits, at_least=side // 2), side)
        except UnseenError:
            return None


def _no_such(picture: int) -> Problem:
    return Problem(404, f"there is no picture {picture} in the index.", code="no_such_picture")
