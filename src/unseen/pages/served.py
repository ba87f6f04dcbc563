"""The files of a page that is served: its own, and the colours and the icon that all pages have."""

from __future__ import annotations

from functools import cache
from importlib import resources

SHARED = ("palette.css", "icon.svg")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def files_of(package: str) -> dict[str, bytes]:
    """Name → content, of every file in the folder `page` of a package, and of the shared ones."""
    own = resources.files(package).joinpath("page").iterdir()
    shared = (resources.files(__package__).joinpath(name) for name in SHARED)
    return {file.name: file.read_bytes() for file in (*own, *shared) if type_of(file.name)}


def type_of(name: str) -> str | None:
    """What a browser is told that a file is; None for what is no part of a page."""
    return TYPES.get(name[name.rfind(".") :])
