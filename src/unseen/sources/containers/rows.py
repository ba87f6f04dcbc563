"""A row of a table → a picture: one column names it or holds it, the others are its metadata."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError
from unseen.sources.files import URL_SCHEMES
from unseen.sources.item import Source, Unreadable, shortened

if TYPE_CHECKING:
    from unseen.types import Metadata

# The first of these that a table has holds its pictures; names are compared in lower case.
PICTURE_COLUMNS = (
    "image", "picture", "photo", "img", "path", "image_path", "file", "filepath", "file_path",
    "file_name", "filename", "url", "image_url", "uri", "src", "jpg", "png", "webp",
)  # fmt: skip
ROW = "row"  # the key of the number of a row in its metadata, from 1
TEXT_LENGTH = 10_000  # characters of a value that is carried on
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def picture_column(columns: Iterable[str], name: str) -> str:
    """The column that holds the pictures.

    Raises
    ------
    SourceError
        If no column has such a name.
    """
    columns = [*columns]
    names = {column.lower(): column for column in reversed(columns)}
    column = next((names[one] for one in PICTURE_COLUMNS if one in names), None)
    if column is None:
        raise SourceError(
            f"{name}: none of its columns holds pictures: {shortened(', '.join(columns))}; "
            "name one of them image, path or url."
        )
    return column


def row_source(
    row: Mapping[str, Any], column: str, number: int, table: str, folder: Path | str | None = None
) -> Source:
    """The picture of a row.

    Parameters
    ----------
    row : Mapping[str, Any]
        Column → value.
    column : str
        The one with the picture: a path, an address, bytes, an image, or ``{"bytes", "path"}`` as
        Hugging Face has it.
    number : int
        Of the row, from 1.
    table : str
        The name of the table.
    folder : Path or str, optional
        What relative paths begin at: a folder, or the address of one.

    Returns
    -------
    Source
        Named as the picture is where it has a path or an address, else ``table#row=number``. Its
        metadata: the number of the row, and every column that holds a string, a number or a bool.
    """
    name, content = _picture(row.get(column), folder)
    own = f"{table}#{ROW}={number}"
    name = name or own
    if content is None:
        content = Unreadable(
            SourceError(f"{table}: row {number} has no picture in its column {column!r}.")
        )
    meta: dict[str, Any] = {ROW: number}
    for key, value in row.items():
        if key != column and isinstance(key, str):
            meta |= scalar(key, value)
    return Source(name, content, meta, "" if isinstance(content, str) and content == name else own)


def scalar(key: str, value: Any) -> Metadata:
    """A value as metadata; nothing of a value that is no string, number or bool."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # of numpy
    if isinstance(value, str):
        return {key: value[:TEXT_LENGTH]}
    if value is None or isinstance(value, (bool, int)):
        return {key: value}
    if isinstance(value, float):
        return {key: value if math.isfinite(value) else None}
    return {}


def _picture(value: Any, folder: Path | str | None) -> tuple[str, Any]:
    """The name of a picture, "" where it has none, and its content."""
    if isinstance(value, Mapping):
        name, _ = _picture(value.get("path"), folder)
        content = value.get("bytes")
        return (name, content) if content is not None else _picture(value.get("path"), folder)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return "", value
    value = value.strip()
    if not value:
        return "", None
    if folder is None or value.startswith(URL_SCHEMES) or len(value) > TEXT_LENGTH:
        return shortened(value) if len(value) > TEXT_LENGTH else value, value
    if SCHEME.match(value) and not Path(value).is_absolute():
        return value, value  # of a scheme that is not read: its error says so
    if isinstance(folder, str):
        address = value if value.startswith("/") else f"{folder}/{value}"
        return address, address
    path = str(folder / Path(value).expanduser())
    return path, path
