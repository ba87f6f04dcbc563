"""Tables that a notebook draws: small pictures, bars and text, as one piece of HTML.

Text is escaped unless it is `Markup`, which only the functions here make. Nothing is fetched: a
picture is drawn when it is a file on this machine.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from unseen.errors import UnseenError
from unseen.images.open import open_image
from unseen.images.thumbnails import thumbnail
from unseen.pages.html import data_uri, finite
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.frame_names import frame_of
from unseen.sources.registry import part_of

SIDE = 96  # pixels of a thumbnail
MAX_ROWS = 50  # a notebook keeps what it draws, and a thumbnail is about 3 kB
CELL = "text-align:left;vertical-align:top;padding:.2em .8em .2em 0"


class Markup(str):
    """HTML whose text is escaped already."""

    __slots__ = ()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, total: int) -> str:
    """HTML of a table: the first `MAX_ROWS` rows, and a line with how many of `total` follow.

    A cell is `Markup`, or anything else, whose text is escaped; None is empty.

    >>> table(["file"], [["<b>.jpg"]], total=1).count("&lt;b&gt;.jpg")
    1
    """
    head = _row("th", columns)
    body = "".join(_row("td", row) for row in islice(rows, MAX_ROWS))
    more = f"<p>… and {total - MAX_ROWS:,} more</p>" if total > MAX_ROWS else ""
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _row(tag: str, cells: Iterable[object]) -> str:
    inner = "".join(f'<{tag} style="{CELL}">{text(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"


def text(value: object) -> Markup:
    """A cell's content as HTML; `Markup` is left as it is.

    >>> text('<a href="x">')
    '&lt;a href=&quot;x&quot;&gt;'
    """
    if isinstance(value, Markup):
        return value
    escaped = "" if value is None else html.escape(str(value))
    # A file name need not be UTF-8, and a notebook is.
    return Markup(escaped.encode("utf-8", "backslashreplace").decode("utf-8"))


def lines(values: Iterable[object]) -> Markup:
    """One below the other."""
    return Markup("<br>".join(text(value) for value in values))


def bar(score: float | None) -> Markup:
    """A number in 0…1 as a bar and in percent; empty for NaN and None.

    >>> "50.0%" in bar(0.5)
    True
    """
    number = finite(score)
    if number is None:
        return Markup("")
    width = 100 * min(max(number, 0.0), 1.0)
    return Markup(
        '<span style="white-space:nowrap"><span aria-hidden="true" style="display:inline-block;'
        'width:6em;margin-right:.5em"><span style="display:block;height:.6em;opacity:.5;'
        f'background:currentColor;width:{width:.1f}%"></span></span>{number:.1%}</span>'
    )


def picture(path: str | Path) -> Markup:
    """A thumbnail of a file on this machine; empty for anything else, and for a broken picture."""
    try:
        if is_elsewhere(path):
            return Markup("")
        if not Path(path).is_file() and frame_of(path) is None and part_of(path) is None:
            return Markup("")
        image = open_image(path, at_least=SIDE)
    except (UnseenError, OSError, ValueError):  # ValueError: a name that no file can have
        return Markup("")
    address = data_uri(thumbnail(image, SIDE))
    return Markup(f'<img alt="" style="max-width:{SIDE}px" src="{address}">')
