"""The result of `unseen eval` as a page: figures, mistakes, confusion, calibration, groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unseen.pages.html import checked, data_uri, write_page

NOTHING_DRAWN: Mapping[str, Mapping[str, bytes]] = MappingProxyType({})


def report(
    path: Path,
    title: str,
    evaluation: Mapping[str, Any],
    pictures: Mapping[str, tuple[str | None, bytes | None]],
    *,
    drawings: Mapping[str, Mapping[str, bytes]] = NOTHING_DRAWN,
    note: str = "",
) -> None:
    """Writes a page of `evaluation` to `path`, whole or not at all.

    `evaluation`: the document of `unseen eval --json`, whose numbers are finite or None.
    `pictures`: the link and the thumbnail of each path among its mistakes. `drawings`: of each
    candidate and path the map of a mistake. ValueError for a thumbnail that is not a picture, and
    for an unsafe link.
    """
    shown = {
        name: [checked(href), None if content is None else data_uri(content)]
        for name, (href, content) in pictures.items()
    }
    maps = {
        letter: {name: data_uri(content) for name, content in drawn.items()}
        for letter, drawn in drawings.items()
    }
    data = {**evaluation, "title": title, "note": note}
    write_page(path, "report", title, [("pictures", shown), ("drawings", maps), ("data", data)])
