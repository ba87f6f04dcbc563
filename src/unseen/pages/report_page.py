"""What `unseen eval` found, as a page: figures, mistakes, confusion, calibration, groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.pages.html import checked, data_uri, write_page


def report(
    path: Path,
    title: str,
    found: Mapping[str, Any],
    pictures: Mapping[str, tuple[str | None, bytes | None]],
    *,
    note: str = "",
) -> None:
    """Writes a page of `found` to `path`, whole or not at all.

    `found`: the document of `unseen eval --json`, whose numbers are finite or None. `pictures`: the
    link and the thumbnail of each path among its mistakes. ValueError for a thumbnail that is no
    picture and for a link that is none.
    """
    shown = {
        name: [checked(href), None if content is None else data_uri(content)]
        for name, (href, content) in pictures.items()
    }
    data = {**found, "title": title, "note": note}
    write_page(path, "report", title, [("pictures", shown), ("data", data)])
