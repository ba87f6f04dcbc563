"""What a search or a grouping found, as a page to look at: thumbnails, opened only for these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli.output_file import prepare
from unseen.results.manifest import write_ended

if TYPE_CHECKING:
    from unseen.index.hits import Hit
    from unseen.pages import Item, Section

SHOWN = 60  # pictures of a cluster, the most typical

Html = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option("--html", help="Write a page with thumbnails to this file.", show_default=False),
]


def items(
    index: unseen.Index, hits: Sequence[Hit], page: Path, *, first: str = ""
) -> Iterator[Item]:
    """The pictures of a gallery; `first` marks the first."""
    from unseen.pages import Item, link, thumbnails  # noqa: PLC0415 - it loads Pillow

    files = [index.path(hit.paths[0]) for hit in hits]
    for number, (hit, file, small) in enumerate(zip(hits, files, thumbnails(files), strict=True)):
        size = f"{hit.width} x {hit.height}" if hit.width else ""
        taken = (hit.taken or "").replace("T", " ")
        yield Item(
            hit.paths[0],
            small,
            link(file, page),
            hit.cosine,
            ", ".join(part for part in (size, taken) if part),
            first if number == 0 else "",
        )


def write(
    page: Path, title: str, sections: Sequence[Section], note: str, makers: dict[str, Any]
) -> None:
    """The gallery, written over what is there, and beside it what made it."""
    from unseen.pages import gallery  # noqa: PLC0415

    prepare(page, overwrite=True)
    gallery(page, title, sections, note=note)
    write_ended(page, makers, sum(len(section.items) for section in sections), 0)
