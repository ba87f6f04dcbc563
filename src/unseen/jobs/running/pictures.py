"""The entries of a shard → pictures to open: each by itself, or all from their container."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.jobs.shard import Entry, Shard
from unseen.sources.containers.container_file import (
    LIBRARIES,
    is_elsewhere,
    size_of_container,
)
from unseen.sources.containers.object_store import stored_object
from unseen.sources.expand import expand
from unseen.sources.files import URL_SCHEMES
from unseen.sources.item import Source, Unreadable
from unseen.sources.local import local_path


@dataclass(frozen=True, eq=False)
class Picture:
    """A planned picture, and what holds it now.

    Parameters
    ----------
    entry : Entry
        As it was planned.
    content : ImageLike
        What `open_image` takes.
    meta : Mapping[str, str | int | float | bool | None]
        What its row carries.
    """

    entry: Entry
    content: Any
    meta: Any


@dataclass(frozen=True, eq=False)
class NamedContent:
    """Bytes, or a file in an archive, under the name that messages call it by."""

    name: str
    content: Any

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""
        if hasattr(self.content, "read"):
            content: bytes = self.content.read(size)
            return content
        return bytes(self.content if size < 0 else self.content[:size])


def pictures_of(shard: Shard, entries: Sequence[Entry], base: Path) -> Iterator[Picture]:
    """The pictures of a shard, one for each entry, in order.

    Parameters
    ----------
    shard : Shard
        What they have in common.
    entries : sequence of Entry
        All of the shard.
    base : Path
        What relative paths begin at.

    Yields
    ------
    Picture
        With a content that raises SourceError where the picture is not what was planned.

    Raises
    ------
    MissingExtraError
        Where a library is missing here that others may have: that is no error of a picture.
    """
    if shard.container is None:
        return (Picture(entry, _content(entry, base), entry.meta) for entry in entries)
    return _contained(shard, shard.container, entries, base)


def _content(entry: Entry, base: Path) -> Any:
    if entry.error is not None:
        return Unreadable(SourceError(entry.error))
    address = entry.address
    if address.startswith(URL_SCHEMES):
        return address
    if address.partition("://")[0].lower() in LIBRARIES:
        return stored_object(address)
    return base / local_path(address)


def _contained(
    shard: Shard, container: str, entries: Sequence[Entry], base: Path
) -> Iterator[Picture]:
    path = container
    if not is_elsewhere(container):
        path = os.path.join(base, container)  # noqa: PTH118 - "./a.zip" stays as it was planned
    size = size_of_container(path)
    if size is None or size != shard.container_size:
        reason = "there is no such file" if size is None else "it has changed since it was planned"
        problem = Unreadable(SourceError(f"{container}: {reason}."))
        yield from (Picture(entry, problem, {}) for entry in entries)
        return
    items = enumerate(expand(path))
    for entry in entries:
        item = next((item for place, item in items if place == entry.place), None)
        yield _picture(entry, item, container, base)


def _picture(entry: Entry, item: Source | None, container: str, base: Path) -> Picture:
    """What stands at the place of an entry, if it is still the same."""
    names = () if item is None else (item.name, item.name.removeprefix(f"{base}{os.sep}"))
    if item is None or entry.address not in names:
        problem = SourceError(f"{entry.key}: {container} has changed since it was planned.")
        return Picture(entry, Unreadable(problem), {})
    content = item.content
    encoded = isinstance(content, (bytes, memoryview)) or hasattr(content, "read")
    if encoded and not isinstance(content, Unreadable):
        content = NamedContent(entry.key, content)
    return Picture(entry, content, item.meta)
