"""A folder's index as a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unseen.encoder import Encoder
from unseen.errors import SourceError
from unseen.index.hits import Hit
from unseen.index.index import Index
from unseen.types import Floats


class IndexedFolder:
    """An index, seen by one model. It is one SQLite connection, so one thread works with it."""

    has_filters = False

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        """Raises StoreError where there is no index, or none with rows of this model."""
        self._index = Index(folder, create=False)
        self._view = self._index.view(encoder)
        self._view.matrix()  # brought up to date before the first search needs it

    @property
    def name(self) -> str:
        """The name of its folder; the path is not for clients."""
        return self._index.root.name

    def search(self, query: Floats, top: int, where: Sequence[str]) -> list[Hit]:
        """The nearest to a query (d,) of length 1."""
        _refuse(where)
        return self._view.search(query, top=top)

    def vector(self, picture: int) -> Floats | None:
        """The embedding of a picture."""
        return self._view.vector(picture)

    def page(self, offset: int, limit: int, where: Sequence[str]) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them, in the order in which they were added."""
        _refuse(where)
        return self._view.page(offset, limit)

    def address(self, picture: int) -> str | Path | None:
        """What opens a picture: the first of its files, or its place in an archive or a store."""
        hit = self._view.hit(picture)
        return None if hit is None else self._index.address(hit.paths[0])

    def close(self) -> None:
        """Close the file."""
        self._index.close()


def _refuse(where: Sequence[str]) -> None:
    if where:
        raise SourceError("an index has no filters; a server with --postgres has.")
