"""One thing to open: what to call it, what holds it, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError

if TYPE_CHECKING:
    from unseen.types import Metadata

NAME_LENGTH = 60  # of a base64 string or a data URI, in names and messages
TEXT_LENGTH = 240  # a longer string is taken for one of these


@dataclass(frozen=True)
class Source:
    """One image to open, its name, and its metadata.

    Parameters
    ----------
    name : str
        The name in results and messages.
    content : ImageLike
        What `open_image` takes: a path, a URL, bytes, a binary file, an image, an array.
    meta : Mapping[str, str | int | float | bool | None], optional
        Facts about the item, such as its frame, page or row. They reach its `Prediction` and
        every row of a result.
    key : str
        What opens it again, where that is not its name: a row of a table may hold a picture, and
        call it as it likes.

    Raises
    ------
    SourceError
        If a key of `meta` is not a string, or a value is not a JSON scalar.

    Examples
    --------
    >>> Source("film.mp4 at 2 s", b"...", {"frame": 48, "time": 2.0}).meta["frame"]
    48
    """

    name: str
    content: Any
    meta: Metadata = field(default_factory=dict, hash=False)
    key: str = ""

    def __post_init__(self) -> None:
        if self.meta:
            _check_metadata(self.name, self.meta)


def _check_metadata(name: str, meta: Mapping[Any, Any]) -> None:
    """Every value can be written as JSON: a run of hours must not end at its first row."""
    for key, value in meta.items():
        if not isinstance(key, str) or not isinstance(value, (str, int, float, bool, type(None))):
            raise SourceError(
                f"{shortened(name)}: the metadata {key!r}: {type(value).__name__} is not allowed; "
                "use a string as key, and a string, a number, a bool or None as value."
            )


@dataclass(frozen=True)
class Unreadable:
    """The content of an item that a reader must refuse: opening it raises `error`."""

    error: SourceError

    def read(self, size: int = -1, /) -> bytes:
        """Raise the error."""
        raise self.error


def name_of(source: Any, index: int) -> str:
    """What to call a source: its path or URL, or its position in the call.

    A path stays whole, as its end is what tells it from others; of base64 the start does.
    """
    if isinstance(source, Path):
        return str(source)
    name = source
    if not isinstance(source, str):
        name = getattr(source, "name", None) or getattr(source, "filename", None)
    if not isinstance(name, str):
        return f"image {index}"
    return name if len(name) <= TEXT_LENGTH and "\n" not in name else shortened(name)


def shortened(text: str) -> str:
    """The start of a long string, for messages and names."""
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}…"
