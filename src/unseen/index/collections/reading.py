"""A source that holds many pictures → those that are new to an index, or may have changed."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.images.limits import Limits
from unseen.images.open import read_content
from unseen.index.collections import rows
from unseen.sources.containers.container_file import container_version, is_elsewhere, resolve
from unseen.sources.containers.object_store import StoredObject
from unseen.sources.expand import expand
from unseen.sources.files import URL_SCHEMES, holds
from unseen.sources.frame_names import is_video
from unseen.sources.item import Source, Unreadable, name_of
from unseen.sources.local import local_path
from unseen.sources.registry import reader_of
from unseen.system.printable import escaped, unescaped

if TYPE_CHECKING:
    from unseen.types import Metadata

NOT_NORMAL = re.compile(r"[/\\](?=[./\\])")  # in a path: //, or a part that begins with a point


@dataclass(frozen=True)
class Member:
    """A picture of a source, which is to be read.

    `key`: what the index calls it, escaped. `source`: what that calls its source, "" of a file of
    this machine that a list names: that is there without the list. `content`: what opens it.
    `version`: what its source says of it alone; of an address what the last answer was called.
    `digest`: of the picture that the model has encoded under this key, b"" for none.
    """

    key: str
    source: str
    content: Any
    meta: Metadata
    version: str = ""
    digest: bytes = b""

    @property
    def file(self) -> Path | None:
        """The file of this machine that it is; None of any other."""
        return self.content if not self.source and isinstance(self.content, Path) else None


def is_collection(source: str | Path) -> bool:
    """Whether a source holds pictures that are no files of a folder, or lies elsewhere."""
    if is_elsewhere(source):
        return True
    return reader_of(source) is not None and not is_video(source)


def key_of(source: str | Path, root: Path) -> str:
    """What an index calls a source, or a file: below its folder with /, else its whole path, or its
    address; not escaped."""
    # Links stay as they are named. By text first, in a twentieth of the time that paths take.
    name, below = str(source), f"{root}{os.sep}"
    if not name.startswith(below) or NOT_NORMAL.search(name, len(below) - 1):
        if is_elsewhere(source):
            return name
        name = os.path.abspath(name)  # noqa: PTH100
    if name.startswith(below):
        return name[len(below) :].replace(os.sep, "/")
    path = Path(name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def current_version(source: str | Path) -> str | None:
    """What changes when a source is written anew; "" where only its pictures can tell, None where
    it is not there."""
    reader = reader_of(source)
    if reader is None or reader.lists:
        return "" if is_elsewhere(source) or Path(source).exists() else None
    try:
        return container_version(source)
    except OSError:
        return None


def members(
    database: sqlite3.Connection,
    model: int,
    root: Path,
    source: str | Path,
    unchanged: Callable[[str], None],
) -> Iterator[Member]:
    """The pictures of a source, each key once.

    Of those that are as they were, as far as their source says so, `unchanged` is told the key;
    they are not given.
    """
    name, own = name_of(source, 0), key_of(source, root)
    seen: set[str] = set()
    for item in expand(source):
        content = item.content
        if _is_local(content):
            path = Path(local_path(content) if isinstance(content, str) else content)
            is_there = holds(os.path.lexists, path)
            key = escaped(key_of(path, root))
            yield Member(key, "" if is_there else escaped(own), path, item.meta)
            continue
        key = escaped(_key(item, name, own))
        if key in seen:
            continue
        seen.add(key)
        before = rows.stored(database, key, model)
        version = content.version if isinstance(content, StoredObject) else ""
        if before is not None and version and before[1] == version:
            unchanged(key)
            continue
        if _is_address(content) and before is not None:
            version = before[1]
        digest = b"" if before is None else before[0]
        yield Member(key, escaped(own), content, item.meta, version, digest)


def _key(item: Source, name: str, own: str) -> str:
    """What an index calls a picture: what opens it again."""
    if isinstance(item.content, str):
        return item.content  # an address
    key = item.key or item.name
    return own + key[len(name) :] if key.startswith(name) else key


def _is_local(content: Any) -> bool:
    """A file of this machine; an archive's member has a content that reads it."""
    return isinstance(content, Path) or (isinstance(content, str) and not _is_address(content))


def _is_address(content: Any) -> bool:
    return isinstance(content, str) and (
        content.startswith(URL_SCHEMES) or is_elsewhere(content) or "://" in content[:16]
    )


def read(member: Member, limits: Limits) -> tuple[bytes | memoryview | None, str]:
    """The bytes of a picture, and the version that is kept; None: they are as they were.

    Raises
    ------
    SourceError, ImageError
        If there are none.
    """
    content = member.content
    if isinstance(content, Unreadable):
        raise content.error
    if isinstance(content, str) and content.startswith(URL_SCHEMES[:2]):
        from unseen.sources.http import fetch_for_use  # noqa: PLC0415 - it loads http and ssl

        answer = fetch_for_use(
            content,
            max_bytes=limits.max_bytes,
            max_seconds=limits.max_seconds,
            max_redirects=limits.max_redirects,
            version=member.version,
        )
        return answer.body, answer.version
    return read_content(content, limits=limits), member.version


def source_of(key: str, root: Path) -> str | Path:
    """What opens a source again, by what the index calls it, escaped."""
    return resolve(unescaped(key), root)
