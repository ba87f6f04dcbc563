"""What a search or a grouping of an index gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from unseen.sources.containers.container_file import resolve

if TYPE_CHECKING:
    from unseen.images.tiling import PixelBox
    from unseen.types import Floats

COLUMNS = ("", "files", "cosine", "pixels", "taken")  # of the table in a notebook
DRAWN_FILES = 3  # of a picture that has many, in a notebook


@dataclass(frozen=True)
class Hit:
    """A picture that a search or a grouping gives.

    Parameters
    ----------
    id : int
        Of its row in the table `picture`.
    paths : tuple of str
        Every file with this content, as the index names it.
    cosine : float
        To the query, the centre of the cluster, or the first of the group.
    width, height : int or None
        Upright, in pixels.
    taken : str or None
        EXIF time, ISO 8601 without a zone.
    tile : (int, int, int, int), optional
        Of a search in tiles, the one that is nearer than the whole picture: left, top, right and
        bottom, in pixels, upright. None: the whole.

    Examples
    --------
    >>> Hit(7, ("a.jpg", "copies/a.jpg"), 0.31245, 640, 480, None)
    Hit('a.jpg', cosine=0.3125, files=2)
    """

    id: int
    paths: tuple[str, ...]
    cosine: float
    width: int | None
    height: int | None
    taken: str | None
    tile: PixelBox | None = None

    def __repr__(self) -> str:
        files = f", files={len(self.paths)}" if len(self.paths) > 1 else ""
        return f"Hit({self.paths[0]!r}, cosine={self.cosine:.4g}{files})"


class Hits(list[Hit]):
    """Pictures, the nearest first: a list that a notebook draws as a table with thumbnails.

    Parameters
    ----------
    hits : iterable of Hit
        The pictures.
    root : Path
        The folder of the index: what the paths of a hit are relative to.

    Examples
    --------
    >>> hits = Hits([Hit(1, ("cat.jpg",), 0.31, 1000, 750, None)], Path("examples"))
    >>> hits
    [Hit('cat.jpg', cosine=0.31)]
    >>> "<img" in hits._repr_html_()
    True
    """

    def __init__(self, hits: Iterable[Hit] = (), root: Path = Path()) -> None:
        super().__init__(hits)
        self.root = root

    @overload
    def __getitem__(self, index: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(super().__getitem__(index), self.root)
        return super().__getitem__(index)

    def _repr_html_(self) -> str:
        from unseen.pages import notebook  # noqa: PLC0415 - only a notebook needs what draws

        return notebook.table(COLUMNS, map(self._cells, self), total=len(self))

    def _cells(self, hit: Hit) -> tuple[object, ...]:
        from unseen.pages import notebook  # noqa: PLC0415 - as above

        files = [*hit.paths[:DRAWN_FILES]]
        if len(hit.paths) > DRAWN_FILES:
            files.append(f"… and {len(hit.paths) - DRAWN_FILES:,} more")
        pixels = f"{hit.width} × {hit.height}" if hit.width and hit.height else None
        thumbnail = notebook.picture(resolve(hit.paths[0], self.root))
        return (thumbnail, notebook.lines(files), f"{hit.cosine:.3f}", pixels, hit.taken)


@dataclass(frozen=True, eq=False)
class Cluster:
    """Similar pictures, the most typical first.

    Parameters
    ----------
    pictures : tuple of Hit
        Nearest to the centre first.
    centre : ndarray of shape (d,), float32
        Of length 1.
    names : tuple of str
        The labels that fit it best, against the other clusters; none when no labels were given.

    Examples
    --------
    >>> import numpy as np
    >>> pictures = (Hit(1, ("cat.jpg",), 0.9, 1000, 750, None),)
    >>> Cluster(pictures, np.ones(1, dtype=np.float32), ("cat", "kitten"))
    Cluster(1 picture: cat, kitten)
    """

    pictures: tuple[Hit, ...]
    centre: Floats
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        count = len(self.pictures)
        names = f": {', '.join(self.names)}" if self.names else ""
        return f"Cluster({count} picture{'' if count == 1 else 's'}{names})"

    def to_dict(self) -> dict[str, Any]:
        """What `unseen clusters --json` prints of it.

        Returns
        -------
        dict
            Plain data for JSON.
        """
        return {"names": list(self.names), "pictures": [asdict(hit) for hit in self.pictures]}


@dataclass(frozen=True, eq=False)
class Content:
    """One picture of an index with all its files: its embedding (d,), or the error in its place."""

    id: bytes  # the first 16 bytes of the sha256 of its file
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    embedding: Floats | None
    error: str | None
