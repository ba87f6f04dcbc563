"""A table of PostgreSQL as a collection."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unseen.encoder import Encoder
from unseen.errors import StoreError
from unseen.index.hits import Hit
from unseen.postgres.filters import Filter, parse_filter
from unseen.postgres.gallery import Gallery, Match
from unseen.postgres.table import Table
from unseen.system.printable import unescaped
from unseen.types import Floats
from unseen.web.problems import Problem

RETRY_SECONDS = 5
MOST_FILTERS = 16  # of a request
logger = logging.getLogger("unseen")


@dataclass(frozen=True)
class TableHit(Hit):
    """A picture of a table, with what the table says of it beside its embedding."""

    label: str | None = None
    score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


class GalleryTable:
    """A table that `unseen job export --postgres` made."""

    has_filters = True

    def __init__(self, url: str, table: str, encoder: Encoder) -> None:
        """Raises StoreError where there is no such table, or one of another model."""
        self._gallery = Gallery(url, Table(table))
        self._gallery.check(encoder)

    @property
    def name(self) -> str:
        """The name of the table; where the database is, is not for clients."""
        return str(self._gallery.table)

    def search(self, query: Floats, top: int, where: Sequence[str]) -> list[Hit]:
        """The nearest to a query (d,) of length 1, of those that meet every condition."""
        filters = _filters(where)
        with _answering():
            return [*map(_hit, self._gallery.search(query, top=top, filters=filters))]

    def vector(self, picture: int) -> Floats | None:
        """The embedding of a picture."""
        with _answering():
            return self._gallery.vector(picture)

    def page(self, offset: int, limit: int, where: Sequence[str]) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them, in the order in which they came."""
        filters = _filters(where)
        with _answering():
            total, matches = self._gallery.page(offset, limit, filters)
        return total, [*map(_hit, matches)]

    def address(self, picture: int) -> Path | None:
        """The file of a picture, where it is one by itself and lies on this machine."""
        with _answering():
            match = self._gallery.match(picture)
        return None if match is None or match.source is None else Path(unescaped(match.source))

    def close(self) -> None:
        """Close the connection."""
        self._gallery.close()


def _filters(where: Sequence[str]) -> list[Filter]:
    if len(where) > MOST_FILTERS:
        raise Problem(413, f"{len(where):,} filters; at most {MOST_FILTERS} are allowed.")
    return [*map(parse_filter, where)]


@contextmanager
def _answering() -> Iterator[None]:
    """What is wrong with a database is for the log, not for clients."""
    try:
        yield
    except StoreError as error:
        logger.error("database", extra={"fields": {"error": str(error)}})
        raise Problem(
            503, "the database does not answer.", code="no_database", retry_after=RETRY_SECONDS
        ) from None


def _hit(match: Match) -> TableHit:
    return TableHit(
        match.id,
        (unescaped(match.key),),
        match.cosine,
        match.width,
        match.height,
        None,
        label=match.label,
        score=match.score,
        metadata=match.metadata,
    )
