"""The result of `unseen eval` as a page: figures, mistakes, confusion, calibration, groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.pages.html import checked, data_uri, write_page


def report(
    path: Path,
    title: str,
    evaluation: Mapping[str, Any],
    pictures: Mapping[str, tuple[str | None, bytes | None]],
    *,
    note: str = "",
) -> None:
    """Writes a page of `evaluation` to `path`, whole or not at all.

    `evaluation`: the document of `unseen eval --json`, whose numbers are finite or None.
    `pictures`: the link and the thumbnail of each path among its mistakes. ValueError for a
    thumbnail that is not a picture, and for an unsafe link.
    """
    shown = {
        name: [checked(href), None if content is None else data_uri(content)]
        for name, (href, content) in pictures.items()
    }
    data = {**evaluation, "title": title, "note": note}
    write_page(path, "report", title, [("pictures", shown), ("data", data)])
