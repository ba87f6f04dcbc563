"""Sections of pictures: what a search found, groups of duplicates, clusters, classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.pages.html import checked, data_uri, finite, write_page

CHUNK = 64  # pictures in one script element: a page reads those of what is looked at


@dataclass(frozen=True)
class Item:
    """One picture of a gallery.

    `href` is what `pages.link` gives; `mark` a word on the picture, such as "kept".
    """

    name: str
    thumbnail: bytes | None
    href: str | None = None
    score: float | None = None
    caption: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Section:
    """Pictures that stand together. `full`: the score whose bar is as wide as the picture."""

    title: str
    items: Sequence[Item]
    note: str = ""
    full: float = 1.0


def gallery(path: Path, title: str, sections: Iterable[Section], *, note: str = "") -> None:
    """Writes a page of `sections` to `path`, whole or not at all.

    Sections are taken one after another, and their thumbnails are not kept. ValueError for a
    thumbnail that is no picture and for a link that is none.
    """
    write_page(path, "gallery", title, _data(title, sections, note))


def _data(title: str, sections: Iterable[Section], note: str) -> Iterator[tuple[str, Any]]:
    described = []
    pictures: list[str] = []
    written = 0
    for section in sections:
        items = []
        for item in section.items:
            number = None
            if item.thumbnail is not None:
                number = written + len(pictures)
                pictures.append(data_uri(item.thumbnail))
            score = finite(item.score)
            items.append([item.name, number, checked(item.href), score, item.caption, item.mark])
            if len(pictures) == CHUNK:
                yield f"pictures-{written // CHUNK}", pictures
                written += CHUNK
                pictures = []
        described.append(
            {
                "title": section.title,
                "note": section.note,
                "full": finite(section.full) or 1.0,
                "items": items,
            }
        )
    if pictures:
        yield f"pictures-{written // CHUNK}", pictures
    yield "data", {"title": title, "note": note, "chunk": CHUNK, "sections": described}
