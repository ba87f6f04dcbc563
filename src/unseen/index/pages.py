"""What a search, a grouping or a projection of an index gives, as a page with thumbnails.

Only the pictures that a page shows are opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.index.hits import Cluster, Hit
from unseen.index.index import Index
from unseen.index.vectors.projection import Projection
from unseen.index.view import IndexView
from unseen.pages import Item, Point, Section, link, scatter, thumbnails
from unseen.results.gallery_file import SHOWN, write_gallery
from unseen.results.manifest import row_manifest, write_ended
from unseen.results.prediction_text import tile_text
from unseen.sources.files import URL_SCHEMES
from unseen.sources.frame_names import frame_of
from unseen.sources.registry import PAGE, part_of

CELL = 64  # pixels of a picture on the map
LEAST_FULL = 1e-6  # the cosine of a bar that is full, at least


def write_search(
    view: IndexView,
    hits: Sequence[Hit],
    page: Path,
    queries: Sequence[str],
    without: Sequence[str] = (),
    *,
    top: int,
    tiles: str | None = None,
) -> None:
    """Write the pictures of a search to a page, and its manifest. Raises SourceError.

    `queries`, `without`, `top` and `tiles` are what was searched for, for title and manifest.
    """
    title = ", ".join(queries) + "".join(f", not {text}" for text in without)
    full = max((hit.cosine for hit in hits), default=1.0)
    section = Section(title, list(_items(view.index, hits, page)), full=max(full, LEAST_FULL))
    options: dict[str, Any] = {"queries": [*queries], "not": [*without], "top": top}
    options |= {} if tiles is None else {"tiles": tiles}
    manifest = row_manifest(view.row, options)
    write_gallery(page, title, [section], f"{len(hits)} of {view.index.root}", manifest)


def write_groups(
    view: IndexView,
    groups: Sequence[Sequence[Hit]],
    page: Path,
    title: str,
    options: Mapping[str, Any],
) -> None:
    """Write groups of similar pictures to a page, the first of each marked. Raises SourceError.

    `options`: what made the groups, for the manifest.
    """
    names = [f"{sum(len(hit.paths) for hit in group)} files" for group in groups]
    _write_sections(view, page, title, names, groups, options, first="first")


def write_clusters(
    view: IndexView, clusters: Sequence[Cluster], page: Path, options: Mapping[str, Any]
) -> None:
    """Write clusters to a page, the most typical pictures of each. Raises SourceError."""
    names = [
        f"{', '.join(cluster.names) or f'Cluster {number}'}: {len(cluster.pictures)} pictures"
        for number, cluster in enumerate(clusters, 1)
    ]
    pictures = [cluster.pictures for cluster in clusters]
    _write_sections(view, page, "Clusters", names, pictures, options)


@dataclass(frozen=True)
class CollectionMap:
    """The pictures of an index in the plane, as points of a page; `str` is a line for people."""

    page: Path
    method: str
    points: Sequence[Point]

    def __str__(self) -> str:
        return f"{self.page}: {self.note}."

    @property
    def note(self) -> str:
        """How many pictures, and how they were projected."""
        return f"{len(self.points)} pictures, by {self.method}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [{"path": p.name, "x": p.x, "y": p.y, "group": p.group} for p in self.points]
        return {"page": str(self.page), "method": self.method, "pictures": rows}


def write_map(
    view: IndexView,
    clusters: Sequence[Cluster],
    projection: Projection,
    page: Path,
    options: Mapping[str, Any],
) -> CollectionMap:
    """Write the pictures of an index to a page, each at its position and coloured by cluster.

    `options`: what made the clusters, for the manifest. Raises SourceError.
    """
    index = view.index
    position_of = dict(zip(projection.ids.tolist(), projection.positions.tolist(), strict=True))
    named = [
        (hit, ", ".join(cluster.names) or f"cluster {number}")
        for number, cluster in enumerate(clusters, 1)
        for hit in cluster.pictures
    ]
    files = [index.address(hit.paths[0]) for hit, _ in named]
    points = []
    small = thumbnails(files, CELL * 2)
    for (hit, name), file, picture in zip(named, files, small, strict=True):
        x, y = position_of[hit.id]
        points.append(Point(x, y, hit.paths[0], name, picture, _link(file, page)))
    drawn = CollectionMap(page, projection.method, points)
    scatter(page, index.root.name, points, note=drawn.note)
    manifest = row_manifest(view.row, {**options, "method": projection.method})
    write_ended(page, manifest, len(points), 0)
    return drawn


def _write_sections(
    view: IndexView,
    page: Path,
    title: str,
    names: Sequence[str],
    groups: Sequence[Sequence[Hit]],
    options: Mapping[str, Any],
    first: str = "",
) -> None:
    """A section for each group."""
    sections = [
        Section(name, list(_items(view.index, group[:SHOWN], page, first=first)))
        for name, group in zip(names, groups, strict=True)
    ]
    write_gallery(page, title, sections, str(view.index.root), row_manifest(view.row, {**options}))


def _link(file: str | Path, page: Path) -> str | None:
    """The address of a picture in a page; of a frame that of its video, at its time; of what lies
    in an archive or a document that of this, at its page. None of what a browser cannot open."""
    if isinstance(file, str):
        return file if file.startswith(URL_SCHEMES[:2]) else None
    part = part_of(file)
    if part is not None:
        reader, source, item = part
        return link(Path(source), page) + (f"#page={item}" if reader.mark == PAGE else "")
    frame = frame_of(file)
    return link(file, page) if frame is None else f"{link(Path(frame[0]), page)}#t={frame[1]:g}"


def _items(index: Index, hits: Sequence[Hit], page: Path, *, first: str = "") -> Iterator[Item]:
    """The pictures of a gallery; `first` marks the first."""
    files = [index.address(hit.paths[0]) for hit in hits]
    drawn = thumbnails(files, frames=[_share(hit) for hit in hits])
    for number, (hit, file, small) in enumerate(zip(hits, files, drawn, strict=True)):
        size = f"{hit.width} x {hit.height}" if hit.width else ""
        taken = (hit.taken or "").replace("T", " ")
        place = f"in {tile_text(hit.tile)}" if hit.tile else ""
        yield Item(
            hit.paths[0],
            small,
            _link(file, page),
            hit.cosine,
            ", ".join(part for part in (size, taken, place) if part),
            first if number == 0 else "",
        )


def _share(hit: Hit) -> tuple[float, float, float, float] | None:
    """The tile of a hit, in shares of its picture."""
    if hit.tile is None or not hit.width or not hit.height:
        return None
    left, top, right, bottom = hit.tile
    return left / hit.width, top / hit.height, right / hit.width, bottom / hit.height
