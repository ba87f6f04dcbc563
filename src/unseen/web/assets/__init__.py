"""The files of pages that are served: those of one page, and those that all pages share.

The shared ones lie here; the palette and the icon belong to `unseen.pages`, whose static pages use
them too.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

SHARED = {
    "unseen.pages": ("palette.css", "icon.svg"),
    __name__: ("controls.css", "elements.js", "map.css", "map.js"),
}
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".avif": "image/avif",
}


@cache
def page_files(package: str) -> dict[str, bytes]:
    """Name → content, of every file in the folder `page` of a package, and of the shared ones."""
    page = resources.files(package).joinpath("page").iterdir()
    shared = (
        resources.files(owner).joinpath(name) for owner, names in SHARED.items() for name in names
    )
    return {file.name: file.read_bytes() for file in (*page, *shared) if media_type(file.name)}


def media_type(name: str) -> str | None:
    """The media type of a file; None for what is not part of a page."""
    return MEDIA_TYPES.get(name[name.rfind(".") :])
