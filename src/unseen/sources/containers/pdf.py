"""A PDF file → its pages, drawn one by one."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.containers.container_file import open_container
from unseen.sources.item import Source, Unreadable, name_of

SIDE = 1280  # pixels of the longer side of a page: text stays legible, and a poster is no bomb
MAX_PAGES = 10_000
PAGE = "page"

# It is not safe in several threads, whatever the document. Reentrant, as a document may be
# collected by a thread that has it.
_PDFIUM = threading.RLock()


class _Document:
    """A document that is closed when nobody has a page of it any more."""

    def __init__(self, library: Any, path: str | Path) -> None:
        self.file: Any = None
        content = open_container(path)
        try:
            with _PDFIUM:
                self.file = library.PdfDocument(content, autoclose=True)
                self.pages = len(self.file)
        except BaseException:
            content.close()
            raise

    def __del__(self) -> None:
        if self.file is not None:
            with _PDFIUM:
                self.file.close()


@dataclass(frozen=True, eq=False)
class _Page:
    """A page as a binary file: a BMP, drawn anew by each `read`."""

    document: _Document
    number: int
    name: str

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""
        import pypdfium2  # noqa: PLC0415 - an extra

        try:
            with _PDFIUM:
                image = _drawn(self.document.file[self.number - 1])
        except (pypdfium2.PdfiumError, ValueError):
            raise SourceError(f"{self.name}: the page cannot be drawn.") from None
        file = io.BytesIO()
        image.save(file, "BMP")  # neither lossy nor slow
        return file.getvalue()[: None if size < 0 else size]


def pdf_page(path: str | Path, number: str) -> Any:
    """The content of one page.

    Parameters
    ----------
    path : str or Path
        The document.
    number : str
        Of the page, from 1.

    Raises
    ------
    SourceError
        If there is no such page.
    MissingExtraError
        Without pypdfium2.
    """
    try:
        import pypdfium2  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Reading PDF", "pypdfium2", "pdf") from None
    name = f"{name_of(path, 0)}#{PAGE}={number}"
    try:
        document = _Document(pypdfium2, path)
    except (pypdfium2.PdfiumError, OSError):
        raise SourceError(f"{name}: this is no PDF file, or it cannot be read.") from None
    if not 1 <= int(number) <= min(document.pages, MAX_PAGES):
        raise SourceError(f"{name}: there is no such page.")
    return _Page(document, int(number), name)


def read_pdf(path: str | Path) -> Iterator[Source]:
    """The pages of a PDF file, each drawn when it is read.

    Parameters
    ----------
    path : str or Path
        Without a password.

    Yields
    ------
    Source
        `file.pdf#page=1` with the metadata `page`, from 1.

    Raises
    ------
    MissingExtraError
        Without pypdfium2.
    """
    try:
        import pypdfium2  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Reading PDF", "pypdfium2", "pdf") from None
    name = name_of(path, 0)
    try:
        document = _Document(pypdfium2, path)
    except (pypdfium2.PdfiumError, OSError) as error:
        locked = "assword" in str(error)
        reason = "it needs a password" if locked else "this is no PDF file, or it is damaged"
        yield Source(name, Unreadable(SourceError(f"{name}: {reason}.")))
        return
    for number in range(1, min(document.pages, MAX_PAGES) + 1):
        item = f"{name}#{PAGE}={number}"
        yield Source(item, _Page(document, number, item), {PAGE: number})
    if document.pages > MAX_PAGES:
        problem = f"{name}: it has {document.pages:,} pages; the first {MAX_PAGES:,} are read."
        yield Source(name, Unreadable(SourceError(problem)))


def _drawn(page: Any) -> Any:
    """A page as an RGB image."""
    try:
        longest = max(page.get_size())  # in points
        if not 0 < longest < float("inf"):
            raise ValueError("a page without a size")
        return page.render(scale=SIDE / longest).to_pil().convert("RGB")
    finally:
        page.close()
