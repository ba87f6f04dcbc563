"""A page of a server that lists files, as Apache and nginx make it → the images that it links to.

Only what lies below the address is followed, and each page and picture is fetched as politely as
any other: `sources.http`.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from unseen.errors import SourceError
from unseen.sources.files import is_image_member
from unseen.sources.item import Source, Unreadable

MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_LISTINGS = 10_000  # folders of one address
MAX_IMAGES = 1_000_000
SECONDS, REDIRECTS = 30.0, 5


def read_web_folder(address: str | Path) -> Iterator[Source]:
    """The images that the listing at an address links to, and those of the folders in it.

    Parameters
    ----------
    address : str
        Such as https://example.org/photos/, with a slash at its end.

    Yields
    ------
    Source
        The address of an image, in the order of the listing. A listing that cannot be had is an
        item with an error.
    """
    from unseen.sources.http import fetch_for_use  # noqa: PLC0415 - it loads http and ssl

    root = str(address)
    waiting, seen, images = [root], {root}, 0
    while waiting:
        folder = waiting.pop()
        try:
            answer = fetch_for_use(
                folder, max_bytes=MAX_PAGE_BYTES, max_seconds=SECONDS, max_redirects=REDIRECTS
            )
        except SourceError as error:
            yield Source(folder, Unreadable(error))
            continue
        folders = []
        for link in _links(answer.body or b"", answer.address):
            if link in seen or not link.startswith(root):
                continue
            seen.add(link)
            if link.endswith("/"):
                folders.append(link)
            elif is_image_member(unquote(urlsplit(link).path[len(urlsplit(root).path) :])):
                images += 1
                yield Source(link, link)
        waiting += reversed(folders)
        if len(seen) > MAX_IMAGES + MAX_LISTINGS or len(seen) - images > MAX_LISTINGS:
            problem = f"{root}: it lists more than is followed; give its folders one by one."
            yield Source(root, Unreadable(SourceError(problem)))
            return


def _links(page: bytes, address: str) -> Iterator[str]:
    """Where the links of a page lead, without what follows ? and #, which sorts a listing."""
    reader = _Links()
    reader.feed(page.decode("utf-8", "replace"))
    for link in reader.links:
        if link[:1] not in ("?", "#"):
            try:
                yield urljoin(address, link.partition("#")[0].partition("?")[0])
            except ValueError:
                continue


class _Links(HTMLParser):
    """The targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]
