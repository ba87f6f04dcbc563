"""What the gallery needs of a collection. One thread at a time calls it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from unseen.index.hits import Hit
from unseen.types import Floats


class Collection(Protocol):
    """Pictures with embeddings, by the ids of their rows."""

    @property
    def name(self) -> str:
        """What clients may know of where it lies."""

    @property
    def has_filters(self) -> bool:
        """Whether it answers with conditions on its rows."""

    def search(self, query: Floats, top: int, where: Sequence[str]) -> list[Hit]:
        """The nearest to a query (d,) of length 1, of those that meet every condition."""

    def vector(self, picture: int) -> Floats | None:
        """The embedding of a picture; None where there is none."""

    def page(self, offset: int, limit: int, where: Sequence[str]) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them."""

    def address(self, picture: int) -> str | Path | None:
        """What opens a picture: a path or an address; None where nothing does from here."""

    def close(self) -> None:
        """It is not asked again."""
