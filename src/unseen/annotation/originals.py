"""A picture that is copied: a file, or an item of an archive, a table, a document or a store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unseen.errors import UnseenError
from unseen.images.open import read_content, suffix_of
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.files import holds, is_image_member
from unseen.sources.registry import MEMBER, part_of


def is_file(source: str | Path) -> bool:
    """Whether it is a file of this machine, which can be linked and moved, too."""
    return not is_elsewhere(source) and holds(os.path.isfile, source)


def is_item(source: str | Path) -> bool:
    """Whether it lies in what holds many pictures, or elsewhere; it need not be there."""
    return is_elsewhere(source) or part_of(source) is not None


def content_of(source: str | Path) -> bytes:
    """Its bytes, as they are.

    Raises
    ------
    SourceError, ImageError
        If it cannot be read.
    """
    return bytes(read_content(source) or b"")


def same_content(source: str | Path, target: Path) -> bool:
    """Whether a file has the bytes of an item; False where one of them cannot be read."""
    try:
        return target.read_bytes() == content_of(source)
    except (OSError, UnseenError):
        return False


def name_of_copy(source: str | Path, content: bytes) -> str:
    """What a copy of an item is called: as in its archive, or after its table or document.

    A suffix is added that says what the content is, where the name has none of a picture.
    """
    part = part_of(source)
    if part is not None:
        reader, container, item = part
        is_named = reader.mark == MEMBER
        stem = str(container).rpartition("/")[2].partition(".")[0]
        name = item.rpartition("/")[2] if is_named else f"{stem}-{reader.mark[1:-1]}-{item}"
    else:
        name = unquote(urlsplit(str(source)).path).rpartition("/")[2]
    return name if is_image_member(name) else f"{name or 'picture'}{suffix_of(content)}"
