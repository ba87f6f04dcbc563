"""A PDF file → its pages, drawn one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.item import Source, Unreadable, name_of

SIDE = 1280  # pixels of the longer side of a page: text stays legible, and a poster is no bomb
MAX_PAGES = 10_000
PAGE = "page"


def read_pdf(path: str | Path) -> Iterator[Source]:
    """The pages of a PDF file, each drawn when it is reached.

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
        document = pypdfium2.PdfDocument(path)
    except (pypdfium2.PdfiumError, OSError) as error:
        locked = "assword" in str(error)
        reason = "it needs a password" if locked else "this is no PDF file, or it is damaged"
        yield Source(name, Unreadable(SourceError(f"{name}: {reason}.")))
        return
    try:
        for number in range(1, min(len(document), MAX_PAGES) + 1):
            item = f"{name}#{PAGE}={number}"
            try:
                content: Any = _drawn(document[number - 1])
            except (pypdfium2.PdfiumError, ValueError):
                content = Unreadable(SourceError(f"{item}: the page cannot be drawn."))
            yield Source(item, content, {PAGE: number})
        if len(document) > MAX_PAGES:
            problem = f"{name}: it has {len(document):,} pages; the first {MAX_PAGES:,} are read."
            yield Source(name, Unreadable(SourceError(problem)))
    finally:
        document.close()


def _drawn(page: Any) -> Any:
    """A page as an RGB image. pdfium is used in one thread alone: it is not safe in several."""
    try:
        longest = max(page.get_size())  # in points
        if not 0 < longest < float("inf"):
            raise ValueError("a page without a size")
        return page.render(scale=SIDE / longest).to_pil().convert("RGB")
    finally:
        page.close()
